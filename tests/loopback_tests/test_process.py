"""A daemon that is killed and comes back: what a device keeps, and what it does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback.ground import processes_of
from tests.loopback.process import DaemonProcess
from tests.loopback_tests.host_side import Host
from tests.waiting import wait_until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "root", "--serial", "S1", "--model", "Pixel 8") as process:
        yield process


def asked(daemon: DaemonProcess, command: str) -> str:
    with Host(daemon.port).connect() as host:
        return host.v1(command).decode().strip()


def test_a_daemon_that_comes_back_has_its_files_and_settings(daemon: DaemonProcess) -> None:
    asked(daemon, "cmd power set-fixed-performance-mode-enabled true; touch data/local/tmp/x")
    daemon.kill()
    daemon.start()
    assert daemon.settings.fixed_performance
    assert asked(daemon, "ls data/local/tmp") == "x"


def test_it_is_called_as_asked(daemon: DaemonProcess) -> None:
    words = asked(daemon, "getprop ro.serialno; getprop ro.product.model")
    assert words.splitlines() == ["S1", "Pixel 8"]


def test_what_outlives_a_killed_daemon_is_seen_and_ended(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "root") as daemon:
        asked(daemon, "setsid sleep 300 >/dev/null 2>&1 & echo")
        daemon.kill()
        assert any(b"sleep" in line for line in processes_of(daemon.root).values())
        daemon.start()
    wait_until(lambda: not processes_of(daemon.root), "no process of the device")
