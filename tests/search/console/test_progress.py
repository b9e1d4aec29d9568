"""Progress goes to standard error, as lines where it is no terminal."""

import pytest

from search.console.progress import Bars, Lines, Silent, make_progress


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with make_progress(quiet=True) as progress:
        assert isinstance(progress, Silent)
        progress.stage("pass", 3)
        progress.advance(3)
        progress.say("hello")
    assert capsys.readouterr() == ("", "")


def test_lines_tell_beginning_and_end_of_a_stage_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with make_progress() as progress:
        assert isinstance(progress, Lines)
        progress.stage("pass 1", 4, done=1)
        progress.advance()
        progress.advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "pass 1: 1 of 4"
    assert last.startswith("pass 1: 4 of 4 in ")


def test_lines_tell_the_time_left_from_what_was_done_in_this_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("search.console.progress.time.monotonic", lambda: now)
    progress = Lines()
    progress.stage("pass 1", 100, done=50)
    now += 11
    progress.advance(10)  # 10 of the 50 left took 11 s, so 40 take 44 s
    now += 1
    progress.advance(1)  # too soon to speak again
    assert capsys.readouterr().err.splitlines() == [
        "pass 1: 50 of 100",
        "pass 1: 60 of 100, 44 s left",
    ]


def test_bars_of_passes_leave_only_the_last_so_that_the_moving_one_is_seen() -> None:
    bars = Bars()
    bars.stage("build", 3)
    for number in range(1, 29):
        bars.stage(f"pass {number} of 28", 2)
        bars.advance(2)
    bars.stage("memory", 1)
    shown = [task.description for task in bars._bar.tasks]
    assert shown == ["build", "pass 28 of 28", "memory"]
