"""Devices for the daemon's own tests."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import LoopbackDevice
from tests.loopback.ground import Namespace, NoNamespace
from tests.loopback_tests.host_side import Host

MakeDevice = Callable[..., LoopbackDevice]


@pytest.fixture
def make_device(tmp_path: Path) -> Iterator[MakeDevice]:
    """Devices with a root of their own, closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "root", **options: Any) -> LoopbackDevice:
            return stack.enter_context(LoopbackDevice(tmp_path / name, **options))

        yield make


@pytest.fixture
def device(make_device: MakeDevice) -> LoopbackDevice:
    return make_device()


@pytest.fixture
def host(device: LoopbackDevice) -> Iterator[Host]:
    with Host(device.port).connect() as connected:
        yield connected


@pytest.fixture(params=["namespace", "prefix"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each of the two places where commands run, if this machine allows it."""
    if request.param == "namespace":
        for name in ("data", "sdcard", "system", "loopback", "sys", "proc"):
            (tmp_path / "trial" / name).mkdir(parents=True)
        (tmp_path / "trial/proc/cpuinfo").touch()
        try:
            Namespace(tmp_path / "trial").close()
        except NoNamespace as error:
            pytest.skip(f"no mount namespaces on this machine: {error}")
    return str(request.param)
