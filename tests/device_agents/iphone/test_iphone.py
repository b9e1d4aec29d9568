"""The iPhone's transports against stand-in programs: exact calls, faulty answers."""

from pathlib import Path
from typing import Any

import pytest

from device_agents.device import Device, load_device
from device_agents.iphone.command import (
    AppMissing,
    DeveloperServiceMissing,
    explain,
    run_command,
)
from device_agents.iphone.devicectl import Devicectl
from device_agents.iphone.discovery import open_transport, select_phone
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.iphone.transport import BUNDLE, IphoneInfo, IphoneTransport
from search.errors import DeviceError, DeviceLost, DeviceTimeout, UsageError
from tests.device_agents.iphone.standin import UDID, Standin, coredevice, listed

PHONE = IphoneInfo(udid=UDID, model="iPhone12,1")


def device(**changes: Any) -> Device:
    return load_device("iphone").model_copy(update=changes)


# --- both transports


class TestEveryTransport:
    def test_a_phone_is_found_with_what_it_says_of_itself(self, transport: IphoneTransport) -> None:
        (phone,) = transport.phones()
        assert phone.udid == UDID
        assert (phone.model or "").startswith("iPhone1")
        assert phone.os_build
        assert phone.paired

    def test_files_and_folders_go_there_and_files_come_back(
        self, transport: IphoneTransport, tmp_path: Path, standin: Standin
    ) -> None:
        folder = tmp_path / "model one.mlpackage"
        (folder / "Data").mkdir(parents=True)
        (folder / "Data/weight.bin").write_bytes(b"\0weights")
        transport.push(PHONE, folder, "models/x.mlpackage")
        target = tmp_path / "back"
        assert transport.pull(PHONE, "models/x.mlpackage/Data/weight.bin", target)
        assert target.read_bytes() == b"\0weights"
        assert (standin.documents / "models/x.mlpackage/Data/weight.bin").is_file()

    def test_a_file_that_is_not_there_yet_is_no_error(
        self, transport: IphoneTransport, tmp_path: Path
    ) -> None:
        assert not transport.pull(PHONE, "jobs/1/records.jsonl", tmp_path / "x")

    def test_an_answer_of_another_form_is_said_plainly(
        self, transport: IphoneTransport, standin: Standin
    ) -> None:
        standin.write(mute=True)
        with pytest.raises(DeviceError, match="answer"):
            transport.phones()

    @pytest.mark.parametrize("fault", ["locked", "gone", "full"])
    def test_trouble_while_copying_is_told(
        self, transport: IphoneTransport, standin: Standin, tmp_path: Path, fault: str
    ) -> None:
        words, kind, match = {
            "locked": ("The device is locked.", DeviceError, "phone is locked"),
            "gone": ("ConnectionTerminatedError", DeviceLost, "went away"),
            "full": ("No space left on device", DeviceError, "no room"),
        }[fault]
        standin.write(fail={"copy to": words, "apps push": words})
        (tmp_path / "x").write_text("x")
        with pytest.raises(kind, match=match):
            transport.push(PHONE, tmp_path / "x", "x")


# --- exact calls


def test_devicectl_is_called_exactly_so(standin: Standin, tmp_path: Path) -> None:
    transport = Devicectl()
    (tmp_path / "plan.json").write_text("{}")
    transport.phones()
    transport.push(PHONE, tmp_path / "plan.json", "jobs/7/plan.json")
    transport.pull(PHONE, "jobs/7/plan.json", tmp_path / "back")
    standin.write(fail={"process launch": "the phone is locked"})
    with pytest.raises(DeviceError):
        transport.launch(PHONE, "--job", "7")
    calls = standin.calls()
    for call in calls:
        place = call.index("--json-output")
        del call[place : place + 2]
    domain = ["--domain-type", "appDataContainer", "--domain-identifier", BUNDLE]
    start = ["xcrun", "devicectl", "device"]
    there = "Documents/jobs/7/plan.json"
    copied = ["--source", str(tmp_path / "plan.json"), "--destination", there]
    back = ["--source", there, "--destination", str(tmp_path / "back")]
    started = ["--terminate-existing", "--", BUNDLE, "--job", "7"]
    assert calls == [
        ["xcrun", "devicectl", "list", "devices"],
        [*start, "copy", "to", "--device", UDID, *domain, *copied],
        [*start, "copy", "from", "--device", UDID, *domain, *back],
        [*start, "process", "launch", "--device", UDID, *started],
    ]


