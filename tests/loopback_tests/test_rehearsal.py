"""The loopback device on the command line, and the kit's own runner on it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback_tests.host_side import Host
from tests.loopback_tests.test_sync import TMP, push
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.loopback"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    words = ["--port", "0", "--root", str(tmp_path / "root"), "--old", "--fault"]
    process = subprocess.Popen(
        [*COMMAND, *words, "drop_after_lines=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    yield process
    process.kill()
    process.communicate()


def test_it_tells_its_port_and_that_it_is_no_phone(
    started: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert started.stdout is not None
    words, _, port = started.stdout.readline().strip().rpartition(":")
    assert words == "listening on 127.0.0.1"
    assert started.stdout.readline() == "not a phone: rehearsal only\n"
    with Host(int(port)).connect() as host:
        assert host.most_bytes == 4096
        assert push(host, b"hi", f"{TMP}/file") == b"OKAY"
        stream = host.open("shell:seq 9")
        assert stream.read() == b"1\n2\n"
    assert (tmp_path / "root/data/local/tmp/file").read_bytes() == b"hi"
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [("nonsense=1", "No fault is called 'nonsense'"), ("delay_s=slow", "could not convert")],
)
def test_a_wrong_fault_is_refused_before_anything_starts(fault: str, words: str) -> None:
    done = subprocess.run([*COMMAND, "--fault", fault], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
