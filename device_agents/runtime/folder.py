"""A runtime folder in the cache: its files, its hash, and the record of how it was made."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from device_agents.native.build import SOURCES
from device_agents.native.record import FILE, RunnerBuild, read_build, runners_folder
from device_agents.runtime.targets import Target
from search.files import sha256_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One runtime: `files` are names and sha256 of all that is sent to the device."""

    target: Target
    path: Path
    record: RunnerBuild

    @property
    def files(self) -> dict[str, str]:
        """Sha256 by name."""
        return self.record.files

    @property
    def sha256(self) -> str:
        """Hash of the whole folder: the libraries in it compute, and the runner calls them."""
        return self.record.sha256

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum((self.path / name).stat().st_size for name in self.files)


def find(target: Target) -> Runtime | None:
    """The runtime of the present sources and pins, if it was made; quick, runs nothing."""
    place = place_of(target)
    record = read_build(place / FILE)
    path = place / "files"
    if record is None or not record.files:
        return None
    if not all((path / name).is_file() for name in record.files):
        return None
    return Runtime(target=target, path=path, record=record)


def place_of(target: Target) -> Path:
    """The folder in the cache that holds the runtime and its record."""
    digest = hashlib.sha256(f"{target} {target.wheel.sha256} {target.libraries}\n".encode())
    folders = {source.parent for source in (*target.sources, SOURCES / "main.cpp")}
    headers = [header for folder in sorted(folders) for header in sorted(folder.glob("*.h"))]
    for source in (*target.sources, *headers):
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return runners_folder() / f"{target.name}-wheels-{digest.hexdigest()[:16]}"


def hash_files(folder: Path) -> dict[str, str]:
    """Sha256 of each file of a folder, by name."""
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


def hash_folder(files: dict[str, str]) -> str:
    """One hash of names and contents."""
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