def test_pymobiledevice3_is_called_exactly_so(standin: Standin, tmp_path: Path) -> None:
    transport = Pymobiledevice()
    (tmp_path / "plan.json").write_text("{}")
    transport.phones()
    transport.push(PHONE, tmp_path / "plan.json", "jobs/7/plan.json")
    transport.pull(PHONE, "jobs/7/plan.json", tmp_path / "back")
    standin.write(fail={"dvt launch": "PasswordProtected"})
    with pytest.raises(DeviceError, match="locked"):
        transport.launch(PHONE, "--job", "7")
    apps, there = ["pymobiledevice3", "apps"], "Documents/jobs/7/plan.json"
    launch = ["pymobiledevice3", "developer", "dvt", "launch"]
    about = ["--udid", UDID, "--documents", BUNDLE]
    calls = standin.calls()
    staged = Path(calls[2].pop(-2))
    assert staged.name == "jobs"
    assert calls == [
        ["pymobiledevice3", "version"],
        ["pymobiledevice3", "--no-color", "usbmux", "list", "--usb"],
        [*apps, "push", *about, "Documents"],
        [*apps, "pull", *about, there, str(tmp_path / "back")],
        [*launch, "--udid", UDID, "--kill-existing", f"{BUNDLE} --job 7"],
    ]


@pytest.mark.parametrize("version", ["10.9.1", "9.0", "", "unknown"])
def test_a_pymobiledevice3_that_is_too_old_is_named(standin: Standin, version: str) -> None:
    standin.write(version=version)
    with pytest.raises(DeviceError, match=r"too old; 11\.0 or later") as raised:
        Pymobiledevice().phones()
    assert "pipx upgrade" in raised.value.remedy


# --- trouble in plain words


@pytest.mark.parametrize(
    ("said", "kind", "message", "remedy"),
    [
        ("Developer Mode is disabled on the device", DeviceError, "Developer mode is off", "Dev"),
        ("UserDeniedPairing", DeviceError, "does not trust this computer", "answer Trust"),
        ("has invalid code signature, inadequate entitlements or its profile has not been "
         "explicitly trusted by the user", DeviceError, "not signed", "VPN & Device"),
        ("Unable to launch: the device is locked", DeviceError, "phone is locked", "Unlock"),
        ("TunneldConnectionError: Unable to connect to Tunneld", DeviceError, "no tunnel", "tunne"),
        ("ERROR Failed to start service. Possible reasons are:\n- If your device iOS version >= "
         "17.0:\n - tunneld\n- DeveloperDiskImage", DeveloperServiceMissing, "developer services",
         "auto-mount"),
        ("ERROR Device is not connected.", DeviceLost, "went away", "--resume"),
        ("ERROR Device not found: 00", DeviceLost, "went away", "--resume"),
        ("ERROR Connection was terminated abruptly.", DeviceLost, "went away", "--resume"),
        ("ERROR The device does not trust this computer.", DeviceError, "does not trust", "Trust"),
        ("ERROR Device is not paired.", DeviceError, "does not trust", "Trust"),
        ("ERROR Waiting for the user to answer the Trust dialog on the device.", DeviceError,
         "does not trust", "Trust"),
        ("ERROR The user refused to trust this computer.", DeviceError, "does not trust", "Trust"),
        ("ERROR Device is password protected. Please unlock and retry.", DeviceError, "locked",
         "Unlock"),
        ("ERROR Unlock the device with its passcode and retry.", DeviceError, "locked", "Unlock"),
        ("ERROR Failed to connect to usbmuxd socket. Make sure it's running.", DeviceError,
         "usbmuxd does not answer", "systemctl"),
        ("ERROR No app with bundle ID org.x is installed.", AppMissing, "not on the phone", "sign"),
        ("ERROR The device refused to open the container of org.x: InstallationLookupFailedX",
         DeviceError, "not", ""),
        ("ERROR Developer Mode is disabled. You can try to enable it using: python3", DeviceError,
         "Developer mode is off", "Developer Mode"),
        ("ERROR Could not find a DeveloperDiskImage for this device's iOS version.", DeviceError,
         "image is not mounted", "auto-mount"),
        ("ERROR Opcode: WRITE failed with status: 18 (AFC status NO_SPACE_LEFT).", DeviceError,
         "no room", "filter"),
        ("DeveloperDiskImage is not mounted", DeviceError, "image is not mounted", "auto-mount"),
        ("The application bundle org.x was not found", DeviceError, "not on the phone", "sign"),
        ("NoDeviceConnectedError", DeviceLost, "went away", "--resume"),
        ("something new", DeviceError, "failed and said: something new", "by hand"),
    ],
)  # fmt: skip
def test_trouble_is_told_in_plain_words(said: str, kind: Any, message: str, remedy: str) -> None:
    error = explain(said, ("xcrun", "devicectl", "device"))
    assert isinstance(error, kind)
    assert message in error.message
    assert remedy in error.remedy


