"""The stream of a runner is whole and of this plan, or the device is lost."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    check_records,
    dump_record,
)
from search.errors import DeviceLost

FIRST, SECOND = 3, 5


def plan(*ids: int) -> Plan:
    items = tuple(PlanItem(id=number, file="f", sha256="") for number in ids)
    return Plan(nonce="mine", backend="b", threads=1, order_seed=0, rounds=1, items=items)


def hello(nonce: str = "mine") -> Hello:
    return Hello(nonce=nonce, runner="r", runtime="t", backend="b", threads=1)


def loaded(item: int) -> Loaded:
    return Loaded(item=item, load_ns=1, loops=1)


def sample(item: int) -> Sample:
    return Sample(item=item, round=0, loops=1, ns=1, at_ns=1)


def failure(item: int) -> Failure:
    return Failure(item=item, kind="load", message="no")


SENTINEL = Sentinel(loops=1, ns=1, at_ns=1)
WHOLE: list[Record] = [
    *(hello(), Begin(item=FIRST), loaded(FIRST), Begin(item=SECOND), failure(SECOND)),
    *(SENTINEL, sample(FIRST), SENTINEL, Bye(samples=1, sentinels=2, failures=1)),
]


def check(records: list[Record], given: Plan | None = None) -> list[Record]:
    lines = [dump_record(record) for record in records]
    return list(check_records(lines, given or plan(FIRST, SECOND)))


def test_a_whole_stream_passes_unchanged() -> None:
    assert check(WHOLE) == WHOLE


def test_nothing_is_read_after_bye() -> None:
    def lines() -> Iterator[str]:
        yield from map(dump_record, WHOLE)
        raise AssertionError("read on after bye")

    assert list(check_records(lines(), plan(FIRST, SECOND))) == WHOLE


def test_records_come_as_soon_as_their_line_does() -> None:
    seen = 0

    def lines() -> Iterator[str]:
        nonlocal seen
        for record in WHOLE:
            seen += 1
            yield dump_record(record)

    for number, _ in enumerate(check_records(lines(), plan(FIRST, SECOND)), 1):
        assert seen == number


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_stream_that_ends_early_is_a_lost_device(length: int) -> None:
    with pytest.raises(DeviceLost, match="before its plan was complete"):
        check(WHOLE[:length])


@given(st.data())
def test_a_stream_cut_inside_any_line_is_a_lost_device_after_what_was_whole(
    data: st.DataObject,
) -> None:
    lines = [dump_record(record) for record in WHOLE]
    number = data.draw(st.integers(0, len(lines) - 1))
    cut = data.draw(st.integers(0, len(lines[number]) - 1))
    stream = check_records([*lines[:number], lines[number][:cut]], plan(FIRST, SECOND))
    assert [next(stream) for _ in range(number)] == WHOLE[:number]
    with pytest.raises(DeviceLost, match="not a record"):
        next(stream)


def test_the_stream_of_another_run_is_a_lost_device() -> None:
    with pytest.raises(DeviceLost, match="another run"):
        check([hello("another's"), *WHOLE[1:]])


@pytest.mark.parametrize("place", range(1, len(WHOLE)))
def test_a_second_hello_is_a_lost_device(place: int) -> None:
    with pytest.raises(DeviceLost, match="begin with one hello"):
        check([*WHOLE[:place], hello(), *WHOLE[place:]])


@pytest.mark.parametrize("record", WHOLE[1:], ids=lambda record: record.type)
def test_a_stream_that_begins_without_hello_is_a_lost_device(record: Record) -> None:
    with pytest.raises(DeviceLost, match="begin with one hello"):
        check([record, *WHOLE])


@pytest.mark.parametrize("ids", [(FIRST, SECOND), (), (0, 1)])
@pytest.mark.parametrize("stranger", [0, 4, -1])
@pytest.mark.parametrize("make", [lambda n: Begin(item=n), loaded, sample, failure])
def test_an_item_that_the_plan_does_not_name_is_a_lost_device(
    ids: tuple[int, ...], stranger: int, make: object
) -> None:
    assert callable(make)
    stream = [hello(), make(stranger), Bye(samples=0, sentinels=0, failures=0)]
    if stranger in ids:
        assert check([*stream[:2], end_of(stream[1])], plan(*ids))[1] == stream[1]
    else:
        with pytest.raises(DeviceLost, match="not given"):
            check(stream, plan(*ids))


def end_of(record: Record) -> Bye:
    samples, failures = isinstance(record, Sample), isinstance(record, Failure)
    return Bye(samples=int(samples), sentinels=0, failures=int(failures))


def test_the_sentinel_belongs_to_no_item() -> None:
    stream: list[Record] = [hello(), SENTINEL, Bye(samples=0, sentinels=1, failures=0)]
    assert check(stream, plan(7)) == stream
    assert check(stream, plan()) == stream


@pytest.mark.parametrize("lost", [4, 5, 6, 7])
def test_records_that_went_missing_are_noticed_by_their_counts(lost: int) -> None:
    with pytest.raises(DeviceLost, match="Records were lost"):
        check([*WHOLE[:lost], *WHOLE[lost + 1 :]])


def test_records_that_came_twice_are_noticed_by_their_counts() -> None:
    with pytest.raises(DeviceLost, match="Records were lost"):
        check([*WHOLE[:7], WHOLE[6], *WHOLE[7:]])


def test_chatter_between_records_is_a_lost_device() -> None:
    lines = [dump_record(record) for record in WHOLE]
    with pytest.raises(DeviceLost, match="warning: hot"):
        list(check_records([lines[0], "warning: hot\n", *lines[1:]], plan(FIRST, SECOND)))
