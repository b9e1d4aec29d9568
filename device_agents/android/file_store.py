"""Files of the kit on a device: artefacts by content, plans, outputs.

A file is stored under its sha256 or not at all, so a file that an earlier run
copied is never copied again, and one that it copied in part is never used.
"""

import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agents.adb.copying import FileCopy
from device_agents.adb.device import AdbDevice
from device_agents.android.parsers import parse_free_kb
from search.errors import DeviceError
from search.files import sha256_bytes, sha256_file

ROOT = "/data/local/tmp/fbnet-kit"
_FILES, PLANS, _OUTPUTS = f"{ROOT}/files", f"{ROOT}/plans", f"{ROOT}/outputs"
_RUNTIMES = f"{ROOT}/runtimes"
_NAME = re.compile(r"[0-9a-f]{64}")
# Space that is left free on the device.
_SPARE_BYTES = 50 * 2**20
# Files that are copied at once, and their bytes.
_GROUP, _GROUP_BYTES = 16, 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContents:
    """Size of the kit's folder, and free space."""

    files: int
    bytes: int | None
    free_bytes: int | None


class FileStore:
    """Files of the kit on one device.

    Args:
        device: The connected device.
    """

    def __init__(self, device: AdbDevice) -> None:
        self._device = device
        self._stored: set[str] | None = None
        self._free: int | None = None
        self._folders: set[str] = set()
        self.pushed_bytes = 0

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """The contents, of these, that are not stored yet.

        Raises:
            DeviceError: There is no space for them.
        """
        missing = {sha256 for sha256 in sizes if sha256 not in self._stored_files()}
        self._check_space(sum(sizes[sha256] for sha256 in missing))
        return missing

    def put(self, path: Path, sha256: str, executable: bool = False) -> str:
        """Make a file available; returns its path on the device.

        Raises:
            DeviceError: It changed since it was built, there is no space, or
                the copy differs.
        """
        return self.put_all({sha256: path}, executable)[sha256]

    def put_all(self, files: Mapping[str, Path], executable: bool = False) -> dict[str, str]:
        """Make files available in few round trips; the path of each on the device, by sha256.

        Raises:
            DeviceError: As `put`; the files before the one that it speaks of are there.
        """
        sizes = {
            sha256: _checked_size(path, sha256)
            for sha256, path in files.items()
            if sha256 not in self._stored_files()
        }
        self._check_space(sum(sizes.values()))
        for group in _groups(sizes):
            self._push_group({sha256: files[sha256] for sha256 in group}, executable)
            size = sum(sizes[sha256] for sha256 in group)
            self.pushed_bytes += size
            if self._free is not None:
                self._free -= size
        return {sha256: f"{_FILES}/{sha256}" for sha256 in files}

    def _push_group(self, files: Mapping[str, Path], executable: bool) -> None:
        mode = 0o755 if executable else 0o644
        self._device.push_all(
            [
                FileCopy(source=path, path=f"{_FILES}/{sha256}", sha256=sha256, mode=mode)
                for sha256, path in files.items()
            ]
        )
        self._stored_files().update(files)

    def put_folder(self, folder: Path, files: Mapping[str, str], sha256: str) -> str:
        """Make a folder of programs available, whole or not at all; returns its path there.

        Args:
            folder: The folder on this computer.
            files: Sha256 of each of its files by name.
            sha256: That of the whole, its name on the device.

        Raises:
            DeviceError: A file changed since it was made, there is no space, or a copy differs.
        """
        remote_path, part = f"{_RUNTIMES}/{sha256}", f"{_RUNTIMES}/{sha256}.part"
        if remote_path in self._folders or not self._device.run(["test", "-d", remote_path]).code:
            self._folders.add(remote_path)
            return remote_path
        sizes = {name: (folder / name).stat().st_size for name in files}
        self._check_space(sum(sizes.values()))
        # One that a broken run left is begun anew.
        self._device.run(["rm", "-rf", part])
        self._device.check(["mkdir", "-p", part], f"The device cannot make {part}")
        for name, expected in files.items():
            if sha256_file(folder / name) != expected:
                raise DeviceError(
                    f"{folder / name} changed since it was made.",
                    "Make it again: python -m device_agents.runtime --rebuild.",
                )
            self._device.push(folder / name, f"{part}/{name}", expected, mode=0o755)
            self.pushed_bytes += sizes[name]
        rename = self._device.run(["mv", part, remote_path])
        # Repeated after a break, the rename may be done already.
        if rename.code and self._device.run(["test", "-d", remote_path]).code:
            raise DeviceError(f"The device cannot rename {part}: {rename.last_error_line}.")
        self._folders.add(remote_path)
        return remote_path

    def put_plan(self, text: str) -> str:
        """Write a plan; returns its path on the device."""
        content = text.encode()
        remote_path = f"{PLANS}/{secrets.token_hex(8)}.json"
        self._stored_files()
        with tempfile.TemporaryDirectory(prefix="kit-plan-") as folder:
            path = Path(folder) / "plan.json"
            path.write_bytes(content)
            self._device.push(path, remote_path, sha256_bytes(content))
        return remote_path

    def remove(self, remote_path: str) -> None:
        """Remove a plan or an output, if it exists."""
        self._device.run(["rm", "-f", _inside(remote_path)])

    def reserve(self) -> str:
        """An unused path for one output."""
        self._stored_files()
        return f"{_OUTPUTS}/{secrets.token_hex(8)}"

    def collect(self, remote_path: str) -> bytes:
        """Read and remove an output.

        Raises:
            DeviceError: There is no such file.
        """
        if self._device.run(["test", "-f", _inside(remote_path)]).code:
            raise DeviceError(f"The runner wrote no {remote_path}.")
        content = self._device.pull(remote_path)
        self.remove(remote_path)
        return content

    def contents(self) -> StoredContents:
        """Number and size of the stored files, and free space."""
        listing, usage, free = self._device.run_all(
            [["ls", _FILES], ["du", "-sk", ROOT], ["df", "-k", "/data/local/tmp"]]
        )
        size = usage.text.split()[0] if usage.code == 0 and usage.text else ""
        free_kb = parse_free_kb(free.text)
        return StoredContents(
            files=sum(bool(_NAME.fullmatch(name)) for name in listing.text.split()),
            bytes=int(size) * 1024 if size.isdigit() else None,
            free_bytes=None if free_kb is None else free_kb * 1024,
        )

    def clean(self) -> None:
        """Remove the kit's folder.

        Raises:
            DeviceError: The device refuses.
        """
        self._device.check(["rm", "-rf", ROOT], f"The device cannot remove {ROOT}")
        self._stored = None

    def _stored_files(self) -> set[str]:
        if self._stored is None:
            self._device.check(
                ["mkdir", "-p", _FILES, PLANS, _OUTPUTS], f"The device cannot make {ROOT}"
            )
            listing, free = self._device.run_all([["ls", _FILES], ["df", "-k", ROOT]])
            names = listing.text.split()
            self._stored = {name for name in names if _NAME.fullmatch(name)}
            partial = [name for name in names if re.fullmatch(r"[0-9a-f]{64}\.part", name)]
            if partial:
                self._device.run_all([["rm", "-f", f"{_FILES}/{name}"] for name in partial])
            free_kb = parse_free_kb(free.text)
            self._free = None if free_kb is None else free_kb * 1024
        return self._stored

    def _check_space(self, size: int) -> None:
        self._stored_files()
        if size and self._free is not None and size + _SPARE_BYTES > self._free:
            raise DeviceError(
                f"The device has {self._free / 2**20:.0f} MiB free, "
                f"{(size + _SPARE_BYTES) / 2**20:.0f} MiB are needed.",
                "Make room on it, or remove the kit's files: python -m profiler devices clean.",
            )


def _checked_size(path: Path, sha256: str) -> int:
    """Size of a file that still has its content."""
    try:
        size, actual = path.stat().st_size, sha256_file(path)
    except OSError as error:
        raise DeviceError(f"Cannot read {path}: {error.strerror}.") from error
    if actual != sha256:
        raise DeviceError(f"{path} changed since it was built.", "Run again to rebuild it.")
    return size


def _groups(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """What is copied at once: a broken connection repeats no more than that."""
    group: list[str] = []
    for sha256, size in sizes.items():
        full = len(group) == _GROUP or sum(sizes[one] for one in group) + size > _GROUP_BYTES
        if group and full:
            yield group
            group = []
        group.append(sha256)
    if group:
        yield group


def _inside(remote_path: str) -> str:
    """Refuse paths outside the kit's folder."""
    if not remote_path.startswith(f"{ROOT}/") or ".." in remote_path.split("/"):
        raise DeviceError(f"The runner wrote no {remote_path!r} in the kit's folder.")
    return remote_path
