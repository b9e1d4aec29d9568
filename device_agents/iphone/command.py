"""An external program: exact arguments, a time limit, its trouble in plain words."""

import re
import shutil
import subprocess
from collections.abc import Sequence

from search.errors import DeviceError, DeviceLost, DeviceTimeout, KitError

_MISSING_FILE = re.compile(
    r"no such file|does not exist|not found at path|OBJECT_NOT_FOUND|opened because there",
    re.IGNORECASE,
)
# What the programs say -> what it means and what to do. The first that matches.
_TROUBLE: tuple[tuple[str, type[KitError], str, str], ...] = (
    (
        r"developer mode.{0,30}(disabled|not enabled|off)|DeveloperModeIsNotEnabled",
        DeviceError,
        "Developer mode is off on the phone.",
        "Settings > Privacy & Security > Developer Mode, then restart the phone.",
    ),
    (
        r"not (been )?(explicitly )?trusted by the user|invalid code signature|"
        r"profile has not been (explicitly )?trusted|requires a development team|no profiles for",
        DeviceError,
        "The agent app is not signed by a developer whom the phone trusts.",
        "Build it with your team (device_agents/runners/coreml/README.md), then trust that "
        "team: Settings > General > VPN & Device Management.",
    ),
    (
        r"pairing ?(is )?(required|dialog)|not paired|NotPaired|UserDeniedPairing|"
        r"PasswordRequired|PairingDialogResponsePending|(has not|hasn.t) trusted this",
        DeviceError,
        "The phone does not trust this computer.",
        "Unlock it, answer Trust, and enter its code.",
    ),
    (
        r"\blocked\b|passcode protected|PasswordProtected|device is lock",
        DeviceError,
        "The phone is locked.",
        "Unlock it and keep it unlocked (Auto-Lock: Never) while it measures.",
    ),
    (
        r"tunnel|TunneldConnectionError|RemoteXPC|InvalidService",
        DeviceError,
        "There is no tunnel to the phone's developer services (needed from iOS 17 on).",
        "Update pymobiledevice3 (its userspace tunnel needs no root), or start "
        "'sudo pymobiledevice3 remote tunneld'.",
    ),
    (
        r"DeveloperDiskImage|developer disk image|image (is )?not mounted",
        DeviceError,
        "The phone's developer image is not mounted.",
        "Run 'pymobiledevice3 mounter auto-mount', or open Xcode once with the phone attached.",
    ),
    (
        r"(application|app|bundle).{0,80}(not (be )?found|not installed|unknown)|AppNotInstalled|"
        r"InstallationLookupFailed",
        DeviceError,
        "The agent app is not on the phone.",
        "Build, sign and install it once: device_agents/runners/coreml/README.md.",
    ),
    (
        r"no space|disk full|storage is full",
        DeviceError,
        "The phone has no room left.",
        "Delete something on it, or measure fewer operators (--filter).",
    ),
    (
        r"no device|device (was )?not found|NoDeviceConnected|disconnected|broken pipe|"
        r"connection (was )?(lost|reset|terminated|aborted|closed|interrupted)|"
        r"ConnectionTerminated",
        DeviceLost,
        "The phone went away.",
        "Attach it again, then run the same command with --resume; what was measured is kept.",
    ),
)


class ProgramMissing(DeviceError):
    """The program that reaches phones is not installed."""


class NoSuchFile(Exception):
    """The program looked for a file on the phone, which is not there."""


def run_command(words: Sequence[str], timeout_s: float) -> str:
    """Standard output of a program that ended well.

    Raises:
        NoSuchFile: A file on the phone is not there.
        ProgramMissing: It is not installed.
        DeviceError, DeviceLost, DeviceTimeout: In plain words.
    """
    if shutil.which(words[0]) is None:
        raise ProgramMissing(f"The program {words[0]} is not installed.", _how_to_get(words[0]))
    try:
        done = subprocess.run(
            list(words),
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceTimeout(
            f"{' '.join(words[:4])} did not end within {timeout_s:g} s.",
            "Unlock the phone and look whether it asks something; then --resume.",
        ) from error
    if done.returncode == 0:
        return done.stdout
    raise explain(f"{done.stderr}\n{done.stdout}", words)


def explain(said: str, words: Sequence[str]) -> Exception:
    """What a program's last words mean."""
    if _MISSING_FILE.search(said) and not re.search(r"\bapp(lication)?\b", said, re.IGNORECASE):
        return NoSuchFile(said.strip()[-200:])
    for pattern, kind, message, remedy in _TROUBLE:
        if re.search(pattern, said, re.IGNORECASE | re.DOTALL):
            return kind(message, remedy)
    last = " ".join(said.split())[-300:] or "nothing"
    return DeviceError(f"{' '.join(words[:4])} failed and said: {last}", "Try it by hand.")


def _how_to_get(program: str) -> str:
    if program == "xcrun":
        return "It comes with Xcode 15 or later."
    return f"Install it beside the kit: pipx install {program}."
