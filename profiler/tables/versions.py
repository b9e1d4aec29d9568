"""Tables on disk: their names, versions, newest ones and parents."""

import re
from pathlib import Path

from profiler.settings import CampaignSettings
from search.errors import KitError
from search.operators.words import space_label
from search.table.manifest import DeviceInfo, Manifest
from search.table.processors import compare_devices
from search.table.store import MANIFEST, Table, read_manifest

_VERSION = re.compile(r"(?P<stem>.+)-v(?P<number>\d+)")


def table_stem(settings: CampaignSettings) -> str:
    """A table's name without its version."""
    stem = f"{space_label(settings.space)}-{settings.backend}-t{settings.threads}"
    if settings.runner == "python":
        stem += "-python"
    if settings.runtime != "auto":  # another runtime is another table, not its next version
        stem += f"-{settings.runtime}"
    if settings.chains:
        stem += "-chains"
    if settings.sustain_s is not None:
        stem += "-sustained"
    if settings.filter is not None:
        return f"{stem}-partial"
    return f"{stem}-budget" if settings.max_operators else stem


def exporter_of(manifest: Manifest) -> str | None:
    """What made the programs of ExecuTorch, which may be another release than ran them."""
    version = manifest.kit.packages.get("executorch")
    known = version is not None and manifest.runtime.name == "executorch"
    return f"executorch {version}" if known else None


def next_version(output: Path, device: DeviceInfo, stem: str) -> tuple[Path, str | None]:
    """The folder of the next version, and the id of the newest one before it.

    A table of which it is not known that this device measured it has no
    successor: the number goes on, and the id is None.
    """
    device_folder, versions = output / device.id, {}
    for path in device_folder.glob(f"{stem}-v*"):
        number = path.name.removeprefix(f"{stem}-v")
        if number.isdigit():
            versions[int(number)] = path
    if not versions:
        return device_folder / f"{stem}-v1", None
    complete = [number for number, path in versions.items() if (path / MANIFEST).exists()]
    folder = device_folder / f"{stem}-v{max(versions) + 1}"
    newest = read_manifest(versions[max(complete)]) if complete else None
    if newest is None or compare_devices(newest.device, device).verdict != "same":
        return folder, None
    return folder, newest.table_id


def newest_tables(root: Path) -> tuple[Path, ...]:
    """The newest version of every table under `<root>/<device>/`; partial ones left out."""
    newest: dict[tuple[str, str], tuple[int, Path]] = {}
    for manifest in sorted(root.glob(f"*/*/{MANIFEST}")):
        folder = manifest.parent
        match = _VERSION.fullmatch(folder.name)
        if match is None or match["stem"].endswith("-partial"):
            continue
        key, version = (folder.parent.name, match["stem"]), (int(match["number"]), folder)
        newest[key] = max(newest.get(key, version), version)
    return tuple(path for _, path in newest.values())


def find_parent(table: Table) -> Path | None:
    """The folder of the version that a table names as its parent, if it is still there."""
    parent_id = table.manifest.parent_id
    if parent_id is None or table.path is None:
        return None
    for path in sorted(table.path.parent.glob(f"*/{MANIFEST}")):
        try:
            manifest = read_manifest(path.parent)
        except KitError:
            continue
        if manifest.table_id == parent_id:
            return path.parent
    return None