def test_a_program_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeviceError, match="pymobiledevice3 is not installed") as raised:
        Pymobiledevice().phones()
    assert "pipx" in raised.value.remedy


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(DeviceTimeout, match=r"did not end within 0\.2 s"):
        run_command(("sleep", "60"), 0.2)


# --- discovery


def found(standin: Standin, transport: IphoneTransport, **changes: Any) -> IphoneInfo:
    return select_phone(device(**changes), transport)


def test_nothing_attached_says_what_was_looked_for(standin: Standin) -> None:
    standin.write(devices=[coredevice(kind="iPad", model="iPad8,1")], listed=[])
    for transport in (Devicectl(), Pymobiledevice()):
        with pytest.raises(DeviceError, match="No iPhone is attached") as raised:
            found(standin, transport)
        assert f"{transport.name} sees none" in raised.value.message
        assert "looked for iPhone (model iPhone*)" in raised.value.message
        assert "--prepare" in raised.value.remedy
        assert "--format mlpackage" in raised.value.remedy


def test_without_the_program_it_is_said_what_was_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeviceError, match="pymobiledevice3 is not installed") as raised:
        select_phone(load_device("iphonex"), Pymobiledevice())
    assert "looked for iPhone X (model iPhone10,3 or iPhone10,6)" in raised.value.message
    assert "pipx" in raised.value.remedy
    assert "--format mlpackage" in raised.value.remedy


def test_a_usbmuxd_that_does_not_answer_is_named(standin: Standin) -> None:
    said = "ERROR Failed to connect to usbmuxd socket. Make sure it's running."
    standin.write(fail={"usbmux list": said})
    with pytest.raises(DeviceError, match="usbmuxd does not answer"):
        Pymobiledevice().phones()


@pytest.mark.parametrize(("os", "match"), [("16.7", "image is not mounted"), ("17.2", "17.0 to")])
def test_without_developer_services_the_system_decides_what_is_missing(
    standin: Standin, os: str, match: str
) -> None:
    """Up to iOS 16 there is no tunnel that could be missing."""
    standin.write(fail={"dvt launch": "ERROR Failed to start service. Possible reasons are:"})
    with pytest.raises(DeviceError) as raised:
        Pymobiledevice().launch(IphoneInfo(udid=UDID, os=os), "--job", "7")
    assert match in str(raised.value)
    assert ("tunnel" in str(raised.value)) == (os == "17.2")


def test_another_model_is_named(standin: Standin) -> None:
    standin.write(listed=[listed(ProductType="iPhone14,2")])
    with pytest.raises(DeviceError, match=r"is iPhone X .*; pymobiledevice3 sees iPhone14,2"):
        select_phone(load_device("iphonex"), Pymobiledevice())


def test_an_iphone_x_is_both_of_its_models(standin: Standin) -> None:
    for model in ("iPhone10,3", "iPhone10,6"):
        standin.write(listed=[listed(ProductType=model)])
        assert select_phone(load_device("iphonex"), Pymobiledevice()).model == model


def test_two_phones_are_never_chosen_between(standin: Standin) -> None:
    standin.write(listed=[listed(), listed(Identifier="other")])
    with pytest.raises(DeviceError, match="2 attached phones") as raised:
        found(standin, Pymobiledevice())
    assert UDID in raised.value.remedy
    named = {"udid": "other"}
    assert found(standin, Pymobiledevice(), options=named).udid == "other"


def test_a_phone_that_trusts_nobody_is_told_so(standin: Standin) -> None:
    standin.write(
        devices=[coredevice(pairing="unpaired")], listed=[{"Identifier": UDID, "UniqueDeviceID": 1}]
    )
    for transport in (Devicectl(), Pymobiledevice()):
        with pytest.raises(DeviceError, match="does not trust this computer"):
            found(standin, transport)


def test_a_phone_without_developer_mode_is_told_so(standin: Standin) -> None:
    standin.write(devices=[coredevice(mode="disabled")])
    with pytest.raises(DeviceError, match="Developer mode is off"):
        found(standin, Devicectl())


def test_a_phone_with_another_system_than_asked_for_is_named(standin: Standin) -> None:
    standin.write(listed=[listed(ProductVersion="15.4")])
    with pytest.raises(DeviceError, match=r"runs iOS 15\.4; iphonex asks for 16\.\*"):
        select_phone(load_device("iphonex"), Pymobiledevice())


def test_a_device_file_chooses_the_transport() -> None:
    assert open_transport(load_device("iphonex"), 1).name == "pymobiledevice3"
    chosen = open_transport(device(options={"transport": "devicectl", "bundle": "a.b"}), 1)
    assert chosen.name == "devicectl"
    with pytest.raises(UsageError, match="Unknown transport 'adb'"):
        open_transport(device(options={"transport": "adb"}), 1)
