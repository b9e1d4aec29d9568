"""What the journeys count as a stumble; the journeys themselves are run on demand."""

import os
import sys
from pathlib import Path

import pytest

from tests.journeys.researcher import SHAPES, draw
from tests.journeys.terminal import Step, in_terminal


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("Traceback (most recent call last)\n", "a traceback"),
        ("many words " * 9 + "\n", "a line of 99 columns"),
        (f"\x1b[1m{'many words ' * 9}\x1b[0m\r\n", "a line of 99 columns"),
    ],
)
def test_tracebacks_and_lines_that_do_not_fit_are_stumbled_over(shown: str, said: str) -> None:
    (problem,) = Step(line="kit", code=0, seconds=1.0, shown=shown).problems()
    assert said in problem


@pytest.mark.parametrize("shown", ["a short line\n", "written to /" + "a" * 90 + "\n", "x\ry\r\n"])
def test_paths_and_progress_may_be_as_long_as_they_are(shown: str) -> None:
    assert Step(line="kit", code=0, seconds=1.0, shown=shown).problems() == []


def test_a_code_that_is_not_expected_is_stumbled_over() -> None:
    assert Step(line="kit", code=1, seconds=1.0, shown="").problems() == ["kit: exit code 1"]
    assert Step(line="kit", code=1, seconds=1.0, shown="", expected=(0, 1)).problems() == []


def test_a_command_sees_a_terminal_of_80_columns(tmp_path: Path) -> None:
    program = "import os, sys; print(os.get_terminal_size().columns, sys.stdout.isatty())"
    step = in_terminal([sys.executable, "-c", program], tmp_path, dict(os.environ))
    assert (step.code, step.plain().strip()) == (0, "80 True")


def test_the_drawn_images_are_as_people_have_them(tmp_path: Path) -> None:
    data = draw(tmp_path / "images")
    assert sorted(path.name for path in data.iterdir()) == ["train", "valid"]
    assert {path.name for path in (data / "valid").iterdir()} == set(SHAPES)
    assert (data / "train" / "circle" / "notes.txt").exists()
