"""Transport by the program pymobiledevice3 (Linux, Windows, macOS).

It is licensed under the GPL: it is run as a separate program and never
imported. Up to iOS 16 it needs the developer image mounted; from iOS 17.4 on
it opens its own tunnel without root.
"""

from pathlib import Path
from typing import Any

from device_agents.iphone.command import NoSuchFile, run_command
from device_agents.iphone.transport import BUNDLE, IphoneInfo
from search.documents import parse_json
from search.errors import DeviceError


class Pymobiledevice:
    """Transport by the external program `pymobiledevice3`."""

    name = "pymobiledevice3"

    def __init__(self, bundle: str = BUNDLE, timeout_s: float = 600.0) -> None:
        self._bundle, self._timeout_s = bundle, timeout_s

    def phones(self) -> tuple[IphoneInfo, ...]:
        """Phones on USB; those that do not trust this computer report little."""
        output = self._run("--no-color", "usbmux", "list", "--usb")
        if not output.strip():  # it exits with 0 when it cannot reach usbmuxd
            raise DeviceError(
                "pymobiledevice3 listed nothing at all: usbmuxd does not answer.",
                "Start usbmuxd (Linux: systemctl start usbmuxd; Windows: Apple Mobile Device "
                "Service), then attach the phone again.",
            )
        try:
            entries: Any = parse_json(output)
            return tuple(
                IphoneInfo(
                    udid=entry["Identifier"],
                    model=entry.get("ProductType"),
                    os=entry.get("ProductVersion"),
                    os_build=entry.get("BuildVersion"),
                    paired=entry.get("ProductType") is not None,
                )
                for entry in entries
                if str(entry.get("ProductType") or "iPhone").startswith("iPhone")
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeviceError(
                "pymobiledevice3 answered with a list of another form.", "Update it."
            ) from error

    def push(self, phone: IphoneInfo, source: Path, remote_path: str) -> None:
        """Copy a file or folder into the app's Documents."""
        self._apps(phone, "push", str(source), remote_path)

    def pull(self, phone: IphoneInfo, remote_path: str, target: Path) -> bool:
        """Copy a file out of the app's Documents."""
        try:
            self._apps(phone, "pull", remote_path, str(target))
        except NoSuchFile:
            return False
        return True

    def launch(self, phone: IphoneInfo, *arguments: str) -> None:
        """Start the app, ending one that runs."""
        command = " ".join((self._bundle, *arguments))
        self._run("developer", "dvt", "launch", "--udid", phone.udid, "--kill-existing", command)

    def _apps(self, phone: IphoneInfo, verb: str, first: str, second: str) -> None:
        self._run("apps", verb, "--udid", phone.udid, "--documents", self._bundle, first, second)

    def _run(self, *arguments: str) -> str:
        return run_command(("pymobiledevice3", *arguments), self._timeout_s)
