"""A steady state for measuring, and the old one back afterwards.

What is changed is noted on this computer before it is changed, and the note
goes only once it is changed back. A run that was killed leaves its note: the
next one on the same device restores first, and says so.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from device_agents.adb.device import AdbDevice
from device_agents.adb.shell import CommandResult
from device_agents.android import parsers
from search.cache import cache_root
from search.errors import DeviceError, KitError
from search.files import write_text
from search.table.manifest import PhoneState

Setting = Literal["fixed-performance", "stay-on"]
_ENABLE: dict[Setting, list[str]] = {
    "fixed-performance": ["cmd", "power", "set-fixed-performance-mode-enabled", "true"],
    "stay-on": ["svc", "power", "stayon", "usb"],
}
_DISABLE: dict[Setting, list[str]] = {
    "fixed-performance": ["cmd", "power", "set-fixed-performance-mode-enabled", "false"],
    "stay-on": ["svc", "power", "stayon", "false"],
}
_LOW_BATTERY_PERCENT = 15
_SEVERE = parsers.THERMAL_STATES.index("severe")


class RestoreNote(BaseModel):
    """What was changed on a device and is not changed back yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    serial_hash: str
    changed: tuple[Setting, ...]


class PerformanceMode:
    """Settings of one device that are on while it measures.

    Args:
        phone: The device.
        serial_hash: Names its note.
        say: Gets one sentence for the user.
    """

    def __init__(self, phone: AdbDevice, serial_hash: str, say: Callable[[str], None]) -> None:
        self._phone = phone
        self._serial_hash = serial_hash
        self._say = say
        self._changed: list[Setting] = []
        self.fixed_performance: bool | None = None

    @property
    def note(self) -> Path:
        """Where the note of this device lies."""
        return cache_root() / "unrestored" / f"{self._serial_hash}.json"

    def restore_leftovers(self) -> None:
        """Change back what a killed run left changed."""
        try:
            left = RestoreNote.model_validate_json(self.note.read_text())
            changed = left.changed
        except FileNotFoundError:
            return
        except (OSError, ValidationError, UnicodeDecodeError):
            changed = ("fixed-performance", "stay-on")  # unreadable: all that it can have held
        self._changed = list(changed)
        if self.restore():
            self._say(
                f"An earlier run was stopped before it could restore {', '.join(changed)} "
                "on the device; restored now."
            )

    def apply(self, stay_on_now: bool | None) -> None:
        """Switch the steady settings on; what a device does not know is said and left."""
        if stay_on_now is not True:
            self._switch("stay-on")
        accepted = self._switch("fixed-performance")
        self.fixed_performance = accepted
        if not accepted:
            self._say(
                "The device does not accept fixed-performance mode (Android 11 and newer may): "
                "its clocks stay free, the table says so."
            )

    def _switch(self, setting: Setting) -> bool:
        self._changed.append(setting)
        self._write()
        if _accepted(self._phone.run(_ENABLE[setting])):
            return True
        # A refusal may still have done half: changed back all the same.
        self._phone.run(_DISABLE[setting])
        self._changed.remove(setting)
        self._write()
        return False

    def restore(self) -> bool:
        """Change everything back; False, and said, where that is not possible now."""
        if not self._changed:
            return True
        try:
            for setting in tuple(self._changed):
                if not _accepted(self._phone.run(_DISABLE[setting])):
                    raise DeviceError(f"The device refused to switch {setting} off.")
                self._changed.remove(setting)
            self._write()
        except KitError as error:
            left = "; ".join(
                f"adb shell {' '.join(_DISABLE[setting])}" for setting in self._changed
            )
            self._say(
                f"The settings of the device could not be restored ({error.message}) "
                f"The next run on it restores them; or do it yourself: {left}"
            )
            return False
        return True

    def _write(self) -> None:
        if self._changed:
            note = RestoreNote(serial_hash=self._serial_hash, changed=tuple(self._changed))
            write_text(self.note, note.model_dump_json(indent=2) + "\n")
        else:
            with contextlib.suppress(FileNotFoundError):
                self.note.unlink()


def _accepted(finished: CommandResult) -> bool:
    """Whether `cmd` or `svc` did it: some print an error and still end with 0."""
    words = (finished.stdout + finished.stderr).decode(errors="replace").lower()
    wrong = ("unknown command", "exception", "error", "not found", "no shell command", "usage")
    return finished.code == 0 and not any(word in words for word in wrong)


_QUESTIONS = (
    ["dumpsys", "battery"],
    ["settings", "get", "global", "low_power"],
    ["dumpsys", "power"],
    ["dumpsys", "deviceidle", "get", "deep"],
    ["settings", "get", "global", "stay_on_while_plugged_in"],
    ["dumpsys", "thermalservice"],
)


def read_state(phone: AdbDevice) -> PhoneState:
    """All that changes how fast the device is, where it says so."""
    texts = [answer.text if answer.code == 0 else "" for answer in phone.run_all(_QUESTIONS)]
    battery, thermal = parsers.parse_battery(texts[0]), parsers.parse_thermal(texts[5])
    plugged = texts[4].strip()
    return PhoneState(
        battery_percent=battery.percent,
        battery_temperature_c=battery.temperature_c,
        powered=battery.powered,
        low_power=parsers.parse_flag(texts[1]),
        screen_on=parsers.parse_awake(texts[2]),
        dozing=parsers.parse_doze(texts[3]),
        stay_on=plugged != "0" if plugged.isdigit() else None,
        thermal_status=thermal.name,
        cpu_temperature_c=thermal.cpu_c,
        skin_temperature_c=thermal.skin_c,
    )


def check_state(state: PhoneState, say: Callable[[str], None]) -> None:
    """Refuse a state in which measuring is a waste; say what only makes it worse.

    Raises:
        DeviceError: Battery saver, an almost empty battery, or heat.
    """
    if state.low_power:
        raise DeviceError(
            "The device saves battery (low-power mode), which caps its clocks.",
            "Switch battery saver off, then run again.",
        )
    percent = state.battery_percent
    if percent is not None and percent < _LOW_BATTERY_PERCENT and state.powered is not True:
        raise DeviceError(
            f"The battery is at {percent} % and nothing charges it.",
            "Charge the device, then run again.",
        )
    status = state.thermal_status
    if status is not None and parsers.THERMAL_STATES.index(status) >= _SEVERE:
        raise DeviceError(
            f"The device is overheated (thermal status {status}).",
            "Let it cool, out of its case and away from the sun, then run again.",
        )
    if state.screen_on is False:
        say(
            "The screen is off: some devices move all work to one small core then. "
            "Switch it on; the kit keeps it on while the cable is plugged in."
        )
    if state.dozing:
        say("The device dozes: wake it up, or work may be put off.")
