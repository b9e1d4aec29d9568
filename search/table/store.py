"""Tables on disk: written whole, sealed, verified when read; and lookup of their rows.

A table is a folder that is never edited after it was written:

    manifest.json     device, space, protocol, calibration, exam, hashes of the rest
    entries.csv       one row an operator (`Entry`)
    samples.parquet   raw integer nanoseconds
    exam.csv          each examined network, predicted and measured

Reading one imports neither torch nor any runtime, and executes nothing.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from search.documents import first_problem, parse_json
from search.errors import MissingOperator, TableError, UsageError
from search.files import read_at_most, sha256_bytes
from search.operators.spec import OperatorSpec
from search.table.columns import AGAIN, entries_to_csv, parse_entries
from search.table.entries import STATUSES, Entry
from search.table.exam import EXAM_COLUMNS as EXAM_COLUMNS
from search.table.exam import check_exam_columns, parse_exam
from search.table.manifest import TABLE_SCHEMA, Manifest
from search.table.samples import parse_samples
from search.table.upgrades import UPGRADES, upgrade_manifest

ENTRIES, SAMPLES, EXAM, MANIFEST = "entries.csv", "samples.parquet", "exam.csv", "manifest.json"
SEAL = "manifest_sha256"
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Table:
    """A table in memory; `path` is None until it is written."""

    manifest: Manifest
    entries: tuple[Entry, ...]
    exam: pd.DataFrame
    path: Path | None = None

    @cached_property
    def _by_key(self) -> Mapping[str, Entry]:
        return {entry.key: entry for entry in self.entries}

    @property
    def batch(self) -> int:
        """Images a call; 1 where no row tells it."""
        return self.entries[0].operator.batch if self.entries else 1

    @property
    def label(self) -> str:
        """Short name: device, title and, if not measured, its source."""
        mark = "" if self.manifest.source == "measured" else f" [{self.manifest.source}]"
        return f"{self.manifest.device.id}/{self.manifest.title}{mark}"

    def lookup(self, operator: OperatorSpec) -> Entry:
        """The row of one operator.

        Never interpolates: a guessed cost would steer the search.

        Raises:
            MissingOperator: Not in this table, or it failed; names the
                command that adds it.
        """
        entry = self._by_key.get(operator.key)
        remedy = f"Measure it: {profile_command(self.manifest)}"
        if self.manifest.source == "imported":
            remedy = "Its publisher's file holds no more: measure a table of your own device."
        if entry is None:
            raise MissingOperator(f"The table {self.label} has no row {operator.key}.", remedy)
        if entry.status == "failed":
            raise MissingOperator(
                f"In the table {self.label}, {operator.key} failed: {entry.reason}.", remedy
            )
        return entry

    def samples(self) -> pd.DataFrame:
        """Raw samples, one row a block (read from disk on demand).

        Raises:
            TableError: They cannot be read, or hold values that no block can have.
        """
        if self.path is None:
            raise UsageError("This table has not been written yet.")
        return parse_samples(_content(self.path, SAMPLES), self.path / SAMPLES)


def profile_command(manifest: Manifest) -> str:
    """The command that measures such a table again."""
    known = ("host", "simulated", "android")
    device = manifest.device.kind if manifest.device.kind in known else "NAME"
    space, protocol = manifest.space, manifest.protocol
    load = protocol.sustained
    sustain = "" if load is None else f" --sustain {load.load_s:.0f}s"
    return (
        f"python -m profiler --device {device} --space {space.spec} --dtype {protocol.dtype} "
        f"--backend {manifest.runtime.backend} --threads {protocol.threads}{sustain}"
    )


# --- writing -----------------------------------------------------------------


def write_table(
    folder: Path,
    manifest: Manifest,
    entries: Iterable[Entry],
    samples: pd.DataFrame,
    exam: pd.DataFrame,
) -> Table:
    """Write a new folder; all of it appears at once or nothing does.

    `manifest.files_sha256` is filled in here.

    Raises:
        TableError: The folder exists already (tables are never edited).
    """
    if folder.exists():
        raise TableError(f"{folder} exists already; tables are never overwritten.")
    entries = tuple(entries)
    parts = {
        ENTRIES: entries_to_csv(entries).encode(),
        SAMPLES: _to_parquet(samples),
        EXAM: exam.to_csv(index=False, float_format="%.6g").encode(),
    }
    hashes = {name: sha256_bytes(content) for name, content in parts.items()}
    manifest = manifest.model_copy(update={"files_sha256": hashes})
    parts[MANIFEST] = seal(manifest).encode()
    table = Table(manifest=manifest, entries=entries, exam=exam, path=folder)
    parse_entries(parts[ENTRIES].decode(), str(folder / ENTRIES), manifest.schema_version)
    check_exam_columns(exam, folder / EXAM)
    _check_counts(table)
    with _new_folder(folder) as temporary:
        for name, content in parts.items():
            _write_synced(temporary / name, content)
    return table


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder that gets this name at the end; a failure leaves no folder behind."""
    is_first = not folder.parent.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            temporary = Path(place) / folder.name
            temporary.mkdir()
            yield temporary
            temporary.rename(folder)
    except BaseException:
        if is_first:
            with contextlib.suppress(OSError):  # another table may lie there meanwhile
                folder.parent.rmdir()
        raise


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _to_parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def seal(manifest: Manifest) -> str:
    """The manifest as text, with the hash of its own content at the end."""
    content = manifest.model_dump(mode="json")
    return json.dumps({**content, SEAL: _seal_of(content)}, indent=1, sort_keys=False) + "\n"


