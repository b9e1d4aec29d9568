"""The iPhone's transports, with stand-ins for the programs that they call."""

from pathlib import Path

import pytest

from device_agents.iphone.devicectl import Devicectl
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.iphone.transport import IphoneTransport
from tests.device_agents.iphone.standin import Standin

TRANSPORTS: dict[str, type[IphoneTransport]] = {
    "devicectl": Devicectl,
    "pymobiledevice3": Pymobiledevice,
}


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    return Standin(tmp_path / "bin", monkeypatch)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, standin: Standin) -> IphoneTransport:
    made: IphoneTransport = TRANSPORTS[request.param]()
    return made
