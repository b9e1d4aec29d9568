"""Processes that begin as forks behave as `python -m` does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prepared import Forked, start_module
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux alone")
PROGRAM = """
import os, sys, time
print(sys.argv[1:], os.getcwd(), os.environ.get("ANSWER"), __name__, flush=True)
print("to the other stream", file=sys.stderr)
if sys.argv[1] == "wait":
    time.sleep(600)
if sys.argv[1] == "raise":
    raise ValueError("wrong")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "a_program.py").write_text(PROGRAM)
    return tmp_path


def start(program: Path, *words: str, **popen: object) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(program), "ANSWER": "42"}
    return start_module("a_program", *words, environment=environment, cwd=program, **popen)


def test_a_fork_has_words_folder_environment_streams_and_exit_code(program: Path) -> None:
    with start(program, "3", "--more") as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert isinstance(process, Forked)
    assert out == f"['3', '--more'] {program} 42 __main__\n"
    assert err == "to the other stream\n"
    assert process.returncode == 3


def test_an_error_is_a_traceback_and_exit_code_1(program: Path) -> None:
    with start(program, "raise") as process:
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert err.rstrip().endswith("ValueError: wrong")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals_end_a_fork_as_they_end_python(program: Path, number: signal.Signals) -> None:
    with start(program, "wait", start_new_session=True) as process:
        assert process.stdout.readline()
        assert process.poll() is None
        assert os.getsid(process.pid) == process.pid
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) == -number
    assert process.poll() == -number
