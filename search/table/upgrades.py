"""Tables of older schemas, brought up to today's: one step for each schema.

`UPGRADES[n]` makes a table of schema n into one of n + 1, its manifest and the
rows of its `entries.csv`. A new schema adds its step here, its number to
`search.table.manifest`, its columns to `search.table.columns`, and a golden
table under tests/golden/.

    1 -> 2   imported tables (`origin`), predicted rows (`prediction`,
             `operators_predicted`), and a protocol that may be unknown;
             the same columns
    2 -> 3   what identifies a processor (`device.processor`), unknown in
             older tables, whose names and ids stay; the state of the machine
             (`protocol.state_*`, the column `state_sensitivity`) and operators inside networks
             (`in_network_us`), unknown there
    3 -> 4   what powered a phone, cores that were switched off, settings that were refused;
             `stay_on` of older tables held whatever powered the phone: true is unknown here
    4 -> 5   peak memory of networks (`memory`, more columns of exam.csv), unknown in older tables;
             the same columns
    5 -> 6   effects of neighbouring layers (`calibration.pairs`), none in older tables;
             the same columns
    6 -> 7   which of several phones measured a row (the column `phone`), and how far they agree
             (`phones`), unknown in older tables
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

Content = dict[str, Any]


def _same_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """One step.

    `manifest` takes and returns the JSON object. `rows` takes and returns the
    cells as text, one column a column of the file, and fills each column that
    the next schema brings; an empty cell is an unknown value.
    """

    manifest: Callable[[Content], Content]
    rows: Callable[[pd.DataFrame], pd.DataFrame] = _same_rows


def _manifest_1(content: Content) -> Content:
    return {**content, "schema_version": 2}


def _manifest_2(content: Content) -> Content:
    # What schema 3 brings to the manifest is unknown here: the fields' defaults say so.
    return {**content, "schema_version": 3}


def _manifest_3(content: Content) -> Content:
    protocol = content.get("protocol")
    if isinstance(protocol, dict):  # what is no manifest is told by the check that follows
        content = {**content, "protocol": {name: _phone_3(protocol[name]) for name in protocol}}
    return {**content, "schema_version": 4}


def _manifest_4(content: Content) -> Content:
    # What schema 5 brings is unknown here: the fields' defaults say so.
    return {**content, "schema_version": 5}


def _manifest_5(content: Content) -> Content:
    # Likewise what schema 6 brings.
    return {**content, "schema_version": 6}


def _manifest_6(content: Content) -> Content:
    # Likewise what schema 7 brings.
    return {**content, "schema_version": 7}


def _phone_3(value: Any) -> Any:
    """A field of the protocol; a phone's state without a `stay_on` that may be untrue."""
    if isinstance(value, dict) and value.get("stay_on") is True:
        return {**value, "stay_on": None}
    return value


def _rows_2(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(in_network_us="", state_sensitivity="")


def _rows_6(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(phone="")


UPGRADES: Mapping[int, Upgrade] = {
    1: Upgrade(manifest=_manifest_1),
    2: Upgrade(manifest=_manifest_2, rows=_rows_2),
    3: Upgrade(manifest=_manifest_3),
    4: Upgrade(manifest=_manifest_4),
    5: Upgrade(manifest=_manifest_5),
    6: Upgrade(manifest=_manifest_6, rows=_rows_6),
}


def upgrade_manifest(schema: int, content: Content) -> Content:
    """A manifest's JSON object as today's schema has it."""
    while schema in UPGRADES:
        content = UPGRADES[schema].manifest(content)
        schema += 1
    return content


def upgrade_rows(schema: int, frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of `entries.csv` with the columns of today's schema, in any order."""
    while schema in UPGRADES:
        frame = UPGRADES[schema].rows(frame)
        schema += 1
    return frame
