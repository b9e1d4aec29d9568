"""Checkup of an iPhone: every step says what was found, and the first missing one what to do."""

from typing import Any

import pytest

from deploy.exporters import registry
from device_agents.checkup_report import Report, to_markdown
from device_agents.device import load_device
from device_agents.iphone.checkup import check_up_iphone
from device_agents.iphone.devicectl import Devicectl
from device_agents.iphone.pymobiledevice import Pymobiledevice
from search.errors import UsageError
from tests.device_agents.iphone.standin import Standin, coredevice, listed

STEPS = (
    "program", "phone seen", "trust", "developer mode", "developer image", "app",
    "file sharing", "one program", "three operators",
)  # fmt: skip


@pytest.fixture
def standin(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, own_cache: Any) -> Standin:
    for unit in ("cpu_only", "cpu_and_ne"):
        entry = registry.exporter_entry("simulated", "fp16")
        monkeypatch.setitem(registry._ENTRIES, (f"coreml-{unit}", "fp16"), entry)
    made = Standin(tmp_path / "bin", monkeypatch)
    made.write(listed=[listed(ProductType="iPhone12,1")])
    return made


def walk(transport: str = "pymobiledevice3") -> Report:
    chosen = Pymobiledevice() if transport == "pymobiledevice3" else Devicectl()
    return check_up_iphone(load_device("iphone"), 5, chosen)


@pytest.mark.parametrize("transport", ["pymobiledevice3", "devicectl"])
def test_every_step_passes_on_a_phone_that_is_ready(standin: Standin, transport: str) -> None:
    report = walk(transport)
    assert report.passed, to_markdown(report)
    assert tuple(check.name for check in report.checks) == STEPS
    measured = report.checks[-1].facts["median_us"]
    assert len(measured) == 4
    assert "3 operators timed" in report.checks[-1].says


@pytest.mark.parametrize(
    ("changes", "step", "says"),
    [
        ({"version": "9.1"}, "program", "pipx upgrade"),
        ({"fail": {"usbmux list": "Failed to connect to usbmuxd socket."}}, "phone seen",
         "Next: Start usbmuxd"),
        ({"listed": []}, "phone seen", "attach it by cable"),
        ({"listed": [{"Identifier": "x"}]}, "trust", "answer Trust"),
        ({"listed": [listed(ProductType="iPhone10,3")]}, "trust", "coreml-cpu_only"),
        ({"mode": False}, "developer mode", "Settings > Privacy & Security"),
        ({"image": False}, "developer image", "mounter auto-mount"),
        ({"app": False}, "app", "device_agents/runners/coreml/README.md"),
        ({"fail": {"apps push": "The device refused to open the container of x: Foo"}},
         "file sharing", "UIFileSharingEnabled"),
        ({"fail": {"dvt launch": "Device is password protected. Please unlock and retry."}},
         "one program", "Unlock it"),
    ],
)  # fmt: skip
def test_the_first_step_that_fails_names_the_next_command(
    standin: Standin, changes: dict[str, Any], step: str, says: str
) -> None:
    standin.write(**changes)
    report = walk()
    assert not report.passed
    failed = [check for check in report.checks if not check.passed]
    assert failed[0].name == step
    assert says in failed[0].says
    assert all(f"not tried: {step} comes first" in check.says for check in failed[1:])
    assert [check.name for check in report.checks] == list(STEPS)


def test_a_phone_that_devicectl_cannot_reach_is_named(standin: Standin) -> None:
    standin.write(devices=[coredevice(transport=None, tunnel="unavailable")])
    report = walk("devicectl")
    assert "iPhone12,1: it is neither at the cable" in report.checks[1].says


def test_a_unit_that_the_device_lacks_is_refused_before_any_step() -> None:
    wrong = load_device("iphonex").model_copy(update={"backend": "coreml-cpu_and_ne"})
    with pytest.raises(UsageError, match="not open to Core ML"):
        check_up_iphone(wrong, 5)
