"""Records as the agent app writes them: one file of a complete job, or numbered files so far."""

from pathlib import Path

from search.errors import UsageError
from search.files import read_at_most

_MOST_BYTES = 512 * 2**20
WHOLE = "records.jsonl"
PARTS = "records"


def part_name(number: int) -> str:
    """Name of the numbered file in a job's folder; the first is 1."""
    return f"{PARTS}/{number:06d}.jsonl"


def read_lines(folder: Path) -> list[str]:
    """The lines of records in a folder.

    Raises:
        UsageError: There are none, or a numbered file is missing.
        OSError, ValueError: They cannot be read.
    """
    if (folder / WHOLE).exists():
        return _read(folder / WHOLE)
    parts = sorted((folder / PARTS).glob("*.jsonl"))
    if not parts:
        raise UsageError(
            f"{folder} is no prepared folder with records: it holds no {WHOLE}.",
            f"Put {WHOLE} beside plan.json (README.txt there says how).",
        )
    for number, part in enumerate(parts, 1):
        if part != folder / part_name(number):
            raise UsageError(
                f"{folder} lacks {part_name(number)}.", "Copy the app's folder of records again."
            )
    return [line for part in parts for line in _read(part)]


def _read(path: Path) -> list[str]:
    # Whatever is no text is no record: the parser refuses it.
    text = read_at_most(path, _MOST_BYTES).decode("utf-8", "replace")
    return text.removesuffix("\n").split("\n")
