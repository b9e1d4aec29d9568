"""Transport by the program pymobiledevice3 (Linux, Windows, macOS).

It is licensed under the GPL: it is run as a separate program and never
imported. Up to iOS 16 it needs the developer image mounted to start the app;
from iOS 17.4 on it opens its own tunnel without root.
"""

import re
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from device_agents.iphone.command import DeveloperServiceMissing, NoSuchFile, run_command
from device_agents.iphone.instructions import OLDEST_PYMOBILEDEVICE
from device_agents.iphone.transport import BUNDLE, IphoneInfo
from search.documents import parse_json
from search.errors import DeviceError

_VERSION = re.compile(r"(\d+)\.(\d+)")


class Pymobiledevice:
    """Transport by the external program `pymobiledevice3`."""

    name = "pymobiledevice3"

    def __init__(self, bundle: str = BUNDLE, timeout_s: float = 600.0) -> None:
        self._bundle, self._timeout_s = bundle, timeout_s
        self._version: str | None = None

    def version(self) -> str:
        """The program's version.

        Raises:
            DeviceError: The program is missing, or too old for the calls that are made here.
        """
        if self._version is None:
            said = self._run("version")
            match = _VERSION.search(said)
            oldest = tuple(map(int, OLDEST_PYMOBILEDEVICE.split(".")))
            if match is None or (int(match[1]), int(match[2])) < oldest:
                raise DeviceError(
                    f"pymobiledevice3 {said.strip()[:40] or 'of unknown version'} is too old; "
                    f"{OLDEST_PYMOBILEDEVICE} or later is needed.",
                    "Update it: pipx upgrade pymobiledevice3.",
                )
            self._version = said.strip()
        return self._version

    def phones(self) -> tuple[IphoneInfo, ...]:
        """Phones on USB; those that do not trust this computer report little."""
        self.version()
        output = self._run("--no-color", "usbmux", "list", "--usb")
        if not output.strip():
            raise DeviceError("pymobiledevice3 listed nothing at all.", "Update it.")
        try:
            entries: Any = parse_json(output)
            return tuple(_phone(entry) for entry in entries if _is_iphone(entry))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeviceError(
                "pymobiledevice3 answered with a list of another form.", "Update it."
            ) from error

    def push(self, phone: IphoneInfo, source: Path, remote_path: str) -> None:
        """Copy a file or folder into the app's Documents.

        The program makes no parent folders for a file, and appends a folder's
        name to where it is to go: what is copied is a folder laid out as the
        phone's own, to its parent, which exists always.
        """
        with tempfile.TemporaryDirectory(prefix="kit-push-") as temporary:
            place = Path(temporary) / remote_path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source.resolve())
            top = PurePosixPath(remote_path).parts[0]
            self._apps(phone, "push", str(Path(temporary) / top), "Documents")

    def pull(self, phone: IphoneInfo, remote_path: str, target: Path) -> bool:
        """Copy a file out of the app's Documents."""
        try:
            self._apps(phone, "pull", f"Documents/{remote_path}", str(target))
        except NoSuchFile:
            return False
        return True

    def launch(self, phone: IphoneInfo, *arguments: str) -> None:
        """Start the app, ending one that runs."""
        command = " ".join((self._bundle, *arguments))
        try:
            self._run(
                "developer", "dvt", "launch", "--udid", phone.udid, "--kill-existing", command
            )
        except DeveloperServiceMissing as error:
            raise _without_developer_services(phone, error) from error

    def developer_mode(self, phone: IphoneInfo) -> bool | None:
        """Asked of the phone; there is no such mode before iOS 16."""
        if phone.os_major is not None and phone.os_major < 16:
            return None
        answer = self._json("amfi", "developer-mode-status", "--udid", phone.udid)
        return answer if isinstance(answer, bool) else None

    def image_mounted(self, phone: IphoneInfo) -> bool | None:
        """Whether any image is mounted."""
        answer = self._json("mounter", "list", "--udid", phone.udid)
        return bool(answer) if isinstance(answer, list) else None

    def app_installed(self, phone: IphoneInfo) -> bool:
        """Ask for the app by its identifier."""
        answer = self._json("apps", "query", "--udid", phone.udid, self._bundle)
        return isinstance(answer, dict) and self._bundle in answer

    def _json(self, *arguments: str) -> object:
        try:
            answer = parse_json(self._run("--no-color", *arguments))
        except ValueError as error:
            raise DeviceError(
                f"pymobiledevice3 {arguments[0]} answered in another form.", "Update it."
            ) from error
        return answer

    def _apps(self, phone: IphoneInfo, verb: str, first: str, second: str) -> None:
        self._run("apps", verb, "--udid", phone.udid, "--documents", self._bundle, first, second)

    def _run(self, *arguments: str) -> str:
        return run_command(("pymobiledevice3", *arguments), self._timeout_s)


def _is_iphone(entry: dict[str, str]) -> bool:
    return str(entry.get("ProductType") or "iPhone").startswith("iPhone")


def _phone(entry: dict[str, str]) -> IphoneInfo:
    return IphoneInfo(
        udid=entry["Identifier"],
        model=entry.get("ProductType"),
        os=entry.get("ProductVersion"),
        os_build=entry.get("BuildVersion"),
        paired=entry.get("ProductType") is not None,
    )


def _without_developer_services(phone: IphoneInfo, error: DeviceError) -> DeviceError:
    """Up to iOS 16 the image is missing; later systems need a tunnel besides."""
    if phone.os_major is not None and phone.os_major >= 17:
        return DeviceError(
            f"The developer services of the phone (iOS {phone.os}) cannot be reached.",
            f"{error.remedy} From iOS 17.0 to 17.3 a tunnel must run besides: "
            "'sudo pymobiledevice3 remote tunneld'.",
        )
    return DeviceError(
        f"The phone's developer image is not mounted (iOS {phone.os or 'unknown'}).",
        "Run 'pymobiledevice3 mounter auto-mount' (developer mode on), or open Xcode once with "
        "the phone attached; or start the app by its icon.",
    )
