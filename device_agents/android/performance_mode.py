"""Fixed-performance mode while measuring, and the old settings restored afterwards.

Every change is noted on this computer before it is made, and the note is
removed only after the setting is restored. A run that was killed leaves its
note: the next run on the same device restores first, and reports it.
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
    """Settings that were changed on a device and are not restored yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    serial_hash: str
    changed: tuple[Setting, ...]


class PerformanceMode:
    """Settings of one device that are changed while it measures.

    Args:
        device: The connected device.
        serial_hash: Name of its note.
        say: Called with one sentence for the user.
    """

    def __init__(self, device: AdbDevice, serial_hash: str, say: Callable[[str], None]) -> None:
        self._device = device
        self._serial_hash = serial_hash
        self._say = say
        self._changed: list[Setting] = []
        self.fixed_performance: bool | None = None

    @property
    def note(self) -> Path:
        """Path of this device's note, whether or not it exists."""
        return cache_root() / "unrestored" / f"{self._serial_hash}.json"

    def restore_leftovers(self) -> None:
        """Restore what a killed run left changed."""
        try:
            changed = RestoreNote.model_validate_json(self.note.read_text()).changed
        except FileNotFoundError:
            return
        except (OSError, ValidationError, UnicodeDecodeError):
            changed = (
                "fixed-performance",
                "stay-on",
            )  # unreadable: everything that it may have held
        self._changed = list(changed)
        if self.restore():
            self._say(
                f"An earlier run was stopped before it could restore {', '.join(changed)} "
                "on the device; restored now."
            )

    def apply(self, stay_on_now: bool | None) -> None:
        """Switch performance mode on; a setting that the device refuses is reported and left."""
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
        if _accepted(self._device.run(_ENABLE[setting])):
            return True
        # A refusal may still have done half of it: restored all the same.
        self._device.run(_DISABLE[setting])
        self._changed.remove(setting)
        self._write()
        return False

    def restore(self) -> bool:
        """Restore everything; False, with a message, where that is not possible now."""
        if not self._changed:
            return True
        try:
            for setting in tuple(self._changed):
                if not _accepted(self._device.run(_DISABLE[setting])):
                    raise DeviceError(f"The device refused to switch {setting} off.")
                self._changed.remove(setting)
            self._write()
        except KitError as error:
            commands = "; ".join(
                f"adb shell {' '.join(_DISABLE[setting])}" for setting in self._changed
            )
            self._say(
                f"The settings of the device could not be restored ({error.message}) "
                f"The next run on it restores them; or do it yourself: {commands}"
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


def _accepted(result: CommandResult) -> bool:
    """Whether `cmd` or `svc` succeeded: some print an error and still exit with 0."""
    output = (result.stdout + result.stderr).decode(errors="replace").lower()
    errors = ("unknown command", "exception", "error", "not found", "no shell command", "usage")
    return result.code == 0 and not any(error in output for error in errors)


_STATE_COMMANDS = {
    "battery": ["dumpsys", "battery"],
    "low_power": ["settings", "get", "global", "low_power"],
    "power": ["dumpsys", "power"],
    "doze": ["dumpsys", "deviceidle", "get", "deep"],
    "stay_on": ["settings", "get", "global", "stay_on_while_plugged_in"],
    "thermal": ["dumpsys", "thermalservice"],
}


def read_state(device: AdbDevice) -> PhoneState:
    """Everything that changes how fast the device is; unknown is None."""
    results = device.run_all(list(_STATE_COMMANDS.values()))
    texts = {
        name: result.text if result.code == 0 else ""
        for name, result in zip(_STATE_COMMANDS, results, strict=True)
    }
    battery = parsers.parse_battery(texts["battery"])
    thermal = parsers.parse_thermal(texts["thermal"])
    stay_on = texts["stay_on"].strip()
    return PhoneState(
        battery_percent=battery.percent,
        battery_temperature_c=battery.temperature_c,
        powered=battery.powered,
        low_power=parsers.parse_flag(texts["low_power"]),
        screen_on=parsers.parse_awake(texts["power"]),
        dozing=parsers.parse_doze(texts["doze"]),
        stay_on=stay_on != "0" if stay_on.isdigit() else None,
        thermal_status=thermal.name,
        cpu_temperature_c=thermal.cpu_c,
        skin_temperature_c=thermal.skin_c,
    )


def check_state(state: PhoneState, say: Callable[[str], None]) -> None:
    """Refuse a state in which measuring is useless; warn of one that only makes it worse.

    Raises:
        DeviceError: Battery saver is on, the battery almost empty, or the device overheated.
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
