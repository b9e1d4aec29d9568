"""Messages: folded on a terminal, one line a message in a log."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.console.app import missing_package
from search.console.messages import folded
from search.console.plain import PlainStream

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


def test_lines_below_the_first_stand_under_its_text() -> None:
    long = "many words " * 12
    for before in ("latency    ", "  model      ", "- ", "    ", "  in all  "):
        first, *rest = folded(f"{before}{long}", 80).splitlines()
        assert first.startswith(f"{before}many")
        assert rest
        assert {len(line) - len(line.lstrip()) for line in rest} == {len(before)}


@given(st.text(st.sampled_from("ab- *:\n"), max_size=300), st.integers(8, 100))
def test_a_wider_line_is_one_word_and_no_word_is_lost(text: str, width: int) -> None:
    lines = folded(text, width).split("\n")
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)
    assert " ".join(lines).split() == text.split()
    assert len(lines) >= len(text.split("\n"))


class Terminal(io.StringIO):
    """A terminal that keeps what it is shown."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_a_log_keeps_one_line_a_message(
    monkeypatch: pytest.MonkeyPatch, kind: type[io.StringIO]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    below = kind()
    print("note:", LONG, file=PlainStream(below))
    lines = below.getvalue().splitlines()
    assert len(lines) == (3 if kind is Terminal else 1)


@given(st.lists(st.text(st.sampled_from("ab \n"), max_size=120), max_size=8))
def test_how_a_text_is_cut_into_writes_changes_nothing_of_what_is_shown(parts: list[str]) -> None:
    shown, at_once = Terminal(), Terminal()
    stream, other = PlainStream(shown, 40), PlainStream(at_once, 40)
    for part in parts:
        stream.write(part)
    other.write("".join(parts))
    for one in (stream, other):
        one.flush()
    assert shown.getvalue() == at_once.getvalue()


def test_what_is_asked_at_a_terminal_is_seen_before_the_answer() -> None:
    below = Terminal()
    stream = PlainStream(below)
    stream.write("Go on? ")
    assert below.getvalue() == ""
    stream.flush()
    assert below.getvalue() == "Go on? "


def test_what_programs_read_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    below = Terminal()
    stream = PlainStream(below)
    stream.write("before ")
    stream.write_whole(f"{LONG}\n")
    assert below.getvalue() == f"before {LONG}\n"


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
