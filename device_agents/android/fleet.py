"""Fleet: several phones of one model at this computer as one device (`shared_work`)."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.android.agent import AndroidAgent
from device_agents.android.shared_work import (
    SHARED_ITEMS,
    Agreement,
    is_shared,
    joint_state,
    on_common_clock,
    part_of,
    running_together,
)
from device_agents.base import AgentSettings, DeviceState, Siblings
from device_agents.device import Device
from device_agents.protocol import Bye, Hello, Plan, Record
from search.errors import DeviceError
from search.table.manifest import DeviceInfo, Source


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
        self._agreement = Agreement()

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
        return joint_state([agent.state() for agent in self._agents])

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """The contents that at least one phone does not have yet."""
        return set().union(*(agent.lacking(sizes) for agent in self._agents))

    def deliver(self, path: Path, sha256: str) -> str:
        """Copy a file to all phones."""
        return self.deliver_all({sha256: path})[sha256]

    def deliver_all(self, files: Mapping[str, Path]) -> Mapping[str, str]:
        """Copy files to all phones, to each at the same time."""
        with ThreadPoolExecutor(len(self._agents)) as pool:
            copies = [pool.submit(agent.deliver_all, files) for agent in self._agents]
        names = [copy.result() for copy in copies]
        return names[0]  # files are named by their content: the same name on each

    def reserve(self) -> str:
        """A path on the first phone, which computes all outputs."""
        return self._agents[0].reserve()

    def collect(self, name: str) -> bytes:
        """The content of an output of the first phone."""
        return self._agents[0].collect(name)

    @property
    def starts_fresh(self) -> bool:
        """True: every plan has runners of its own; one with a single item is the first phone's."""
        return True

    def restart(self) -> None:
        """Nothing to end: no runner goes on."""

    def remarks(self) -> tuple[str, ...]:
        """What was told about each phone that its measurements depend on."""
        return tuple({text: None for agent in self._agents for text in agent.remarks()})

    def siblings(self) -> Siblings:
        """The phones, and how far they agree on the shared items."""
        hashes = (agent.info().serial_hash or "?" for agent in self._agents)
        return self._agreement.siblings(dict(enumerate(hashes)))

    # --- one plan

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan on all phones at once.

        Raises:
            DeviceLost, DeviceTimeout, DeviceError: Of any phone; the others
                are stopped.
        """
        plans = self._parts(plan)
        working = {number for number, part in enumerate(plans) if part.items} or {0}
        parts = zip(range(len(self._agents)), self._agents, plans, strict=True)
        with running_together(parts) as arrived:
            running, counts, has_hello = len(self._agents), Counter[str](), False
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
                    told = record.max_rss_kb if number in working else None
                    peak = max((kb for kb in (peak, told) if kb), default=None)
                elif self._is_kept(number, record):
                    counts[record.type] += 1
                    yield on_common_clock(number, record)
        yield Bye(
            samples=counts["sample"],
            sentinels=counts["sentinel"],
            failures=counts["failure"],
            max_rss_kb=peak,
        )

    def _parts(self, plan: Plan) -> list[Plan]:
        """Each phone's plan: its own items, and those that all share."""
        count = len(self._agents)
        if any(item.output for item in plan.items):
            return [part_of(plan, plan.items if number == 0 else ()) for number in range(count)]
        return [
            part_of(
                plan,
                [item for item in plan.items if item.id % count == number or is_shared(plan, item)],
            )
            for number in range(count)
        ]

    def _is_kept(self, number: int, record: Record) -> bool:
        """Whether a record is of an item of this phone; what it shares is compared."""
        self._agreement.add(number, record)
        item = getattr(record, "item", None)
        return item is None or item >= SHARED_ITEMS or item % len(self._agents) == number
