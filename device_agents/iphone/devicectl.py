"""Transport by `xcrun devicectl` (macOS, Xcode 15 and later; phones from iOS 17 on)."""

import tempfile
from pathlib import Path
from typing import Any

from device_agents.iphone.command import NoSuchFile, run_command
from device_agents.iphone.device_list import read_phones
from device_agents.iphone.transport import BUNDLE, IphoneInfo
from search.documents import MOST_BYTES, parse_json
from search.errors import DeviceError
from search.files import read_at_most


class Devicectl:
    """Apple's tool; its answers are read from the JSON file that it writes."""

    name = "devicectl"

    def __init__(self, bundle: str = BUNDLE, timeout_s: float = 600.0) -> None:
        self._bundle, self._timeout_s = bundle, timeout_s

    def version(self) -> str:
        """The tool's version.

        Raises:
            DeviceError: The tool is missing.
        """
        said = run_command(("xcrun", "devicectl", "--version"), self._timeout_s)
        return said.strip()

    def phones(self) -> tuple[IphoneInfo, ...]:
        """Phones that are paired with the Mac, those that cannot be reached with the reason."""
        answer = self._ask(("list", "devices"))
        devices = answer.get("result", {}).get("devices") if isinstance(answer, dict) else None
        if not isinstance(devices, list):
            raise DeviceError("devicectl answered with a list of another form.", _UPDATE)
        return read_phones(devices)

    def push(self, phone: IphoneInfo, source: Path, remote_path: str) -> None:
        """Copy a file or folder into the app's Documents."""
        self._copy(phone, "to", str(source), f"Documents/{remote_path}")

    def pull(self, phone: IphoneInfo, remote_path: str, target: Path) -> bool:
        """Copy a file out of the app's Documents."""
        try:
            self._copy(phone, "from", f"Documents/{remote_path}", str(target))
        except NoSuchFile:
            return False
        return True

    def launch(self, phone: IphoneInfo, *arguments: str) -> None:
        """Start the app, ending one that runs."""
        options = ("--device", phone.udid, "--terminate-existing")
        # What follows -- is the app and its own arguments, whatever these look like.
        self._ask(("device", "process", "launch"), *options, "--", self._bundle, *arguments)

    def developer_mode(self, phone: IphoneInfo) -> bool | None:
        """As the list of devices says."""
        return phone.developer_mode

    def image_mounted(self, phone: IphoneInfo) -> bool | None:
        """As the list of devices says; the tool mounts the image by itself when it is needed."""
        return phone.developer_services

    def app_installed(self, phone: IphoneInfo) -> bool:
        """Ask for the app by its identifier."""
        answer = self._ask(
            ("device", "info", "apps"), "--device", phone.udid, "--bundle-id", self._bundle
        )
        try:
            return bool(answer["result"]["apps"])
        except (KeyError, TypeError) as error:
            raise DeviceError("devicectl answered with a list of another form.", _UPDATE) from error

    def _copy(self, phone: IphoneInfo, way: str, source: str, destination: str) -> None:
        self._ask(
            ("device", "copy", way), "--device", phone.udid,
            "--domain-type", "appDataContainer", "--domain-identifier", self._bundle,
            "--source", source, "--destination", destination,
        )  # fmt: skip

    def _ask(self, verb: tuple[str, ...], *arguments: str) -> Any:
        with tempfile.TemporaryDirectory(prefix="kit-devicectl-") as folder:
            answer = Path(folder) / "answer.json"
            argv = ("xcrun", "devicectl", *verb, "--json-output", str(answer), *arguments)
            run_command(argv, self._timeout_s)
            try:
                return parse_json(read_at_most(answer, MOST_BYTES).decode("utf-8"))
            except (OSError, ValueError) as error:
                raise DeviceError("devicectl wrote no answer that can be read.", _UPDATE) from error


_UPDATE = "Update Xcode, or report its version."
