"""The kit's folder on a device: files by their content, plans, outputs.

A file is there under its sha256 or not at all, so what an earlier run has
copied is never copied again, and what it left half done is never used.
"""

import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agents.adb.device import AdbDevice
from device_agents.android.parsers import parse_free_kb
from search.errors import DeviceError
from search.files import sha256_bytes, sha256_file

ROOT = "/data/local/tmp/fbnet-kit"
_FILES, _PLANS, _OUTPUTS = f"{ROOT}/files", f"{ROOT}/plans", f"{ROOT}/outputs"
_NAME = re.compile(r"[0-9a-f]{64}")
# Room that is left to the device.
_SPARE_BYTES = 50 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the kit's folder holds."""

    files: int
    bytes: int | None
    free_bytes: int | None


class FileStore:
    """Files of the kit on one device.

    Args:
        phone: The device.
    """

    def __init__(self, phone: AdbDevice) -> None:
        self._phone = phone
        self._have: set[str] | None = None
        self._free: int | None = None
        self.pushed_bytes = 0

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """Which of these contents are not there yet.

        Raises:
            DeviceError: There is no room for them.
        """
        missing = {sha256 for sha256 in sizes if sha256 not in self._present()}
        self._check_room(sum(sizes[sha256] for sha256 in missing))
        return missing

    def put(self, path: Path, sha256: str, executable: bool = False) -> str:
        """Make a file available; returns its path on the device.

        Raises:
            DeviceError: It changed since it was built, there is no room, or
                the copy differs.
        """
        place = f"{_FILES}/{sha256}"
        if sha256 in self._present():
            return place
        try:
            size, actual = path.stat().st_size, sha256_file(path)
        except OSError as error:
            raise DeviceError(f"Cannot read {path}: {error.strerror}.") from error
        if actual != sha256:
            raise DeviceError(f"{path} changed since it was built.", "Run again to rebuild it.")
        self._check_room(size)
        self._phone.push(path, place, sha256, mode=0o755 if executable else 0o644)
        self._present().add(sha256)
        self.pushed_bytes += size
        if self._free is not None:
            self._free -= size
        return place

    def put_plan(self, text: str) -> str:
        """Write a plan; returns its path on the device."""
        content = text.encode()
        place = f"{_PLANS}/{secrets.token_hex(8)}.json"
        self._present()
        with tempfile.TemporaryDirectory(prefix="kit-plan-") as folder:
            path = Path(folder) / "plan.json"
            path.write_bytes(content)
            self._phone.push(path, place, sha256_bytes(content))
        return place

    def remove(self, place: str) -> None:
        """Remove a plan or an output; it need not be there."""
        self._phone.run(["rm", "-f", _inside(place)])

    def reserve(self) -> str:
        """A name for an output that nothing else uses."""
        self._present()
        return f"{_OUTPUTS}/{secrets.token_hex(8)}"

    def collect(self, place: str) -> bytes:
        """Read and remove an output.

        Raises:
            DeviceError: There is none.
        """
        if self._phone.run(["test", "-f", _inside(place)]).code:
            raise DeviceError(f"The runner wrote no {place}.")
        content = self._phone.pull(place)
        self.remove(place)
        return content

    def contents(self) -> Contents:
        """What is there now."""
        listed, summed, free = self._phone.run_all(
            [["ls", _FILES], ["du", "-sk", ROOT], ["df", "-k", "/data/local/tmp"]]
        )
        size = summed.text.split()[0] if summed.code == 0 and summed.text else ""
        free_kb = parse_free_kb(free.text)
        return Contents(
            files=sum(bool(_NAME.fullmatch(name)) for name in listed.text.split()),
            bytes=int(size) * 1024 if size.isdigit() else None,
            free_bytes=None if free_kb is None else free_kb * 1024,
        )

    def clean(self) -> None:
        """Remove the kit's folder.

        Raises:
            DeviceError: The device refuses.
        """
        self._phone.check(["rm", "-rf", ROOT], f"The device cannot remove {ROOT}")
        self._have = None

    def _present(self) -> set[str]:
        if self._have is None:
            self._phone.check(
                ["mkdir", "-p", _FILES, _PLANS, _OUTPUTS], f"The device cannot make {ROOT}"
            )
            listed, free = self._phone.run_all([["ls", _FILES], ["df", "-k", ROOT]])
            names = listed.text.split()
            self._have = {name for name in names if _NAME.fullmatch(name)}
            broken = [name for name in names if re.fullmatch(r"[0-9a-f]{64}\.part", name)]
            if broken:
                self._phone.run_all([["rm", "-f", f"{_FILES}/{name}"] for name in broken])
            free_kb = parse_free_kb(free.text)
            self._free = None if free_kb is None else free_kb * 1024
        return self._have

    def _check_room(self, size: int) -> None:
        self._present()
        if size and self._free is not None and size + _SPARE_BYTES > self._free:
            raise DeviceError(
                f"The device has {self._free / 2**20:.0f} MiB free, "
                f"{(size + _SPARE_BYTES) / 2**20:.0f} MiB are needed.",
                "Make room on it, or remove the kit's files: python -m profiler devices clean.",
            )


def _inside(place: str) -> str:
    """Refuse names outside the kit's folder, whoever made them."""
    if not place.startswith(f"{ROOT}/") or ".." in place.split("/"):
        raise DeviceError(f"The runner wrote no {place!r} in the kit's folder.")
    return place
