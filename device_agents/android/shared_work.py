"""Phones of one model as one device: what each runs of a plan, and one stream of all records.

An item stays with one phone, so that its blocks are of one piece of silicon. A few items and the
sentinel are run by all: how far the phones agree on them is told, and the table records it.

The clocks of two phones are unrelated: the `at_ns` of phone k are shifted by k times
`CLOCK_STEP_NS`, so that a phone's slow moments stay its own, and `at_ns // CLOCK_STEP_NS` of a
sample is the number of its phone.
"""

import contextlib
import queue
import statistics
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from device_agents.base import DeviceState, Siblings
from device_agents.protocol import CLOCK_STEP_NS, Plan, PlanItem, Record, Sample, Sentinel

SHARED_ITEMS = 3

# A phone's number, and a record, the end of its plan (None) or the error that ended it.
Message = tuple[int, Record | BaseException | None]


def part_of(plan: Plan, items: Sequence[PlanItem]) -> Plan:
    """A plan with these of its items; without the sentinel if it is not among them."""
    known = {item.id for item in items}
    sentinel = plan.sentinel if plan.sentinel in known else None
    return plan.model_copy(update={"items": tuple(items), "sentinel": sentinel})


def is_shared(plan: Plan, item: PlanItem) -> bool:
    """Whether all phones run an item."""
    return item.id < SHARED_ITEMS or item.id == plan.sentinel


def on_common_clock(number: int, record: Record) -> Record:
    """The record of phone `number` with its time shifted."""
    if isinstance(record, Sample | Sentinel):
        at_ns = record.at_ns % CLOCK_STEP_NS + number * CLOCK_STEP_NS
        return record.model_copy(update={"at_ns": at_ns})
    return record


class Agreement:
    """Times of the items that all phones run, by item and phone."""

    def __init__(self) -> None:
        self._times: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, number: int, record: Record) -> None:
        """Note a sample of an item that all run; other records are nothing to it."""
        if isinstance(record, Sample) and record.item < SHARED_ITEMS:
            self._times[record.item][number].append(record.ns / record.loops)

    def siblings(self, hashes: Mapping[int, str]) -> Siblings:
        """How far the phones agree; who ran no shared item is not compared.

        Args:
            hashes: Hash of each phone's serial number, by its number.
        """
        seen = [{n: statistics.median(one) for n, one in by.items()} for by in self._times.values()]
        return compare(hashes, seen)


def compare(hashes: Mapping[int, str], medians: Sequence[Mapping[int, float]]) -> Siblings:
    """How far phones agree, from the median time of each on each item; in any one unit."""
    numbers = set().union(*medians) & set(hashes)
    common = [
        {number: times[number] for number in numbers} for times in medians if numbers <= set(times)
    ]
    if len(numbers) < 2 or not common:
        return Siblings(hashes=hashes)
    return Siblings(
        hashes=hashes,
        shared_items=len(common),
        apart={number: _apart(number, common) for number in sorted(numbers)},
        most_apart=max(max(times.values()) / min(times.values()) - 1 for times in common),
    )


def _apart(number: int, common: Sequence[Mapping[int, float]]) -> float:
    """By which share a phone is slower than the median of the others, in the median of items."""
    return statistics.median(
        times[number] / statistics.median(us for other, us in times.items() if other != number) - 1
        for times in common
    )


def joint_state(states: Sequence[DeviceState]) -> DeviceState:
    """State of the first phone; the mode where all agree, the highest temperature."""
    modes = [state.fixed_performance_mode for state in states]
    first = states[0]
    return DeviceState(
        governor=first.governor,
        fixed_performance_mode=modes[0] if len(set(modes)) == 1 else None,
        temperature_c=max(
            (state.temperature_c for state in states if state.temperature_c is not None),
            default=None,
        ),
        refused_settings={
            name: text for state in states for name, text in state.refused_settings.items()
        },
        cores_offline=_union([state.cores_offline for state in states]),
        pinned=first.pinned,
        phone=first.phone,
    )


def _union(parts: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(sorted({cpu for part in known for cpu in part})) if known else None


class RunsPlans(Protocol):
    """What of an agent (`device_agents.base.DeviceAgent`) runs plans."""

    def run(self, plan: Plan) -> Iterator[Record]:
        """As an agent does, and with its errors."""
        ...


@contextlib.contextmanager
def running_together(
    parts: Iterable[tuple[int, RunsPlans, Plan]],
) -> Iterator["queue.SimpleQueue[Message]"]:
    """Run plans on several phones at once; what arrives of each, until it is left.

    Leaving stops those that still run, and waits for them.
    """
    arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_pump, args=(*part, arrived, stop), daemon=True) for part in parts
    ]
    for thread in threads:
        thread.start()
    try:
        yield arrived
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _pump(
    number: int,
    agent: RunsPlans,
    plan: Plan,
    arrived: "queue.SimpleQueue[Message]",
    stop: threading.Event,
) -> None:
    """Forward one phone's records until its plan is done or `stop` is set."""
    try:
        with contextlib.closing(agent.run(plan)) as records:  # type: ignore[type-var]
            for record in records:
                if stop.is_set():
                    return
                arrived.put((number, record))
        arrived.put((number, None))
    except BaseException as error:
        arrived.put((number, error))
