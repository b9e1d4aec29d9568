"""devicectl's list of devices: every form of it, whole or in parts, and what is no phone."""

from typing import Any

import pytest

from device_agents.device import load_device
from device_agents.iphone.device_list import read_phones
from device_agents.iphone.discovery import choose_phone
from search.errors import DeviceError
from tests.device_agents.iphone.standin import UDID, coredevice

GOOD: dict[str, Any] = coredevice()


def choose(*entries: Any) -> str:
    return choose_phone(load_device("iphone"), read_phones(entries), "devicectl").udid


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


FLAT: dict[str, Any] = {
    "identifier": "X",
    "properties": {
        **GOOD["hardwareProperties"],
        **GOOD["deviceProperties"],
        **GOOD["connectionProperties"],
    },
}
NESTED: dict[str, Any] = {"identifier": "X", "properties": without("identifier")}


@pytest.mark.parametrize(
    "entry",
    [
        GOOD,
        FLAT,
        NESTED,
        without("connectionProperties"),
        without("deviceProperties"),
        {**GOOD, "connectionProperties": None},
        {**GOOD, "deviceProperties": "?"},
        {**GOOD, "connectionProperties": {"pairingState": "paired"}},
        {"hardwareProperties": {"udid": UDID, "productType": "iPhone12,1"}},
        {"udid": UDID, "productType": "iPhone12,1", "deviceType": "iPhone"},
    ],
)
def test_an_entry_is_read_as_far_as_it_goes(entry: dict[str, Any]) -> None:
    assert choose(entry) == UDID


@pytest.mark.parametrize(
    "strange",
    [
        None, "text", 7, [], {}, {"hardwareProperties": None}, {"hardwareProperties": 3},
        {"hardwareProperties": {"udid": 5, "deviceType": "iPhone"}},
        {"hardwareProperties": {"deviceType": "iPhone"}},
        {"properties": [1, 2]}, coredevice(kind="iPad", model="iPad8,1"),
        coredevice(kind="appleWatch", model="Watch6,1"),
    ],
)  # fmt: skip
def test_an_entry_that_is_not_understood_hides_no_phone(strange: object) -> None:
    assert choose(strange, GOOD) == UDID
    assert choose(GOOD, strange) == UDID


def spelled(**facts: Any) -> dict[str, Any]:
    entry = coredevice()
    return {**entry, "hardwareProperties": {**entry["hardwareProperties"], "udid": "sim", **facts}}


@pytest.mark.parametrize(
    "simulator",
    [
        spelled(reality="virtual"),
        spelled(reality="Simulated"),
        spelled(platform="iOS Simulator"),
        spelled(platform="com.apple.platform.iphonesimulator"),
        spelled(deviceType="iPhoneSimulator"),
        {**spelled(), "deviceProperties": {"isSimulator": True}},
        {**spelled(), "visibilityClass": "simulators"},
        {**spelled(), "capabilities": [{"name": "x", "featureIdentifier": "com.apple.simulator"}]},
        {"properties": {**FLAT["properties"], "udid": "sim", "isVirtual": True}},
    ],
)
def test_a_simulator_is_no_phone_however_it_is_spelled(simulator: dict[str, Any]) -> None:
    assert choose(simulator, GOOD) == UDID
    with pytest.raises(DeviceError, match="No iPhone is attached"):
        choose(simulator)


def test_a_phone_that_its_owner_calls_simulator_is_one() -> None:
    state = {**GOOD["deviceProperties"], "name": "My Simulator", "isSimulator": False}
    assert choose({**GOOD, "deviceProperties": state}) == UDID


def test_a_phone_that_cannot_be_used_is_named_with_its_reason() -> None:
    away = coredevice(transport=None, tunnel="unavailable")
    with pytest.raises(DeviceError, match=r"cannot be used now.*neither at the cable") as raised:
        choose(away)
    assert UDID in raised.value.message
    told = {**away, "unavailableReason": "The device is preparing."}
    with pytest.raises(DeviceError, match="The device is preparing"):
        choose(told)
    other = {**GOOD, "hardwareProperties": {**GOOD["hardwareProperties"], "udid": "here"}}
    assert choose(away, other) == "here"
    silent = coredevice(transport=None)
    assert choose(silent, other) == "here"
