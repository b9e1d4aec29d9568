"""Types that cannot hold what is no number: every number of every document, one at a time."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from device_agents.protocol import (
    Begin,
    Bye,
    Failure,
    Hello,
    Loaded,
    Record,
    Sample,
    Sentinel,
    dump_record,
    load_plan,
    parse_record,
)
from search.architecture import parse_architecture
from search.documents import parse_json
from search.errors import DeviceLost, KitError
from search.latency.model import FEATURES
from search.selection.scores import parse_scores
from search.table.calibration import FEATURE_NAMES
from search.table.manifest import Manifest
from search.table.store import SEAL
from tests.hostile.conftest import Material
from tests.hostile.damage import DEEP, LONG, NO_NUMBERS, numbers_of, with_text

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RECORDS: tuple[Record, ...] = (
    Hello(nonce="a", runner="r", runtime="x", backend="b", threads=1, affinity=(0, 1),
          clock_resolution_ns=1, pid=7),
    Begin(item=1),
    Loaded(item=1, load_ns=5, loops=3),
    Sample(item=1, round=0, loops=3, ns=1000, first_ns=10, switches=1, attempts=2, at_ns=99,
           freq_khz=3_000_000, temperature_mc=40_000),
    Sentinel(loops=3, ns=1000, switches=1, at_ns=99, freq_khz=1, temperature_mc=1),
    Failure(item=1, kind="load", message="no"),
    Bye(samples=1, sentinels=2, failures=3, max_rss_kb=4),
)  # fmt: skip
PLAN = {
    "schema_version": 1, "nonce": "n", "backend": "xnnpack", "threads": 1, "affinity": [0],
    "order_seed": 3, "rounds": 2, "warmup": 2, "min_block_ns": 1000, "max_loops": 10,
    "max_attempts": 5, "sentinel": 1, "sentinel_every": 10, "max_temperature_c": 40.5,
    "items": [{"id": 1, "file": "f", "sha256": "0", "loops": 4}],
}  # fmt: skip


def _manifest() -> Any:
    content = json.loads((GOLDEN / "table_v3_complete" / "manifest.json").read_text())
    del content[SEAL]
    return content


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_number_of_a_manifest_can_be_anything_else(text: str) -> None:
    content = _manifest()
    paths = list(numbers_of(content))
    assert len(paths) > 80
    for path in paths:
        with pytest.raises(ValidationError):
            Manifest.model_validate_json(with_text(content, path, text), strict=True)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "-1", "1.5", "9223372036854775808"])
def test_no_number_of_a_record_can_be_anything_else(text: str) -> None:
    for record in RECORDS:
        content = json.loads(dump_record(record))
        for path in numbers_of(content):
            if (path[-1], text) in (("temperature_mc", "-1"), ("item", "-1")):
                continue
            if path == ("schema_version",) and text == "true":
                continue
            with pytest.raises(DeviceLost):
                parse_record(with_text(content, path, text))


@pytest.mark.parametrize("name", ["ns", "loops"])
def test_a_block_of_no_time_or_no_calls_is_no_record(name: str) -> None:
    for record in RECORDS[3:5]:
        with pytest.raises(DeviceLost):
            parse_record(with_text(json.loads(dump_record(record)), (name,), "0"))


def test_a_clock_of_zero_is_one_that_is_not_known() -> None:
    record = parse_record(with_text(json.loads(dump_record(RECORDS[3])), ("freq_khz",), "0"))
    assert isinstance(record, Sample)
    assert record.freq_khz is None


@pytest.mark.parametrize("text", [DEEP, LONG, f"[{LONG}]", '{"type": "bye", "samples": ' + DEEP])
def test_what_cannot_be_read_at_all_is_no_record(text: str) -> None:
    with pytest.raises(DeviceLost):
        parse_record(text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", LONG, "true", '"7"'])
def test_no_number_of_a_plan_can_be_anything_else(text: str) -> None:
    for path in numbers_of({**PLAN, "schema_version": None}):
        with pytest.raises(ValidationError):
            load_plan(with_text(PLAN, path, text))


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_number_of_a_file_of_scores_can_be_anything_else(material: Material, text: str) -> None:
    content = json.loads(Path(material.path("scores.json")).read_text())
    for path in list(numbers_of(content))[:4]:
        with pytest.raises(KitError):
            parse_scores(with_text(content, path, text))


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_the_schema_of_an_architecture_is_a_whole_number(material: Material, text: str) -> None:
    content = json.loads(Path(material.path("net.json")).read_text())
    with pytest.raises(KitError):
        parse_architecture(with_text(content, ("schema_version",), text))


@pytest.mark.parametrize("text", ["NaN", "[1, Infinity]", "1e999", LONG, DEEP, '{"a":1,"a":2}', ""])
def test_strict_json_knows_one_kind_of_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^.{4,90}$"):
        parse_json(text)


def test_the_model_computes_every_feature_that_a_calibration_can_name() -> None:
    assert set(FEATURES) == FEATURE_NAMES
