"""Fleet: several phones of one model as one device, each running a share of every plan.

An item stays with one phone for the whole campaign, so that its blocks are of
one piece of silicon. A few items and the sentinel are run by all: `remarks`
reports how far the phones agree on them, and the table records it.

The clocks of two phones are unrelated: the `at_ns` of phone k are shifted by
k times `CLOCK_STEP_NS`, so that a phone's slow moments stay its own, and
`at_ns // CLOCK_STEP_NS` of a sample is the number of its phone.
"""

import contextlib
import queue
import statistics
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.android.agent import AndroidAgent
from device_agents.base import AgentSettings, DeviceState
from device_agents.device import Device
from device_agents.protocol import CLOCK_STEP_NS, Bye, Hello, Plan, Record, Sample, Sentinel
from search.errors import DeviceError
from search.table.manifest import DeviceInfo, Source

SHARED_ITEMS = 3
_AGREE = 0.05

_Message = tuple[int, Record | BaseException | None]


class Fleet:
    """Agents of phones of one model, as one agent.

    Args:
        device: Their device file, with their serials among its options.
        settings: How each runner is started.
    """

    source: Source = "measured"

    def __init__(self, device: Device, settings: AgentSettings) -> None:
        self._device = device
        self._address = AdbAddress.of(device.options)
        self._settings = settings
        self._agents: Sequence[AndroidAgent] = [
            AndroidAgent(device, settings, serial) for serial in self._address.serials
        ]
        self._open = contextlib.ExitStack()
        self._shared: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def __enter__(self) -> Self:
        chosen = discovery.select_devices(self._device, self._address, self._settings.say)
        self._agents = [
            AndroidAgent(self._device, self._settings, found.serial) for found in chosen
        ]
        with contextlib.ExitStack() as stack:
            for agent in self._agents:
                stack.enter_context(agent)
            self._check_same_kind()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def _check_same_kind(self) -> None:
        """Refuse phones that differ: their rows must not share a table."""
        kinds = {
            info.model_copy(
                update={"id": "", "serial_hash": None, "ram_mb": None}
            ).model_dump_json()
            for info in (agent.info() for agent in self._agents)
        }
        if len(kinds) > 1:
            raise DeviceError(
                "The phones differ in model, system version or cores: they cannot share a table.",
                "Bring them to the same system version, or measure them one by one.",
            )

    # --- DeviceAgent protocol

    def info(self) -> DeviceInfo:
        """The model as one device; the serial hash joins those of all phones."""
        infos = sorted((agent.info() for agent in self._agents), key=lambda info: info.id)
        stem = infos[0].id.rpartition("-")[0]
        return infos[0].model_copy(
            update={
                "id": f"{stem}-fleet{len(infos)}",
                "serial_hash": "+".join(info.serial_hash or "?" for info in infos),
                "ram_mb": min((info.ram_mb for info in infos if info.ram_mb), default=None),
            }
        )

    def state(self) -> DeviceState:
        """State of the first phone; the mode where all agree, the highest temperature."""
        states = [agent.state() for agent in self._agents]
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

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """The contents that at least one phone does not have yet."""
        return set().union(*(agent.lacking(sizes) for agent in self._agents))

    def deliver(self, path: Path, sha256: str) -> str:
        """Copy a file to all phones."""
        paths = {agent.deliver(path, sha256) for agent in self._agents}
        return paths.pop()  # files are named by their content: the same name on each

    def reserve(self) -> str:
        """A path on the first phone, which computes all outputs."""
        return self._agents[0].reserve()

    def collect(self, name: str) -> bytes:
        """The content of an output of the first phone."""
        return self._agents[0].collect(name)

    def remarks(self) -> tuple[str, ...]:
        """The phones, and how far they agree on the shared items."""
        hashes = [agent.info().serial_hash for agent in self._agents]
        remarks = [f"measured by {len(hashes)} phones of one model: {', '.join(map(str, hashes))}"]
        spreads = []
        for phones in self._shared.values():
            medians = [statistics.median(times) for times in phones.values()]
            if len(medians) == len(self._agents):
                spreads.append(max(medians) / min(medians) - 1)
        if spreads:
            worst = max(spreads)
            verdict = "they agree" if worst <= _AGREE else "THEY DO NOT AGREE"
            remarks.append(
                f"{verdict}: on {len(spreads)} shared operators they differ by at most {worst:.1%}"
            )
        own = {text: None for agent in self._agents for text in agent.remarks()}
        return (*remarks, *own)

    # --- one plan

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan on all phones at once.

        Raises:
            DeviceLost, DeviceTimeout, DeviceError: Of any phone; the others
                are stopped.
        """
        arrived: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        stop = threading.Event()
        threads = [
            threading.Thread(target=_pump, args=(number, agent, part, arrived, stop), daemon=True)
            for number, (agent, part) in enumerate(
                zip(self._agents, self._parts(plan), strict=True)
            )
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._merge(arrived)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _parts(self, plan: Plan) -> list[Plan]:
        """Each phone's plan: its own items, and those that all share."""
        count = len(self._agents)
        first_only = any(item.output for item in plan.items)
        parts = []
        for number in range(count):
            items = tuple(
                item
                for item in plan.items
                if (number == 0 if first_only else item.id % count == number)
                or (not first_only and (item.id < SHARED_ITEMS or item.id == plan.sentinel))
            )
            known = {item.id for item in items}
            sentinel = plan.sentinel if plan.sentinel in known else None
            parts.append(plan.model_copy(update={"items": items, "sentinel": sentinel}))
        return parts

    def _merge(self, arrived: "queue.SimpleQueue[_Message]") -> Iterator[Record]:
        counts: Counter[str] = Counter()
        running, has_hello = len(self._agents), False
        peak: int | None = None
        while running:
            number, record = arrived.get()
            if isinstance(record, BaseException):
                raise record
            if record is None:
                running -= 1
            elif isinstance(record, Hello):
                if not has_hello:
                    has_hello = True
                    yield record
            elif isinstance(record, Bye):
                peak = max((kb for kb in (peak, record.max_rss_kb) if kb), default=None)
            elif (merged := self._on_common_clock(number, record)) is not None:
                counts[merged.type] += 1
                yield merged
        yield Bye(
            samples=counts["sample"],
            sentinels=counts["sentinel"],
            failures=counts["failure"],
            max_rss_kb=peak,
        )

    def _on_common_clock(self, number: int, record: Record) -> Record | None:
        """A phone's record with shifted time; None for an item of another phone."""
        item = getattr(record, "item", None)
        if isinstance(record, Sample) and record.item < SHARED_ITEMS:
            self._shared[record.item][number].append(record.ns / record.loops)
        if item is not None and item < SHARED_ITEMS and item % len(self._agents) != number:
            return None
        if isinstance(record, Sample | Sentinel):
            at_ns = record.at_ns % CLOCK_STEP_NS + number * CLOCK_STEP_NS
            return record.model_copy(update={"at_ns": at_ns})
        return record


def _union(parts: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(sorted({cpu for part in known for cpu in part})) if known else None


def _pump(
    number: int,
    agent: AndroidAgent,
    plan: Plan,
    arrived: "queue.SimpleQueue[_Message]",
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
