"""What must hold of a campaign and its device, whatever happened to the connection."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from device_agents.runtime.folder import hash_files, hash_folder
from search.table.store import Table

_NAME = re.compile(r"[0-9a-f]{64}")


def faults_of_table(table: Table, wanted: Iterable[str]) -> list[str]:
    """What is wrong with a table; `wanted` names all that it had to measure."""
    failed = [
        f"failed: {entry.key} ({entry.reason})"
        for entry in table.entries
        if entry.status == "failed"
    ]
    rounds = table.manifest.protocol.rounds_per_pass or 0
    return [*failed, *faults_of_samples(table.samples(), rounds, wanted)]


def faults_of_samples(samples: pd.DataFrame, rounds: int, wanted: Iterable[str]) -> list[str]:
    """Lost items, blocks counted twice, blocks that two runners took side by side.

    Args:
        samples: Blocks as a table holds them.
        rounds: How many each item has in each pass.
        wanted: Names of all operators and networks that had to be measured.
    """
    counts = samples.groupby(["item", "pass"]).size()
    found = [f"lost: {item}" for item in sorted(set(wanted) - set(samples["item"]))]
    found += [
        f"{item} has {blocks} of {rounds} blocks in pass {number}"
        for item in sorted(set(samples["item"]))
        for number in range(int(samples["pass"].max()) + 1)
        if (blocks := int(counts.get((item, number), 0))) != rounds
    ]
    # A block ends at its own nanosecond, and one runner measures one block at a time.
    ends = samples["at_ns"].astype("int64")
    twice = int(ends.duplicated().sum())
    found += [f"{twice} block(s) counted twice"] if twice else []
    times = samples.assign(end=ends, begin=ends - samples["ns"].astype("int64"))
    times = times.drop_duplicates("end").sort_values("end")
    beside = int((times["begin"] < times["end"].shift(fill_value=0)).sum())
    return [*found, *([f"{beside} block(s) measured beside another"] if beside else [])]


def broken_files(folder: Path, whole: dict[str, tuple[int, int]]) -> list[str]:
    """Files that lie there under a name that promises another content.

    Args:
        folder: The kit's files on the device.
        whole: Inode and time of what was found whole before; updated.
    """
    found = []
    for path in sorted(folder.glob("*")):
        if not _NAME.fullmatch(path.name):
            continue
        state = path.stat()
        mark = (state.st_ino, state.st_mtime_ns)
        if whole.get(path.name) == mark:
            continue
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest == path.name:
            whole[path.name] = mark
        else:
            found.append(f"a partial file under a whole one's name: {path.name}")
    return found


def broken_folders(folder: Path) -> list[str]:
    """Runtimes that lie there under the name of a whole one and are not.

    Args:
        folder: The kit's runtimes on the device.
    """
    return [
        f"a partial runtime under a whole one's name: {path.name}"
        for path in sorted(folder.glob("*"))
        if _NAME.fullmatch(path.name) and hash_folder(hash_files(path)) != path.name
    ]


def faults_of_device(
    folder: Path, fixed_performance: bool, stay_on: int, runners: int
) -> list[str]:
    """What a campaign that ended left behind.

    Args:
        folder: The kit's folder on the device.
        fixed_performance, stay_on: Settings that it had to restore (off and 0).
        runners: Programs of the kit that still run there.
    """
    found = [f"left behind: {path.name}" for path in sorted(folder.glob("*/*.part"))]
    found += ["fixed-performance mode is still on"] if fixed_performance else []
    found += ["the screen is still kept on"] if stay_on else []
    return [*found, *([f"{runners} runner(s) still at work"] if runners else [])]
