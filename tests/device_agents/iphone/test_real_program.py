"""The transport against pymobiledevice3's own code, of which only the wire is replaced.

The program is found on the PATH, or in the environment that KIT_PYMOBILEDEVICE3 names.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from device_agents.iphone.command import AppMissing
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.iphone.transport import BUNDLE, IphoneInfo
from search.errors import DeviceError, DeviceLost, KitError
from tests.device_agents.iphone.standin import UDID, listed

WIRE = Path(__file__).with_name("wire.py")
PHONE = IphoneInfo(udid=UDID, model="iPhone10,3", os="16.7.10")


def _interpreter() -> str:
    program = os.environ.get("KIT_PYMOBILEDEVICE3") or shutil.which("pymobiledevice3")
    if not program or not Path(program).exists():
        pytest.skip("pymobiledevice3 is not installed here (KIT_PYMOBILEDEVICE3 names none)")
    first = Path(program).read_text().splitlines()[0]
    return first.removeprefix("#!").strip()


class Program:
    """The real program on the PATH, with its wire replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.documents = folder, folder / "phone/Documents"
        self.documents.mkdir(parents=True)
        self.script: dict[str, Any] = {
            "documents": str(self.documents),
            "launched": str(folder / "launched.json"),
            "udid": UDID,
            "version": "16.7.10",
            "bundle": BUNDLE,
            "listed": listed(),
        }
        (folder / "bin").mkdir()
        script = folder / "bin/pymobiledevice3"
        words = f'"{_interpreter()}" "{WIRE}" "{folder / "script.json"}" "$@"'
        script.write_text(f"#!/bin/sh\nexec {words}\n")
        script.chmod(0o755)
        self.write()

    def write(self, **changes: Any) -> None:
        self.script |= changes
        (self.folder / "script.json").write_text(json.dumps(self.script))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    made = Program(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return made


def test_files_go_to_the_apps_documents_and_come_back(program: Program, tmp_path: Path) -> None:
    """Into folders that are not there yet, folders and files, twice over."""
    transport = Pymobiledevice()
    package = tmp_path / "any name.mlpackage"
    (package / "Data/weights").mkdir(parents=True)
    (package / "Data/weights/weight.bin").write_bytes(b"\0weights" * 1000)
    (package / "Manifest.json").write_text("{}")
    for _ in range(2):
        transport.push(PHONE, package, "models/x.mlpackage")
    (tmp_path / "plan.json").write_text("{}")
    transport.push(PHONE, tmp_path / "plan.json", "jobs/ab/plan.json")
    there = sorted(
        p.relative_to(program.documents).as_posix() for p in program.documents.rglob("*")
    )
    assert [name for name in there if (program.documents / name).is_file()] == [
        "jobs/ab/plan.json",
        "models/x.mlpackage/Data/weights/weight.bin",
        "models/x.mlpackage/Manifest.json",
    ]
    back = tmp_path / "back"
    assert transport.pull(PHONE, "models/x.mlpackage/Data/weights/weight.bin", back)
    assert back.read_bytes() == b"\0weights" * 1000
    assert not transport.pull(PHONE, "jobs/ab/records/000001.jsonl", tmp_path / "none")


def test_the_phone_is_listed_and_the_app_started_with_its_job(program: Program) -> None:
    transport = Pymobiledevice()
    (phone,) = transport.phones()
    assert (phone.udid, phone.model, phone.os) == (UDID, "iPhone10,3", "16.7.10")
    transport.launch(PHONE, "--job", "ab12")
    launched = json.loads((program.folder / "launched.json").read_text())
    assert (launched["bundle_id"], launched["arguments"]) == (BUNDLE, ["--job", "ab12"])
    assert launched["kill_existing"]


@pytest.mark.parametrize(
    ("fault", "kind", "match"),
    [
        ("NoDeviceConnectedError", DeviceLost, "went away"),
        ("DeviceNotFoundError", DeviceLost, "went away"),
        ("ConnectionTerminatedError", DeviceLost, "went away"),
        ("PasswordRequiredError", DeviceError, "locked"),
        ("PasscodeRequiredError", DeviceError, "locked"),
        ("NotTrustedError", DeviceError, "does not trust"),
        ("UserDeniedPairingError", DeviceError, "does not trust"),
        ("PairingDialogResponsePendingError", DeviceError, "does not trust"),
        ("InvalidHostIDError", DeviceError, "does not trust"),
        ("ConnectionFailedToUsbmuxdError", DeviceError, "usbmuxd does not answer"),
    ],
)
def test_what_the_program_says_is_understood(
    program: Program, tmp_path: Path, fault: str, kind: type[KitError], match: str
) -> None:
    program.write(fault=fault)
    with pytest.raises(kind, match=match):
        Pymobiledevice().pull(PHONE, "x", tmp_path / "x")


def test_an_app_that_is_not_there_is_named(program: Program, tmp_path: Path) -> None:
    with pytest.raises(AppMissing):
        Pymobiledevice("org.other").pull(PHONE, "x", tmp_path / "x")


def test_an_image_that_is_not_mounted_is_no_missing_tunnel(program: Program) -> None:
    program.write(services=False)
    with pytest.raises(DeviceError, match="developer image is not mounted") as raised:
        Pymobiledevice().launch(PHONE, "--job", "ab")
    assert "tunnel" not in str(raised.value)
