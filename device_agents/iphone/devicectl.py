"""Transport by `xcrun devicectl` (macOS, Xcode 15 and later; phones from iOS 17 on)."""

import tempfile
from pathlib import Path
from typing import Any

from device_agents.iphone.command import NoSuchFile, run_command
from device_agents.iphone.transport import BUNDLE, IphoneInfo
from search.documents import MOST_BYTES, parse_json
from search.errors import DeviceError
from search.files import read_at_most


class Devicectl:
    """Apple's tool; its answers are read from the JSON file that it writes."""

    name = "devicectl"

    def __init__(self, bundle: str = BUNDLE, timeout_s: float = 600.0) -> None:
        self._bundle, self._timeout_s = bundle, timeout_s

    def phones(self) -> tuple[IphoneInfo, ...]:
        """Phones that are paired with the Mac and attached now."""
        answer = self._ask("list", "devices")
        try:
            phones = [_phone(device) for device in answer["result"]["devices"]]
        except (KeyError, TypeError) as error:
            raise DeviceError("devicectl answered with a list of another form.", _UPDATE) from error
        return tuple(phone for phone in phones if phone is not None)

    def push(self, phone: IphoneInfo, source: Path, remote_path: str) -> None:
        """Copy a file or folder into the app's Documents."""
        self._device(
            phone, "copy", "to", *self._domain(), "--source", str(source),
            "--destination", f"Documents/{remote_path}",
        )  # fmt: skip

    def pull(self, phone: IphoneInfo, remote_path: str, target: Path) -> bool:
        """Copy a file out of the app's Documents."""
        try:
            self._device(
                phone, "copy", "from", *self._domain(), "--source", f"Documents/{remote_path}",
                "--destination", str(target),
            )  # fmt: skip
        except NoSuchFile:
            return False
        return True

    def launch(self, phone: IphoneInfo, *arguments: str) -> None:
        """Start the app, ending one that runs."""
        self._device(phone, "process", "launch", "--terminate-existing", self._bundle, *arguments)

    def _domain(self) -> tuple[str, ...]:
        return ("--domain-type", "appDataContainer", "--domain-identifier", self._bundle)

    def _device(self, phone: IphoneInfo, first: str, second: str, *arguments: str) -> Any:
        return self._ask("device", first, second, "--device", phone.udid, *arguments)

    def _ask(self, *arguments: str) -> Any:
        with tempfile.TemporaryDirectory(prefix="kit-devicectl-") as folder:
            answer = Path(folder) / "answer.json"
            # Before other options: arguments after a bundle's name go to the app.
            options = next(
                (i for i, a in enumerate(arguments) if a.startswith("--")), len(arguments)
            )
            output = ("--json-output", str(answer))
            argv = ("xcrun", "devicectl", *arguments[:options], *output, *arguments[options:])
            run_command(argv, self._timeout_s)
            try:
                return parse_json(read_at_most(answer, MOST_BYTES).decode("utf-8"))
            except (OSError, ValueError) as error:
                raise DeviceError("devicectl wrote no answer that can be read.", _UPDATE) from error


_UPDATE = "Update Xcode, or report its version."


def _phone(device: dict[str, Any]) -> IphoneInfo | None:
    hardware, state = device["hardwareProperties"], device["deviceProperties"]
    connection = device["connectionProperties"]
    if hardware.get("deviceType") != "iPhone" or connection.get("transportType") is None:
        return None
    mode = state.get("developerModeStatus")
    return IphoneInfo(
        udid=hardware["udid"],
        model=hardware.get("productType"),
        os=state.get("osVersionNumber"),
        os_build=state.get("osBuildUpdate"),
        developer_mode=None if mode is None else mode == "enabled",
        paired=connection.get("pairingState") == "paired",
    )