def _seal_of(content: Mapping[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


# --- reading -----------------------------------------------------------------


def read_table(folder: Path) -> Table:
    """Read and verify a table.

    Raises:
        TableError: Not a table, truncated, edited, inconsistent, or of a
            newer schema.
    """
    schema, manifest = _read_manifest(folder)
    parts = {}
    for name in (ENTRIES, SAMPLES, EXAM):
        parts[name] = _content(folder, name)
        if sha256_bytes(parts[name]) != manifest.files_sha256.get(name):
            raise TableError(
                f"{folder / name} is not what was measured: it was edited or truncated.", AGAIN
            )
    entries = parse_entries(_text(folder / ENTRIES, parts[ENTRIES]), str(folder / ENTRIES), schema)
    exam = parse_exam(_text(folder / EXAM, parts[EXAM]), folder / EXAM)
    table = Table(manifest=manifest, entries=entries, exam=exam, path=folder)
    _check_counts(table)
    return table


def _content(folder: Path, name: str) -> bytes:
    try:
        return read_at_most(folder / name, _MOST_BYTES)
    except OSError as error:
        raise TableError(f"{folder} lacks {name}: {error.strerror}.", AGAIN) from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is damaged: it is no UTF-8 text.", AGAIN) from error


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest alone, upgraded to today's schema.

    Raises:
        TableError: Missing, edited, or of a newer schema.
    """
    return _read_manifest(folder)[1]


def _read_manifest(folder: Path) -> tuple[int, Manifest]:
    """The schema that a table was written in, and its manifest in today's."""
    path = folder / MANIFEST
    try:
        content = parse_json(read_at_most(path, _MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise TableError(
            f"{folder} is not a table: {path.name} cannot be read ({error.strerror}).",
            "Name a folder such as tables/<device>/<name>.",
        ) from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is damaged: it is no UTF-8 text.", AGAIN) from error
    except ValueError as error:
        raise TableError(f"{path} is damaged: {str(error).rstrip('.')}.", AGAIN) from error
    if not isinstance(content, dict):
        raise TableError(f"{path} is not a manifest.", AGAIN)
    schema = _checked_schema(content, path)
    return schema, _parse_manifest(upgrade_manifest(schema, content), path)


def _checked_schema(content: dict[str, Any], path: Path) -> int:
    """Check and take off the seal; the schema of a manifest that this kit can read."""
    schema = content.get("schema_version")
    if type(schema) is not int:
        raise TableError(f"{path} names no schema version.", AGAIN)
    if schema > TABLE_SCHEMA:
        raise TableError(
            f"{path} has schema {schema}; this kit reads up to {TABLE_SCHEMA}.", "Update the kit."
        )
    if content.pop(SEAL, None) != _seal_of(content):
        raise TableError(f"{path} was edited after it was written.", AGAIN)
    if schema < TABLE_SCHEMA and schema not in UPGRADES:
        raise TableError(f"{path} has schema {schema}, which no kit ever wrote.", AGAIN)
    return schema


def _parse_manifest(content: dict[str, Any], path: Path) -> Manifest:
    try:
        # From JSON, whose types are taken at their word: true is no number, "7" neither.
        return Manifest.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        problem = first_problem(error).rstrip(".")
        raise TableError(f"{path} is not a valid manifest: {problem}.", AGAIN) from error


def _check_counts(table: Table) -> None:
    space = table.manifest.space
    by_status = {
        status: sum(entry.status == status for entry in table.entries) for status in STATUSES
    }
    written = {
        "ok": space.operators_measured,
        "unstable": space.operators_unstable,
        "failed": space.operators_failed,
        "predicted": space.operators_predicted,
    }
    if by_status != written:
        raise TableError(
            f"{table.path}: the manifest counts {written}, the rows are {by_status}.", AGAIN
        )
    counted = sum(written.values())
    if space.operators_expected != counted + space.operators_missing:
        raise TableError(
            f"{table.path}: {space.operators_expected} operators are expected, but measured, "
            f"failed, predicted and missing ones are {counted + space.operators_missing}.",
            AGAIN,
        )
    examined = 0 if table.manifest.exam is None else table.manifest.exam.networks
    if len(table.exam) != examined:
        raise TableError(
            f"{table.path}: the manifest counts {examined} examined networks, {EXAM} holds "
            f"{len(table.exam)}.",
            AGAIN,
        )
    protocol = table.manifest.protocol
    bare = [e.key for e in table.entries if e.status != "failed" and not e.has_interval]
    if bare and table.manifest.source != "imported":
        raise TableError(f"{table.path}: row {bare[0]} has no interval.", AGAIN)
    strangers = [entry.key for entry in table.entries if entry.operator.dtype != protocol.dtype]
    if strangers:
        raise TableError(
            f"{table.path} mixes number formats: {strangers[0]} in a table of {protocol.dtype}."
        )
