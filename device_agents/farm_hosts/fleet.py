"""All free phones of one model of a farm as one device; a phone that is lost is replaced."""

import contextlib
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.android.shared_work import (
    Agreement,
    is_shared,
    joint_state,
    on_common_clock,
    part_of,
    running_together,
)
from device_agents.base import AgentSettings, DeviceState, Siblings
from device_agents.farm.model import LeaseLost
from device_agents.farm_hosts.assignment import Assignment
from device_agents.farm_hosts.membership import Membership, Wish, is_its_own_fault
from device_agents.farm_hosts.probe import Probes
from device_agents.farm_hosts.remote import FetchesNothing, RemotePhone
from device_agents.farm_hosts.transport import FarmTransport
from device_agents.protocol import Bye, Hello, Plan, PlanItem, Record, Sentinel
from search.errors import ConnectionLost, DeviceError, UsageError
from search.table.manifest import DeviceInfo, Source


class FarmFleet(FetchesNothing):
    """Phones of a farm as one `DeviceAgent`.

    It takes the phones that are free when it is opened (and waits for one where none is), keeps
    each item on one phone, and gives the items of a phone that is lost to the others.

    Args:
        transport: Carries the calls; closed with the fleet.
        secret: The farm's.
        wish: Which phones.
        settings: How each runner is started.
    """

    source: Source = "measured"

    def __init__(
        self, transport: FarmTransport, secret: bytes, wish: Wish, settings: AgentSettings
    ) -> None:
        self._transport = transport
        self._members = Membership(transport, secret, wish, settings)
        self._probes = Probes(self._members, self._run_on, settings.say)
        self._files: dict[str, Path] = {}
        self._assignment = Assignment()
        self._agreement = Agreement()
        self._sentinel_us: list[float] = []

    def __enter__(self) -> Self:
        try:
            self._members.begin()
        except BaseException:
            self._members.end(is_complete=False)
            self._transport.close()
            raise
        self.source = next(phone.source for phone in self._members.phones.values())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._members.end(is_complete=kind is None)
        self._transport.close()

    # --- DeviceAgent protocol

    def info(self) -> DeviceInfo:
        """The model as one device: the same, whichever of its phones take part."""
        assert self._members.info is not None, "it is entered first"
        return self._members.info

    def state(self) -> DeviceState:
        """State of the first phone; the mode where all agree, the highest temperature."""
        states = []
        for phone in self._members.phones.values():
            with contextlib.suppress(ConnectionLost):
                states.append(phone.state())
        return joint_state(states) if states else DeviceState()

    def deliver(self, path: Path, sha256: str) -> str:
        """Note a file; it is sent to a phone before that runs a plan with it."""
        self._files[sha256] = path
        return sha256

    def remarks(self) -> tuple[str, ...]:
        """What happened to phones, and what was told about each."""
        remarks = []
        if moved := self._assignment.moved:
            remarks.append(f"{len(moved)} items moved from a phone that was lost to another")
        for phone in self._members.phones.values():
            with contextlib.suppress(ConnectionLost):
                remarks += phone.remarks()
        return tuple(dict.fromkeys((*remarks, *self._members.notes)))

    def siblings(self) -> Siblings:
        """Every phone of the campaign, those of earlier launches too, and how far they agree."""
        return self._agreement.siblings(dict(sorted(self._members.hashes.items())))

    def hear_stage(self, title: str) -> None:
        """Let the farm's users see how far the campaign is."""
        self._members.tell_stage(title)

    # --- one plan

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan on all phones at once; what a lost phone did not finish, the others do.

        Raises:
            DeviceLost, DeviceTimeout: A runner died or hangs; the others are stopped.
            DeviceError: The last phone cannot do it.
        """
        counts: Counter[str] = Counter()
        first: Hello | None = None
        open_items = {item.id: item for item in plan.items}
        if self._assignment.lacks(self._members.phones):
            self._members.gather()  # one that was lost may be back, or another one free
        while first is None or open_items:
            if not self._members.phones:
                self._members.gather()
            for record in self._run_once(plan, open_items):
                if isinstance(record, Hello):
                    is_new, first = first is None, _same_runner(first, record)
                    if is_new:
                        yield record
                else:
                    counts[record.type] += 1
                    yield record
        self._probes.probe(plan, self._sentinel_us)
        yield Bye(
            samples=counts["sample"], sentinels=counts["sentinel"], failures=counts["failure"]
        )

    def _run_once(self, plan: Plan, open_items: dict[int, PlanItem]) -> Iterator[Record]:
        """One try at what is open; takes out what a phone finished, and phones that were lost."""
        where = self._assignment.spread(open_items, self._members.phones)
        parts = self._parts(plan, where)
        own = {
            number: {item.id for item in part.items if where.get(item.id) == number}
            for number, part in parts.items()
        }
        running = set(parts)
        with running_together(
            (number, _Named(self, self._members.phones[number]), part)
            for number, part in parts.items()
        ) as arrived:
            while running:
                number, record = arrived.get()
                if isinstance(record, LeaseLost | ConnectionLost | DeviceError):
                    running.discard(number)
                    self._members.lose(number, record)
                    if is_its_own_fault(record) and not self._members.phones:
                        raise record
                elif isinstance(record, BaseException):
                    raise record
                elif record is None:
                    running.discard(number)
                    for item in own[number]:
                        open_items.pop(item, None)
                else:
                    yield from self._kept(number, record, own[number], plan)
        if all(item == plan.sentinel for item in open_items):
            open_items.clear()

    def _kept(self, number: int, record: Record, own: set[int], plan: Plan) -> Iterator[Record]:
        """A record, if it is of an item of this phone; what all run is compared."""
        self._agreement.add(number, record)
        if isinstance(record, Sentinel):
            self._sentinel_us.append(record.ns / record.loops / 1e3)
        item = getattr(record, "item", None)
        is_own = item is None or item in own or item == plan.sentinel
        if is_own and not isinstance(record, Bye):
            yield on_common_clock(number, record)

    def _parts(self, plan: Plan, where: Mapping[int, int]) -> dict[int, Plan]:
        """The plan of each phone that has something to do: its items, and those that all share."""
        busy = set(where.values()) or {min(self._members.phones)}
        return {
            number: part_of(
                plan,
                [
                    item
                    for item in plan.items
                    if item.id == plan.sentinel
                    or (item.id in where and (where[item.id] == number or is_shared(plan, item)))
                ],
            )
            for number in sorted(busy)
        }

    def _run_on(self, phone: RemotePhone, plan: Plan) -> Iterator[Record]:
        """Run a plan on one phone, which gets its files first and has names of its own for them."""
        wanted = {item.file for item in plan.items}
        wanted |= {item.input for item in plan.items if item.input}
        names = phone.deliver_all({sha256: self._files[sha256] for sha256 in sorted(wanted)})
        items = tuple(
            item.model_copy(
                update={"file": names[item.file], "input": item.input and names[item.input]}
            )
            for item in plan.items
        )
        # Another try of the same plan is another run.
        return phone.run(plan.model_copy(update={"items": items, "nonce": uuid.uuid4().hex}))


class _Named:
    """A phone of a fleet, as what runs a plan."""

    def __init__(self, fleet: FarmFleet, phone: RemotePhone) -> None:
        self._fleet = fleet
        self._phone = phone

    def run(self, plan: Plan) -> Iterator[Record]:
        yield from self._fleet._run_on(self._phone, plan)


def _same_runner(first: Hello | None, hello: Hello) -> Hello:
    """The first hello; phones whose hosts measure with different runners are refused.

    Raises:
        UsageError: Two differ.
    """
    if first is None:
        return hello
    runners = {(one.runner_sha256, one.runtime_version) for one in (first, hello)}
    if len(runners) > 1:
        raise UsageError(
            "The hosts of this farm measure with different runners: rows of two never share a "
            "table.",
            "Make the runtime with the same kit on each host: python -m device_agents.runtime.",
        )
    return first
