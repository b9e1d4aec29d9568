"""Tables of every old schema stay readable; their files are never written again."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from search.errors import MissingOperator
from search.latency.model import LatencyModel
from search.operators.spec import parse_key
from search.spaces.registry import parse_space
from search.table.columns import COLUMNS, entries_to_csv
from search.table.entries import Interval
from search.table.manifest import TABLE_SCHEMA, Manifest
from search.table.store import ENTRIES, EXAM_COLUMNS, SEAL, Table, read_table
from search.table.store import MANIFEST as MANIFEST_NAME
from search.table.upgrades import upgrade_manifest
from tests.search.table.complete import ENTRIES as ROWS
from tests.search.table.complete import EXAM, MANIFEST, SAMPLES

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
STEM = "conv_k3_g1_relu_i3_o16_h32_w32_s1_b1_fp32"
UNSTABLE = "ir_k5_e1_m16_g2_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32"
FAILED = "ir_k5_e6_m96_g1_relu_i16_o16_h32_w32_s1_r1_p1_b1_fp32"


@pytest.fixture(scope="module")
def table() -> Table:
    return read_table(GOLDEN / "table_v1")


def test_schema_1_keeps_who_measured_what_and_how(table: Table) -> None:
    manifest = table.manifest
    assert (manifest.source, manifest.title) == ("simulated", "golden-1")
    assert manifest.table_id == "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert manifest.parent_id == "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert manifest.device.clusters[0].cpus == (0, 1)
    assert (manifest.protocol.threads, manifest.protocol.seed) == (1, 7)
    assert manifest.protocol.dispatch_floor_us == 0.75
    assert manifest.protocol.temperature_limit_c is None
    assert manifest.context == {"room": "cold"}


def test_schema_1_keeps_its_space_and_coverage(table: Table) -> None:
    space = table.manifest.space
    assert parse_space(space.spec).sha256 == space.sha256
    counts = (space.operators_measured, space.operators_unstable, space.operators_failed)
    assert counts == (3, 1, 1)
    assert (space.operators_expected, space.operators_missing) == (51, 46)


def test_schema_1_keeps_its_rows(table: Table) -> None:
    assert [entry.status for entry in table.entries] == ["ok", "ok", "unstable", "failed", "ok"]
    stem = table.lookup(parse_key(STEM))
    assert stem.time == Interval(centre_us=41.25, low_us=41.0, high_us=41.5)
    assert stem.first_call == Interval(centre_us=44.5, low_us=44.0, high_us=45.25)
    assert (stem.sampling.blocks, stem.counts.flops) == (12, 442_368)
    assert stem.artefact.error == 1.5e-7
    unstable = table.lookup(parse_key(UNSTABLE))
    assert (unstable.known_time.centre_us, unstable.first_call) == (75.0, None)
    assert unstable.artefact.sha256 is None
    assert unstable.reason == "interval of +-9.3% after 40 blocks, asked for 1.0%"
    with pytest.raises(MissingOperator, match="the runner ended with signal 9"):
        table.lookup(parse_key(FAILED))


def test_schema_1_keeps_its_samples_and_its_exam(table: Table) -> None:
    samples = table.samples()
    assert samples["ns"].tolist() == [4_125_000, 4_130_000, 3_500_000]
    assert all(pd.api.types.is_integer_dtype(samples[name]) for name in samples if name != "item")
    assert samples["first_ns"].isna().tolist() == [False, False, True]
    assert tuple(table.exam.columns) == EXAM_COLUMNS
    assert table.exam["network"].tolist() == ["exam-0", "exam-1", "exam-2"]
    assert table.exam["measured_us"].tolist() == [905.25, 741.0, 1212.5]
    exam = table.manifest.exam
    assert exam is not None
    assert exam.passed
    assert (exam.mape.low, exam.mape.value, exam.mape.high) == (0.005, 0.01, 0.02)


def test_schema_1_still_prices_an_operator_by_its_calibration(table: Table) -> None:
    assert LatencyModel(table).operator_us(parse_key(STEM)) == 1.0625 * 41.25 - 0.5


def test_every_golden_table_is_readable() -> None:
    folders = [path.parent for path in GOLDEN.glob("*/manifest.json")]
    assert folders
    for folder in folders:
        assert read_table(folder).entries


# --- schema 2 -------------------------------------------------------------------


@pytest.fixture(scope="module")
def budgeted() -> Table:
    return read_table(GOLDEN / "table_v2")


def test_schema_1_has_no_predicted_rows_and_no_origin(table: Table) -> None:
    assert table.manifest.schema_version == TABLE_SCHEMA
    assert table.manifest.space.operators_predicted == 0
    assert table.manifest.prediction is None
    assert table.manifest.origin is None


def test_schema_2_keeps_which_rows_were_predicted_and_how(budgeted: Table) -> None:
    prediction, space = budgeted.manifest.prediction, budgeted.manifest.space
    assert prediction is not None
    assert (prediction.operators_measured, prediction.level) == (12, 0.9)
    assert (space.operators_measured, space.operators_predicted) == (12, 39)
    status = [entry.status for entry in budgeted.entries]
    assert (status.count("ok"), status.count("predicted")) == (12, 39)
    assert budgeted.manifest.origin is None
    assert budgeted.manifest.exam is not None


# --- schema 3 -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["table_v1", "table_v2", "table_v2_complete"])
def test_an_older_table_keeps_its_device_and_does_not_know_the_facts_of_its_processor(
    name: str,
) -> None:
    stored = json.loads((GOLDEN / name / MANIFEST_NAME).read_text())["device"]
    device = read_table(GOLDEN / name).manifest.device.model_dump(mode="json")
    assert device.pop("processor") is None
    assert device == {"cpu": None, **stored}


# --- schema 4 -------------------------------------------------------------------


def test_schema_3_does_not_know_what_powered_a_phone_nor_whether_its_screen_stayed_on() -> None:
    stored = json.loads((GOLDEN / "table_v3_complete" / MANIFEST_NAME).read_text())["protocol"]
    protocol = read_table(GOLDEN / "table_v3_complete").manifest.protocol
    assert (protocol.cores_offline, protocol.refused_settings) == (None, {})
    for moment in ("phone_before", "phone_after"):
        assert stored[moment]["stay_on"] is True  # it held with any source of power
        phone = getattr(protocol, moment).model_dump()
        assert (phone.pop("stay_on"), phone.pop("power_sources")) == (None, None)
        assert phone == {name: value for name, value in stored[moment].items() if name in phone}


def test_a_screen_that_did_not_stay_on_is_known_in_a_table_of_schema_3() -> None:
    old = {"protocol": {"phone_before": {"stay_on": False}, "phone_after": None}}
    protocol = upgrade_manifest(3, old)["protocol"]
    assert (protocol["phone_before"]["stay_on"], protocol["phone_after"]) == (False, None)


# --- schema 5 -------------------------------------------------------------------


def test_a_table_of_schema_4_does_not_know_what_networks_need_beside_time() -> None:
    old = read_table(GOLDEN / "table_v4_complete")
    assert old.manifest.memory is None
    assert tuple(old.exam.columns) == EXAM_COLUMNS


# --- schema 6 -------------------------------------------------------------------


def test_a_table_of_schema_5_has_no_effects_of_neighbouring_layers() -> None:
    calibration = read_table(GOLDEN / "table_v5_complete").manifest.calibration
    assert calibration is not None
    assert calibration.pairs == ()


# --- schema 7 -------------------------------------------------------------------


def test_a_table_of_schema_6_does_not_know_which_phone_measured_a_row() -> None:
    old = read_table(GOLDEN / "table_v6_complete")
    assert old.manifest.phones is None
    assert {entry.sampling.phone for entry in old.entries} == {None}


# --- today's schema, every field ------------------------------------------------


@pytest.fixture(scope="module")
def complete() -> Table:
    return read_table(GOLDEN / "table_v7_complete")


def test_the_complete_table_of_todays_schema_keeps_every_value(complete: Table) -> None:
    written = {**MANIFEST.model_dump(), "files_sha256": {}}
    assert {**complete.manifest.model_dump(), "files_sha256": {}} == written
    assert complete.entries == ROWS
    pd.testing.assert_frame_equal(complete.exam, EXAM)
    pd.testing.assert_frame_equal(complete.samples(), SAMPLES)


def _unknown(content: object, where: str = "manifest") -> list[str]:
    """Fields that are null or empty."""
    if isinstance(content, dict) and content:
        return [name for key in content for name in _unknown(content[key], f"{where}.{key}")]
    return [where] if content is None or content in ({}, [], (), "") else []


def test_no_field_of_the_complete_table_is_unknown(complete: Table) -> None:
    content = json.loads((GOLDEN / "table_v7_complete" / MANIFEST_NAME).read_text())
    assert _unknown(content) == []
    assert set(content) == {*Manifest.model_fields, SEAL}
    for column in COLUMNS:
        assert any(column.value(entry) not in (None, "", 0) for entry in complete.entries)


def test_every_schema_has_a_golden_table() -> None:
    stored = {
        json.loads(path.read_text())["schema_version"] for path in GOLDEN.glob("*/manifest.json")
    }
    assert stored == set(range(1, TABLE_SCHEMA + 1))


# --- all tables in the repository -----------------------------------------------

ROOT = GOLDEN.parents[1]
FOLDERS = sorted(
    path.parent
    for pattern in ("tables/*/*/manifest.json", "tests/golden/*/manifest.json")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_rows_that_are_read_and_written_again_are_the_same_bytes(folder: Path) -> None:
    text = (folder / ENTRIES).read_bytes().decode()
    again = pd.read_csv(
        io.StringIO(entries_to_csv(read_table(folder).entries)), dtype=str, keep_default_na=False
    )
    own = again[text.split("\n", 1)[0].split(",")]  # newer columns are not of this schema
    assert own.to_csv(index=False, lineterminator="\n") == text
