"""External programs: exact arguments, a time limit, their errors in plain words."""

import re
import shutil
import subprocess
from collections.abc import Sequence

from search.errors import DeviceError, DeviceLost, DeviceTimeout, KitError


class ProgramMissing(DeviceError):
    """The program that drives phones is not installed."""


class NoSuchFile(Exception):
    """The phone does not have the file that the program looked for."""


class AppMissing(DeviceError):
    """The agent app is not on the phone."""


class DeveloperServiceMissing(DeviceError):
    """The phone does not offer its developer services; why depends on its system."""


_MISSING_FILE = re.compile(
    r"no such file|does not exist|not found at path|OBJECT_NOT_FOUND|opened because there",
    re.IGNORECASE,
)
# Pattern of the program's output; kind, message and remedy of the error. The first match counts.
_KNOWN_ERRORS: tuple[tuple[str, type[KitError], str, str], ...] = (
    (
        r"failed to connect to usbmuxd|usbmuxd socket",
        DeviceError,
        "usbmuxd does not answer.",
        "Start usbmuxd (Linux: systemctl start usbmuxd; Windows: Apple Mobile "
        "Device Service), then attach the phone again.",
    ),
    (
        r"failed to start service\. possible reasons|InvalidService|"
        r"does not offer the requested service",
        DeveloperServiceMissing,
        "The phone does not offer its developer services.",
        "Developer mode on (Settings > Privacy & Security), then mount the developer image: "
        "'pymobiledevice3 mounter auto-mount'.",
    ),
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
        r"password protected\. please unlock|passcode protected|PasswordProtected|PasswordRequired|"
        r"PasscodeRequired|unlock the device with its passcode|\blocked\b|device is lock",
        DeviceError,
        "The phone is locked.",
        "Unlock it and keep it unlocked (Auto-Lock: Never) while it measures.",
    ),
    (
        r"pairing ?(is )?(required|dialog)|not paired|NotPaired|UserDeniedPairing|"
        r"PairingDialogResponsePending|(has not|hasn.t|does not) trust(ed)? this|"
        r"refused to trust|answer the trust dialog|pairing record|NotTrusted",
        DeviceError,
        "The phone does not trust this computer.",
        "Unlock it, answer Trust, and enter its code.",
    ),
    (
        r"DeveloperDiskImage|developer disk image|image (is )?not mounted",
        DeviceError,
        "The phone's developer image is not mounted.",
        "Run 'pymobiledevice3 mounter auto-mount', or open Xcode once with the phone attached.",
    ),
    (
        r"tunnel|TunneldConnectionError|RemoteXPC|RSD",
        DeviceError,
        "There is no tunnel to the phone's developer services (needed from iOS 17 on).",
        "Update pymobiledevice3 (its userspace tunnel needs no root), or start "
        "'sudo pymobiledevice3 remote tunneld'.",
    ),
    (
        r"(application|\bapp|bundle).{0,80}((not|n.t) (be )?(found|installed)|unknown|"
        r"is (not )?installed)|AppNotInstalled|InstallationLookupFailed|ApplicationLookupFailed",
        AppMissing,
        "The agent app is not on the phone.",
        "Build, sign and install it once: device_agents/runners/coreml/README.md.",
    ),
    (
        r"refused to open the container|InstallationProhibited|not (have )?file sharing",
        DeviceError,
        "The app on the phone does not share its files.",
        "It was built without UIFileSharingEnabled: build the present project again.",
    ),
    (
        r"no space|disk full|storage is full|NO_SPACE_LEFT",
        DeviceError,
        "The phone has no room left.",
        "Delete something on it, or measure fewer operators (--filter).",
    ),
    (
        r"no device|device (was )?not found|NoDeviceConnected|device is not connected|disconnected|"
        r"broken pipe|connection (was )?(lost|reset|terminated|aborted|closed|interrupted)|"
        r"ConnectionTerminated|device closed the stream|usbmuxd does not know the device|"
        r"failed to connect to service port",
        DeviceLost,
        "The phone went away.",
        "Attach it again, then run the same command with --resume; what was measured is kept.",
    ),
)


def run_command(argv: Sequence[str], timeout_s: float) -> str:
    """Run a program; returns its standard output.

    Raises:
        NoSuchFile: The phone does not have a file that was asked for.
        ProgramMissing: The program is not installed.
        DeviceError, DeviceLost, DeviceTimeout: It failed; the message says why.
    """
    if shutil.which(argv[0]) is None:
        raise ProgramMissing(f"The program {argv[0]} is not installed.", _how_to_install(argv[0]))
    try:
        process = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceTimeout(
            f"{' '.join(argv[:4])} did not end within {timeout_s:g} s.",
            "Unlock the phone and look whether it asks something; then --resume.",
        ) from error
    if process.returncode == 0:
        return process.stdout
    raise explain(f"{process.stderr}\n{process.stdout}", argv)


def explain(output: str, argv: Sequence[str]) -> Exception:
    """The kit's error for the output of a program that failed."""
    if _MISSING_FILE.search(output) and not re.search(r"\bapp(lication)?\b", output, re.IGNORECASE):
        return NoSuchFile(output.strip()[-200:])
    for pattern, kind, message, remedy in _KNOWN_ERRORS:
        if re.search(pattern, output, re.IGNORECASE | re.DOTALL):
            return kind(message, remedy)
    last = " ".join(output.split())[-300:] or "nothing"
    return DeviceError(f"{' '.join(argv[:4])} failed and said: {last}", "Try it by hand.")


def _how_to_install(program: str) -> str:
    if program == "xcrun":
        return "It comes with Xcode 15 or later."
    return f"Install it beside the kit: pipx install {program}."
