"""Messages: folded on a terminal, one line a message in a log."""

import sys

import pytest

from search.console.app import missing_package
from search.console.messages import folded, for_reader

LONG = (
    "The device cannot be reached on its own port, for nothing listens there any more, so it was "
    "left as it is. Everything measured is kept; go on with: python -m profiler --device pixel "
    "--connect 127.0.0.1:5999 --space fbnet-mini --resume"
)


def test_words_move_whole_and_no_line_but_a_command_is_wider_than_the_terminal() -> None:
    lines = folded(LONG, 80).splitlines()
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].strip().startswith("python -m profiler --device pixel")
    assert lines[-1].endswith("--resume")
    assert " ".join(" ".join(lines).split()) == LONG


def test_what_fits_is_left_alone_and_so_are_lines_that_are_there() -> None:
    assert folded("Short.", 80) == "Short."
    assert folded("  two\nlines", 80) == "  two\nlines"
    assert folded("x" * 100, 80) == "x" * 100  # a path is not torn apart


@pytest.mark.parametrize("terminal", [True, False])
def test_a_log_keeps_one_line_a_message(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert ("\n" in for_reader(LONG)) is terminal


def test_a_package_that_is_not_installed_names_its_extra() -> None:
    text = missing_package(ModuleNotFoundError("no", name="torch.nn"))
    assert text is not None
    assert "pip install -e '.[profile]'" in text
    other = missing_package(ModuleNotFoundError("no", name="coremltools"))
    assert other is not None
    assert "[iphone]" in other


@pytest.mark.parametrize("name", ["search.nowhere", "json.nowhere", None])
def test_a_fault_of_the_kits_own_is_no_missing_package(name: str | None) -> None:
    assert missing_package(ModuleNotFoundError("no", name=name)) is None
