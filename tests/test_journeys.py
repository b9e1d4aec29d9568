"""What the journeys count as a stumble; the journeys themselves are run on demand."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.journeys.readme_rules import (
    NOT_RUN,
    PHONE,
    SERVES,
    SMALLER,
    STAND_INS,
    Rule,
    adapted,
    reason_not_to_run,
)
from tests.journeys.researcher import SHAPES, draw
from tests.journeys.terminal import Step, in_terminal
from tests.readmes import all_readmes


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("Traceback (most recent call last)\n", "a traceback"),
        ("many words " * 9 + "\n", "a line of 99 columns"),
        ("written to /" + "a" * 90 + "\n", "a line of 102 columns"),
        (f"\x1b[1m{'many words ' * 9}\x1b[0m\r\n", "a line of 99 columns"),
    ],
)
def test_tracebacks_and_lines_that_do_not_fit_are_stumbled_over(shown: str, said: str) -> None:
    (problem,) = Step(line="kit", code=0, seconds=1.0, shown=shown).problems()
    assert said in problem


@pytest.mark.parametrize(
    "shown", ["a short line\n", "written to\n  /" + "a" * 90 + "\n", "x\ry\r\n"]
)
def test_paths_and_progress_may_be_as_long_as_they_are(shown: str) -> None:
    assert Step(line="kit", code=0, seconds=1.0, shown=shown).problems() == []


def test_a_code_that_is_not_expected_is_stumbled_over() -> None:
    assert Step(line="kit", code=1, seconds=1.0, shown="").problems() == ["kit: exit code 1"]
    assert Step(line="kit", code=1, seconds=1.0, shown="", expected=(0, 1)).problems() == []


def test_a_command_sees_a_terminal_of_80_columns(tmp_path: Path) -> None:
    program = "import os, sys; print(os.get_terminal_size().columns, sys.stdout.isatty())"
    step = in_terminal([sys.executable, "-c", program], tmp_path, dict(os.environ))
    assert (step.code, step.plain().strip()) == (0, "80 True")


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    words = ["sh", "-c", "sleep 60 & sleep 60"]
    assert in_terminal(words, tmp_path, dict(os.environ), budget_s=0.2).code == -9


# --- commands of READMEs ------------------------------------------------------------

TYPED = [
    (readme.name, command.line)
    for readme in all_readmes()
    for script in readme.scripts()
    for command in script
]


@pytest.mark.parametrize("rule", [*NOT_RUN, *SMALLER, *SERVES], ids=lambda rule: rule.pattern)
def test_every_rule_is_for_some_command_of_a_readme(rule: Rule) -> None:
    assert rule.why
    lines = [line.partition(" #")[0].rstrip() for _, line in TYPED]
    assert [line for line in lines if rule.fits(line)]


@pytest.mark.parametrize("readme", STAND_INS)
def test_every_stand_in_is_used(readme: str) -> None:
    used = {rule for name, line in TYPED if name == readme for rule in adapted(name, line)[1]}
    assert set(STAND_INS[readme]) - used == set()


def test_no_placeholder_is_left_in_what_is_run() -> None:
    run = [adapted(name, line)[0] for name, line in TYPED if not reason_not_to_run(line)]
    names = [word for line in run for word in re.findall(r"\b[A-Z][A-Z_\d]+\b|\bS\b", line)]
    assert len(run) > 60
    assert set(names) - {"MIT", "FBN", "S8", "OS18"} == set()


def test_phones_are_stood_in_for_where_no_address_is_given() -> None:
    assert PHONE.search("python -m deploy net.json --device pixel")
    assert not PHONE.search("python -m profiler --device pixel --connect 127.0.0.1:5999")


def test_the_drawn_images_are_as_people_have_them(tmp_path: Path) -> None:
    data = draw(tmp_path / "images")
    assert sorted(path.name for path in data.iterdir()) == ["train", "valid"]
    assert {path.name for path in (data / "valid").iterdir()} == set(SHAPES)
    assert (data / "train" / "circle" / "notes.txt").exists()
