"""A new column and its upgrade step leave every older table readable."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest

from search.errors import TableError
from search.table import upgrades
from search.table.columns import COLUMNS, Column, column_names, entries_to_csv, parse_entries
from search.table.entries import Entry, Spread
from search.table.manifest import TABLE_SCHEMA, Manifest
from search.table.store import ENTRIES, read_manifest, read_table, write_table
from search.table.upgrades import UPGRADES, Upgrade
from tests.search.table.builders import FRAME, ROWS, Write
from tests.search.table.complete import EXAM, MANIFEST
from tests.search.table.test_golden_tables import FOLDERS

NEXT = TABLE_SCHEMA + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSpread(Spread):
    """The next schema's spread: one more value."""

    energy_uj: float | None = None


class NextManifest(Manifest):
    schema_version: Literal[8] = 8  # type: ignore[assignment]
    mood: str


NEXT_ROWS = tuple(replace(row, spread=NextSpread()) for row in ROWS)


def _next_manifest(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "schema_version": NEXT, "mood": "unknown"}


def _without_energy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(energy_uj="")


@pytest.fixture
def next_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit as it would be with one more column and one more field."""
    column = Column("energy_uj", "spread", "energy_uj", COLUMNS[3].parse, since=NEXT)
    place = column_names(TABLE_SCHEMA).index("blocks")
    columns = (*COLUMNS[:place], column, *COLUMNS[place:])
    steps: Mapping[int, Upgrade] = {
        **UPGRADES,
        TABLE_SCHEMA: Upgrade(manifest=_next_manifest, rows=_without_energy),
    }
    monkeypatch.setattr("search.table.columns.COLUMNS", columns)
    monkeypatch.setattr("search.table.columns.Spread", NextSpread)
    monkeypatch.setattr("search.table.store.TABLE_SCHEMA", NEXT)
    monkeypatch.setattr("search.table.store.Manifest", NextManifest)
    monkeypatch.setattr("search.table.store.UPGRADES", steps)
    monkeypatch.setattr(upgrades, "UPGRADES", steps)


def _energy_uj(entry: Entry) -> float | None:
    assert isinstance(entry.spread, NextSpread)
    return entry.spread.energy_uj


def _next_folder(tmp_path: Path) -> Path:
    rows = (replace(NEXT_ROWS[0], spread=NextSpread(energy_uj=3.5)), *NEXT_ROWS[1:])
    space = MANIFEST.space.model_copy(
        update={
            "operators_unstable": 1,
            "operators_failed": 1,
            "operators_predicted": 0,
            "operators_missing": 2,
        }
    )
    content = {**MANIFEST.model_dump(), "space": space, "schema_version": NEXT, "mood": "good"}
    folder = tmp_path / "device" / "next"
    write_table(folder, NextManifest.model_validate(content), rows, FRAME, EXAM)
    return folder


@pytest.mark.usefixtures("next_schema")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_table_of_every_older_schema_is_readable_under_the_next_one(folder: Path) -> None:
    table = read_table(folder)
    assert table.manifest.schema_version == NEXT
    assert table.manifest.model_dump()["mood"] == "unknown"
    assert table.entries
    assert all(_energy_uj(entry) is None for entry in table.entries)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_values_of_an_older_table_are_the_same_under_the_next_schema(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    today = read_table(folder).entries
    request.getfixturevalue("next_schema")
    for entry, upgraded in zip(today, read_table(folder).entries, strict=True):
        assert replace(upgraded, spread=entry.spread) == entry
        assert upgraded.spread == NextSpread(
            **{name: getattr(entry.spread, name) for name in Spread.__dataclass_fields__}
        )


@pytest.mark.usefixtures("next_schema")
def test_a_table_of_the_next_schema_keeps_its_new_column(tmp_path: Path) -> None:
    table = read_table(_next_folder(tmp_path))
    assert [_energy_uj(entry) for entry in table.entries] == [3.5, None, None]
    assert "energy_uj" in (table.path / ENTRIES).read_text().splitlines()[0]


def test_a_table_of_the_next_schema_is_refused_by_this_kit(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("next_schema")
    folder = _next_folder(tmp_path)
    monkeypatch.undo()
    for read in (read_table, read_manifest):
        with pytest.raises(TableError, match=f"has schema {NEXT}; this kit reads up to") as caught:
            read(folder)
        assert caught.value.remedy == "Update the kit."


@pytest.mark.usefixtures("next_schema")
def test_a_new_column_in_rows_of_an_older_schema_is_refused() -> None:
    text = entries_to_csv(NEXT_ROWS)
    assert parse_entries(text, "entries.csv", NEXT) == NEXT_ROWS
    with pytest.raises(TableError, match=f"than schema {TABLE_SCHEMA}: energy_uj unknown"):
        parse_entries(text, "entries.csv", TABLE_SCHEMA)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("mean_us,", "mean_us,colour,", "colour unknown"),
        ("mean_us,", "", "mean_us missing"),
        ("mean_us,", "median_us,", "median_us unknown and mean_us missing"),
        ("mean_us,min_us", "min_us,mean_us", "their order"),
    ],
)
def test_columns_that_are_not_the_schemas_are_named(old: str, new: str, problem: str) -> None:
    header, _, _ = entries_to_csv(ROWS).partition("\n")
    assert old in header
    with pytest.raises(TableError, match=f"entries.csv has other columns than schema .*{problem}"):
        parse_entries(header.replace(old, new) + "\n", "entries.csv")


def test_an_older_schema_whose_step_is_gone_is_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write()
    monkeypatch.setattr("search.table.store.TABLE_SCHEMA", NEXT)
    with pytest.raises(TableError, match=f"has schema {TABLE_SCHEMA}, which no kit ever wrote"):
        read_table(folder)


def test_every_schema_has_its_step_and_the_manifest_names_the_newest() -> None:
    assert sorted(UPGRADES) == list(range(1, TABLE_SCHEMA))
    assert Manifest.model_fields["schema_version"].default == TABLE_SCHEMA
    assert {column.since for column in COLUMNS} <= set(range(1, TABLE_SCHEMA + 1))
