"""Agent of a simulated device: known true times, reported over the real protocol.

Statistics and recovery are tested against the known truth, and a whole
campaign runs in seconds without a phone. Its clock is simulated too. All its
results are marked "simulated".
"""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from device_agents.base import AgentSettings, DeviceState
from device_agents.farm.fence import FenceFolder
from device_agents.farm.model import LeaseLost
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
from device_agents.simulated.truth import NOMINAL_KHZ, Truth
from search.errors import DeviceError, DeviceLost, UsageError
from search.operators.counts import count
from search.operators.spec import OperatorSpec, parse_key
from search.table.manifest import CpuCluster, DeviceInfo, Source

_MS = 1_000_000
_SWING_S = 7.0

Programs = dict[int, tuple[OperatorSpec, ...]]


class SimulatedAgent:
    """Yields records with noise and faults around a known truth."""

    source: Source = "simulated"

    def __init__(self, settings: AgentSettings, truth: Truth) -> None:
        if settings.backend != "simulated":
            raise UsageError(
                f"A simulated device cannot run the backend {settings.backend!r}.",
                "It knows simulated.",
            )
        self._settings = settings
        self.truth = truth
        self._busy_ns = 0
        self._cooled_s = 0.0  # of the busy time, what no longer counts as load
        self._idle_ns = 0
        self._written = 0
        self._random = random.Random(truth.seed)  # noqa: S311
        self._lost = False
        self._flipped: set[tuple[OperatorSpec, ...]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def info(self) -> DeviceInfo:
        """Identity that names the device as simulated."""
        return DeviceInfo(
            id="simulated",
            kind="simulated",
            manufacturer="fbnet-kit",
            model=f"simulated (seed {self.truth.seed})",
            clusters=(CpuCluster(cpus=(0, 1, 2, 3)),),
        )

    def state(self) -> DeviceState:
        """Nothing is known, as on a phone without root."""
        return DeviceState()

    @property
    def starts_fresh(self) -> bool:
        """True: the peak of its memory is that of one plan."""
        return True

    def restart(self) -> None:
        """Nothing to end: no runner goes on."""

    def deliver(self, path: Path, sha256: str) -> str:  # noqa: ARG002
        """Nothing is copied: the file's own path."""
        return str(path)

    def reserve(self) -> str:
        """Refused: no outputs are computed.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError("A simulated device computes nothing.", "Take a real one for outputs.")

    def collect(self, name: str) -> bytes:
        """Refused: no outputs are computed.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError(f"A simulated device wrote no file {name!r}.")

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run a plan on the simulated clock."""
        yield from check_records((self._line(record) for record in self._records(plan)), plan)

    def _line(self, record: Record) -> str:
        self._written += 1
        limit = self.truth.lose_after
        if limit is not None and self._written > limit and not self._lost:
            self._lost = True
            return dump_record(record)[: self._random.randrange(1, 12)]
        return dump_record(record)

    def _records(self, plan: Plan) -> Iterator[Record]:
        _check_fence(plan)
        self._rest(plan)
        yield Hello(
            nonce=plan.nonce,
            runner="simulated",
            runtime="simulated",
            runtime_version="1",
            backend=plan.backend,
            threads=plan.threads,
            affinity=plan.affinity,
            clock_resolution_ns=1,
        )
        programs: Programs = {}
        failures = samples = sentinels = 0
        for item in plan.items:
            yield Begin(item=item.id)
            record = self._load(plan, item, programs)
            failures += isinstance(record, Failure)
            yield record
        for block in self._rounds(plan, programs):
            samples += isinstance(block, Sample)
            sentinels += isinstance(block, Sentinel)
            _check_fence(plan)
            yield block
        yield Bye(
            samples=samples,
            sentinels=sentinels,
            failures=failures,
            max_rss_kb=self._max_rss_kb(programs),
        )

    def _load(self, plan: Plan, item: PlanItem, programs: Programs) -> Loaded | Failure:
        """Add an item's operators to the programs, or return the failure."""
        try:
            specs = tuple(parse_key(key) for key in json.loads(Path(item.file).read_text()))
        except (OSError, ValueError, UsageError) as error:
            return Failure(item=item.id, kind="load", message=f"{error}"[:500])
        text = " ".join(spec.key for spec in specs)
        if self.truth.crash_on and self.truth.crash_on in text:
            raise DeviceLost("The runner died (simulated crash).", "Run again with --resume.")
        if self.truth.refuse and self.truth.refuse in text:
            return Failure(item=item.id, kind="load", message="refused (simulated)")
        programs[item.id] = specs
        return Loaded(
            item=item.id,
            load_ns=_MS,
            loops=self._loops(plan, item.loops, specs),
            placement=self._placement(specs),
            first_ns=round(self.truth.program_us(specs) * 2e3),
            planned_bytes=count(specs[0]).input_bytes + count(specs[-1]).output_bytes,
        )

    def _max_rss_kb(self, programs: Programs) -> int:
        """The runner and all programs, as if none was ever unloaded."""
        own_kb = sum(self.truth.memory_kb(specs) for specs in programs.values())
        return round(self.truth.runner_mb * 1e6 / 1024) + own_kb

    def _rounds(self, plan: Plan, programs: Programs) -> Iterator[Sample | Sentinel]:
        """Visit every program once a round, in the plan's order, with the sentinel in between."""
        loops = {
            item.id: self._loops(plan, item.loops, programs[item.id])
            for item in plan.items
            if item.id in programs
        }
        for number in range(plan.rounds):
            order = sorted(programs)
            random.Random(plan.order_seed * 1_000_003 + number).shuffle(order)  # noqa: S311
            for position, item_id in enumerate(order):
                sentinel = plan.sentinel
                if sentinel in programs and position % plan.sentinel_every == 0:
                    yield self._time_sentinel(plan, programs[sentinel], loops[sentinel])
                yield self._visit(plan, item_id, number, programs[item_id], loops[item_id])

    def _time_sentinel(self, plan: Plan, specs: tuple[OperatorSpec, ...], loops: int) -> Sentinel:
        ns, switches, _ = self._block(plan, specs, loops)
        return Sentinel(
            loops=loops,
            ns=ns,
            switches=switches,
            at_ns=self._now_ns,
            freq_khz=self._clock_khz(),
            temperature_mc=self._temperature_mc(),
        )

    def _visit(
        self, plan: Plan, item: int, number: int, specs: tuple[OperatorSpec, ...], loops: int
    ) -> Sample:
        first = round(self._call_ns(specs) * 1.1)  # drawn before the block: seeds depend on it
        ns, switches, attempts = self._block(plan, specs, loops)
        return Sample(
            item=item,
            round=number,
            loops=loops,
            ns=ns,
            first_ns=first,
            switches=switches,
            attempts=attempts,
            at_ns=self._now_ns,
            freq_khz=self._clock_khz(),
            temperature_mc=self._temperature_mc(),
        )

    def _loops(self, plan: Plan, loops: int, specs: tuple[OperatorSpec, ...]) -> int:
        chosen = math.ceil(plan.min_block_ns / (self.truth.program_us(specs) * 1e3))
        return loops or max(1, min(chosen, plan.max_loops))

    def _block(
        self, plan: Plan, specs: tuple[OperatorSpec, ...], loops: int
    ) -> tuple[int, int, int]:
        attempt = 0
        while True:
            attempt += 1
            ns = round(self._call_ns(specs) * loops)
            switches = int(self._random.random() < self.truth.preemption)
            ns += switches * 4 * _MS
            self._busy_ns += ns
            if not switches or attempt == plan.max_attempts:
                return ns, switches, attempt

    def _call_ns(self, specs: tuple[OperatorSpec, ...]) -> float:
        truth, draw = self.truth, self._random
        noise = truth.noise
        if truth.wide and any(truth.wide in spec.key for spec in specs):
            noise = 0.5
        factor = math.exp(draw.gauss(0, noise))
        if draw.random() < truth.outliers:
            factor *= 1 + draw.expovariate(2)
        if specs in self._flipped:
            factor *= truth.flip_factor
        return truth.program_us(specs) * 1e3 * factor * self._slowdown(specs)

    def _placement(self, specs: tuple[OperatorSpec, ...]) -> str | None:
        """The unit that a program is placed on; it stays there until it is loaded again."""
        truth = self.truth
        copies = max((specs.count(spec) for spec in set(specs)), default=0)
        affected = truth.flip_on is not None and any(truth.flip_on in spec.key for spec in specs)
        interval = int(self._busy_ns / 1e9 / truth.flip_every_s)
        self._flipped.discard(specs)
        if (
            affected
            and copies >= truth.flip_copies
            and (math.isinf(truth.flip_every_s) or interval % 2)
        ):
            self._flipped.add(specs)
        if truth.unit is None:
            return None
        return f"not {truth.unit}" if specs in self._flipped else truth.unit

    def _slowdown(self, specs: tuple[OperatorSpec, ...]) -> float:
        """State, drift and throttling at the present simulated time."""
        busy_s = self._busy_ns / 1e9
        factor = 1 + self.truth.drift_per_s * busy_s
        factor *= self.truth.heat_factor(specs, self._heat())
        if state := self.truth.log_state(busy_s):
            factor *= math.exp(self.truth.sensitivity(specs) * state)
        period = self.truth.throttle_after_s + self.truth.throttle_for_s
        if math.isfinite(period) and busy_s % period > self.truth.throttle_after_s:
            factor *= self.truth.throttle_factor
        clock = self._clock_khz()
        return factor if clock is None else factor * NOMINAL_KHZ / clock

    def _temperature_mc(self) -> int | None:
        """From 30 to 75 degrees; unknown of a device that does not warm up."""
        if not self.truth.heat_slowdown:
            return None
        return round(30_000 + 45_000 * self._heat())

    def _heat(self) -> float:
        return self.truth.heat(self._loaded_s())

    def _loaded_s(self) -> float:
        return self._busy_ns / 1e9 - self._cooled_s

    @property
    def _now_ns(self) -> int:
        """The device's clock: it goes on while a runner starts."""
        return self._busy_ns + self._idle_ns

    def _rest(self, plan: Plan) -> None:
        """Cool down before a plan: wholly where it may wait, else while its runner starts."""
        hot_s = self._loaded_s()
        self._idle_ns += round(self.truth.start_s * 1e9)
        if plan.cool:
            self._cooled_s += hot_s
        elif self.truth.start_s:
            self._cooled_s += hot_s - self.truth.rested(hot_s, self.truth.start_s)

    def _clock_khz(self) -> int | None:
        if self.truth.clock_khz is None:
            return None
        phase = math.sin(2 * math.pi * self._busy_ns / 1e9 / _SWING_S)
        return round(self.truth.clock_khz * (1 + self.truth.clock_swing * phase))


def _check_fence(plan: Plan) -> None:
    """What a runner does by itself: stop where the device belongs to another token."""
    if plan.fence and FenceFolder(Path(plan.fence.folder)).read() != plan.fence.token:
        raise LeaseLost(
            "The simulated device belongs to another lease by now.", "Ask for a phone again."
        )
