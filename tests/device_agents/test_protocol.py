"""The wire format: what is written reads back, and nothing else is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from device_agents.protocol import (
    Begin,
    Bye,
    Failure,
    Hello,
    Loaded,
    Plan,
    PlanItem,
    Record,
    Sample,
    Sentinel,
    dump_plan,
    dump_record,
    load_plan,
    parse_record,
)
from search.errors import DeviceLost

TEXT = st.text(max_size=12)
NATURAL = st.integers(0, 2**64 - 1)
POSITIVE = st.integers(1, 2**63)
INTEGER = st.integers(-(2**62), 2**62)
COUNT = st.integers(0, 2**61)
BLOCK = st.integers(1, 2**61)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


AFFINITY = maybe(st.lists(st.integers(0, 1023), max_size=4).map(tuple))
ITEMS = st.builds(
    PlanItem,
    id=NATURAL,
    file=TEXT,
    sha256=TEXT,
    method=TEXT,
    loops=NATURAL,
    input=maybe(TEXT),
    output=maybe(TEXT),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    items = draw(st.lists(ITEMS, max_size=4, unique_by=lambda item: item.id))
    ids = [item.id for item in items]
    return Plan(
        nonce=draw(TEXT),
        backend=draw(TEXT),
        threads=draw(POSITIVE),
        affinity=draw(AFFINITY),
        order_seed=draw(NATURAL),
        rounds=draw(NATURAL),
        warmup=draw(POSITIVE),
        min_block_ns=draw(NATURAL),
        max_loops=draw(POSITIVE),
        max_attempts=draw(POSITIVE),
        sentinel=draw(st.sampled_from([None, *ids])),
        sentinel_every=draw(POSITIVE),
        max_temperature_c=draw(maybe(st.floats(-300, 10_000))),
        items=tuple(items),
    )


STATE = {
    "freq_khz": maybe(st.integers(1, 10**8)),
    "temperature_mc": maybe(st.integers(-300_000, 10**7)),
}
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        Hello,
        nonce=TEXT,
        runner=TEXT,
        runner_sha256=maybe(TEXT),
        runtime=TEXT,
        runtime_version=maybe(TEXT),
        backend=TEXT,
        threads=st.integers(1, 1024),
        affinity=AFFINITY,
        clock_resolution_ns=maybe(COUNT),
        pid=maybe(COUNT),
    ),
    st.builds(Begin, item=INTEGER),
    st.builds(Loaded, item=INTEGER, load_ns=COUNT, loops=COUNT),
    st.builds(
        Sample,
        item=INTEGER,
        round=COUNT,
        loops=BLOCK,
        ns=BLOCK,
        first_ns=maybe(COUNT),
        switches=COUNT,
        attempts=COUNT,
        at_ns=COUNT,
        **STATE,
    ),
    st.builds(Sentinel, loops=BLOCK, ns=BLOCK, switches=COUNT, at_ns=COUNT, **STATE),
    st.builds(Failure, item=INTEGER, kind=TEXT, message=TEXT),
    st.builds(Bye, samples=COUNT, sentinels=COUNT, failures=COUNT, max_rss_kb=maybe(COUNT)),
)
SMALLEST: dict[str, dict[str, Any]] = {
    "hello": {"nonce": "n", "runner": "r", "runtime": "t", "backend": "b", "threads": 1},
    "begin": {"item": 0},
    "loaded": {"item": 0, "load_ns": 1, "loops": 1},
    "sample": {"item": 0, "round": 0, "loops": 1, "ns": 1, "at_ns": 1},
    "sentinel": {"loops": 1, "ns": 1, "at_ns": 1},
    "failure": {"item": 0, "kind": "load", "message": "m"},
    "bye": {"samples": 0, "sentinels": 0, "failures": 0},
}
PLAN: dict[str, Any] = {
    "nonce": "n",
    "backend": "b",
    "threads": 1,
    "order_seed": 0,
    "rounds": 1,
    "items": [{"id": 3, "file": "f", "sha256": "s"}],
}


def line_of(kind: str, **changes: Any) -> str:
    return json.dumps({"type": kind, **SMALLEST[kind], **changes})


@given(plans())
def test_a_plan_is_one_line_that_reads_back_as_it_was(plan: Plan) -> None:
    line = dump_plan(plan)
    assert "\n" not in line
    assert "\r" not in line
    assert load_plan(line) == plan


@given(RECORDS)
def test_a_record_is_one_line_that_reads_back_as_it_was(record: Record) -> None:
    line = dump_record(record)
    assert "\n" not in line
    assert "\r" not in line
    assert parse_record(line) == record
    assert type(parse_record(line)) is type(record)


@given(RECORDS, st.data())
def test_a_record_cut_anywhere_is_a_lost_device(record: Record, data: st.DataObject) -> None:
    line = dump_record(record)
    cut = data.draw(st.integers(0, len(line) - 1))
    with pytest.raises(DeviceLost):
        parse_record(line[:cut])


@given(plans(), st.data())
def test_a_plan_cut_anywhere_is_refused(plan: Plan, data: st.DataObject) -> None:
    line = dump_plan(plan)
    cut = data.draw(st.integers(0, len(line) - 1))
    with pytest.raises(ValueError, match="Plan"):
        load_plan(line[:cut])


@pytest.mark.parametrize("kind", SMALLEST)
def test_a_record_needs_only_what_is_known(kind: str) -> None:
    assert parse_record(line_of(kind)).type == kind


@pytest.mark.parametrize("kind", SMALLEST)
def test_a_record_with_an_unknown_field_is_refused(kind: str) -> None:
    with pytest.raises(DeviceLost):
        parse_record(line_of(kind, colour="red"))


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, given in SMALLEST.items() for field in given]
)
def test_a_record_that_lacks_a_field_or_has_it_of_another_type_is_refused(
    kind: str, field: str
) -> None:
    content = json.loads(line_of(kind))
    wrong = "1" if isinstance(content[field], int) else 1
    values: tuple[Any, ...] = (wrong, None, [], 1.5, True)
    for broken in values:
        with pytest.raises(DeviceLost):
            parse_record(json.dumps({**content, field: broken}))
    del content[field]
    with pytest.raises(DeviceLost):
        parse_record(json.dumps(content))


@pytest.mark.parametrize(
    "line",
    [
        *("", "\n", "null", "[]", "3", '"hello"', "{}", '{"type":"song"}', '{"type":null}'),
        line_of("hello", schema_version=2),
        line_of("hello", schema_version="1"),
        line_of("sample", loops=0),
        line_of("sample", ns=-1),
        line_of("sentinel", loops=0),
        line_of("begin") + line_of("begin"),
        "I/O error: " + line_of("begin"),
    ],
)
def test_what_is_not_a_record_of_this_schema_is_a_lost_device(line: str) -> None:
    with pytest.raises(DeviceLost, match="not a record"):
        parse_record(line)


def test_a_long_line_is_shown_by_its_beginning_only() -> None:
    with pytest.raises(DeviceLost) as raised:
        parse_record("x" * 10_000)
    assert "xxx" in raised.value.message
    assert len(raised.value.message) < 200


def test_a_plan_needs_only_what_differs_from_run_to_run() -> None:
    plan = load_plan(json.dumps(PLAN))
    assert (plan.items[0].id, plan.items[0].method, plan.sentinel) == (3, "forward", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "red"},
        {"items": [{"id": 3, "file": "f", "sha256": "s", "colour": "red"}]},
        {"schema_version": 2},
        {"schema_version": "1"},
        {"nonce": None},
        {"threads": "1"},
        {"threads": 1.0},
        {"threads": True},
        {"threads": 0},
        {"rounds": -1},
        {"order_seed": -1},
        {"warmup": 0},
        {"max_loops": 0},
        {"max_attempts": 0},
        {"sentinel_every": 0},
        {"min_block_ns": -1},
        {"affinity": "0-3"},
        {"affinity": ["0"]},
        {"items": {}},
        {"items": [{"id": -1, "file": "f", "sha256": "s"}]},
        {"items": [{"id": 3, "file": "f", "sha256": "s", "loops": -1}]},
        {"items": [{"id": 3, "file": "f"}]},
    ],
)
def test_a_plan_with_unknown_fields_wrong_types_or_limits_is_refused(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        load_plan(json.dumps({**PLAN, **changes}))


def test_two_items_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="share an id"):
        load_plan(json.dumps({**PLAN, "items": PLAN["items"] * 2}))


def test_a_sentinel_that_is_no_item_is_refused() -> None:
    with pytest.raises(ValueError, match="sentinel is not among"):
        load_plan(json.dumps({**PLAN, "sentinel": 0}))


def test_what_crosses_the_wire_cannot_be_changed_afterwards() -> None:
    record = parse_record(line_of("sample"))
    with pytest.raises(ValidationError, match="frozen"):
        record.ns = 5  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["sample", "sentinel"])
def test_a_clock_or_a_temperature_of_0_is_one_that_was_not_there(kind: str) -> None:
    zeros = {"freq_khz": 0, "temperature_mc": 0}
    record = parse_record(json.dumps({"type": kind, **SMALLEST[kind], **zeros}))
    assert isinstance(record, Sample | Sentinel)
    assert (record.freq_khz, record.temperature_mc) == (None, None)
