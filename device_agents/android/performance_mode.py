"""Fixed-performance mode while measuring, and the old settings restored afterwards.

Every change is noted on this computer before it is made, and the note is
removed only after the setting is restored. A run that was killed leaves its
note: the next run on the same device restores first, and reports it.
"""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from device_agents.adb.device import AdbDevice
from device_agents.adb.shell import CommandResult, printable
from device_agents.android import parsers
from search.cache import cache_root
from search.errors import DeviceError, KitError
from search.files import write_text
from search.table.manifest import PhoneState

Setting = Literal["fixed-performance", "stay-on"]
_FIXED = ["cmd", "power", "set-fixed-performance-mode-enabled"]
_STAY_ON = ["svc", "power", "stayon"]
_STAY_ON_SETTING = ["global", "stay_on_while_plugged_in"]
_LOW_BATTERY_PERCENT = 15
_SEVERE = parsers.THERMAL_STATES.index("severe")


class RestoreNote(BaseModel):
    """Settings that were changed on a device and are not restored yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Notes of schema 1 do not hold what was set before.
    schema_version: Literal[1, 2] = 2
    serial_hash: str
    changed: tuple[Setting, ...]
    stay_on_before: int | None = None


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
        self._stay_on_before: int | None = None
        self.fixed_performance: bool | None = None
        # What the device answered, by the setting that it refused.
        self.refused: dict[str, str] = {}

    @property
    def note(self) -> Path:
        """Path of this device's note, whether or not it exists."""
        return cache_root() / "unrestored" / f"{self._serial_hash}.json"

    def restore_leftovers(self) -> None:
        """Restore what a killed run left changed."""
        try:
            note = RestoreNote.model_validate_json(self.note.read_text())
            changed, self._stay_on_before = note.changed, note.stay_on_before
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

    def apply(self, state: PhoneState, remark: Callable[[str], None]) -> None:
        """Switch performance mode on; a setting that the device refuses is reported and left.

        Args:
            state: The device's state now: the screen is kept on for what powers it.
            remark: Called with each sentence for the user and the table.
        """
        if state.stay_on is not True:
            self._keep_awake(state.power_sources, remark)
        self.fixed_performance = self._switch("fixed-performance", [*_FIXED, "true"])
        if not self.fixed_performance:
            remark(
                "The device does not accept fixed-performance mode (Android 11 and newer may), "
                f"{self.refused['fixed-performance']}: its clocks stay free, the table says so."
            )

    def renew(self, remark: Callable[[str], None]) -> None:
        """Switch on again what a device forgets when it restarts; for after a broken connection."""
        if "fixed-performance" not in self._changed:
            return
        result = self._device.run([*_FIXED, "true"])
        if not _accepted(result):
            self.fixed_performance = False
            self.refused["fixed-performance"] = _refusal(result)
            remark(
                "After the connection broke the device did not accept fixed-performance mode "
                f"again, {_refusal(result)}: its clocks have been free since, the table says so."
            )

    def _keep_awake(self, sources: tuple[str, ...] | None, remark: Callable[[str], None]) -> None:
        if sources == ():
            remark(
                "Nothing but its battery powers the device, so its screen cannot be kept on and "
                "its clocks may fall: plug it in."
            )
            return
        before = self._stay_on()
        self._stay_on_before = int(before) if re.fullmatch(r"\d{1,3}", before) else None
        word = sources[0] if sources and len(sources) == 1 else "true"
        if not self._switch("stay-on", [*_STAY_ON, word]):
            remark(
                f"The device refused to keep its screen on, {self.refused['stay-on']}: keep it on "
                "by hand (developer options: Stay awake); the table records the refusal."
            )
        elif parsers.parse_stay_on(self._stay_on(), sources) is False:
            self.refused["stay-on"] = "accepted, but not in effect"
            remark(
                "The device accepted to keep its screen on and does not do it: keep it on by hand "
                "(developer options: Stay awake)."
            )

    def _stay_on(self) -> str:
        return self._device.run(["settings", "get", *_STAY_ON_SETTING]).text

    def _switch(self, setting: Setting, command: list[str]) -> bool:
        self._changed.append(setting)
        self._write()
        result = self._device.run(command)
        if _accepted(result):
            return True
        self.refused[setting] = _refusal(result)
        # A refusal may still have done half of it: restored all the same.
        self._device.run(self._undo(setting))
        self._changed.remove(setting)
        self._write()
        return False

    def _undo(self, setting: Setting) -> list[str]:
        """The command that restores a setting."""
        if setting == "fixed-performance":
            return [*_FIXED, "false"]
        if not self._stay_on_before:
            return [*_STAY_ON, "false"]
        return ["settings", "put", *_STAY_ON_SETTING, str(self._stay_on_before)]

    def restore(self) -> bool:
        """Restore everything; False, with a message, where that is not possible now."""
        if not self._changed:
            return True
        try:
            for setting in tuple(self._changed):
                result = self._device.run(self._undo(setting))
                if not _accepted(result):
                    raise DeviceError(
                        f"The device refused to switch {setting} off, {_refusal(result)}."
                    )
                self._changed.remove(setting)
            self._write()
        except KitError as error:
            commands = "; ".join(
                f"adb shell {' '.join(self._undo(setting))}" for setting in self._changed
            )
            self._say(
                f"The settings of the device could not be restored ({error.message}) "
                f"The next run on it restores them; or do it yourself: {commands}"
            )
            return False
        return True

    def _write(self) -> None:
        if self._changed:
            note = RestoreNote(
                serial_hash=self._serial_hash,
                changed=tuple(self._changed),
                stay_on_before=self._stay_on_before,
            )
            write_text(self.note, note.model_dump_json(indent=2) + "\n")
        else:
            with contextlib.suppress(FileNotFoundError):
                self.note.unlink()


def _accepted(result: CommandResult) -> bool:
    """Whether `cmd` or `svc` succeeded: some print an error and still exit with 0."""
    output = (result.stdout + result.stderr).decode(errors="replace").lower()
    errors = ("unknown command", "exception", "error", "not found", "no shell command", "usage")
    return result.code == 0 and not any(error in output for error in errors)


def _refusal(result: CommandResult) -> str:
    """Exit code and first words of an answer, as part of a sentence."""
    output = (result.stderr + b"\n" + result.stdout).decode(errors="replace").split("\n")
    words = next((line.strip() for line in output if line.strip()), "no reason given")
    return f"exit code {result.code}: {printable(words)}"


_STATE_COMMANDS = {
    "battery": ["dumpsys", "battery"],
    "low_power": ["settings", "get", "global", "low_power"],
    "power": ["dumpsys", "power"],
    "doze": ["dumpsys", "deviceidle", "get", "deep"],
    "stay_on": ["settings", "get", *_STAY_ON_SETTING],
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
    return PhoneState(
        battery_percent=battery.percent,
        battery_temperature_c=battery.temperature_c,
        powered=battery.powered,
        power_sources=battery.sources,
        low_power=parsers.parse_flag(texts["low_power"]),
        screen_on=parsers.parse_awake(texts["power"]),
        dozing=parsers.parse_doze(texts["doze"]),
        stay_on=parsers.parse_stay_on(texts["stay_on"], battery.sources),
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
            "Switch it on; the kit keeps it on while it is plugged in."
        )
    if state.dozing:
        say("The device dozes: wake it up, or work may be put off.")
