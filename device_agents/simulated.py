"""The simulated device: a known truth behind the real protocol.

It exists so that statistics and recovery can be tested against truth, and so
that a whole campaign runs in seconds with no phone. Its clock is simulated
too. Whatever comes from it is marked "simulated".
"""

import hashlib
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_agents.base import AgentSettings, Steadiness
from device_agents.protocol import (
    Begin,
    Bye,
    Failure,
    Hello,
    Loaded,
    Plan,
    Record,
    Sample,
    Sentinel,
    dump_record,
)
from device_agents.stream import check_records
from search.counts import count
from search.errors import DeviceError, DeviceLost, UsageError
from search.manifest import CpuCluster, DeviceInfo, Source
from search.operators import OperatorSpec, parse_key

_MS = 1_000_000
NOMINAL_KHZ = 2_000_000
_SWING_S = 7.0


_KINDS = {
    "int": (int,),
    "float": (int, float),
    "str | None": (str,),
    "int | None": (int,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the simulated device is like; every field can be set in its TOML.

    A call takes `dispatch_us`, and each operator its own time; an operator
    alone pays `boundary_us_per_mb` for its input and output, as if it were
    transposed at the border of the program. `throttle_after_s` of busy time
    the device slows to `throttle_factor` for `throttle_for_s`, then recovers.
    With `clock_khz` it reports its clock, which swings by the share
    `clock_swing` to either side; true times are those at `NOMINAL_KHZ`.
    With `unit` it says where programs are placed. A program that repeats an
    operator whose key contains `flip_on` `flip_copies` times or more falls
    to another unit, slower by `flip_factor`; with `flip_every_s` only in every
    other such stretch of busy time.
    Faults: `crash_on` a key (substring) kills the runner, `refuse` yields a
    failure, `lose_after` records the connection breaks (once).
    """

    seed: int = 0
    dispatch_us: float = 4.0
    gmacs_per_s: float = 20.0
    gb_per_s: float = 8.0
    int8_speedup: float = 2.2
    boundary_us_per_mb: float = 20.0
    noise: float = 0.01
    outliers: float = 0.01
    preemption: float = 0.01
    drift_per_s: float = 0.0
    throttle_after_s: float = math.inf
    throttle_for_s: float = 5.0
    throttle_factor: float = 1.4
    clock_khz: int | None = None
    clock_swing: float = 0.0
    unit: str | None = None
    flip_on: str | None = None
    flip_copies: int = 16
    flip_factor: float = 1.7
    flip_every_s: float = math.inf
    unstable: str | None = None
    crash_on: str | None = None
    refuse: str | None = None
    lose_after: int | None = None

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "Truth":
        """Truth from a device file's `[options]`.

        Raises:
            UsageError: An option that a simulated device has not.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise UsageError(
                f"A simulated device has no option {unknown[0]!r}.",
                f"Known: {', '.join(sorted(known))}.",
            )
        kinds = {
            field.name: _KINDS[getattr(field.type, "__name__", str(field.type))]
            for field in fields(cls)
        }
        for name, value in options.items():
            if not isinstance(value, kinds[name]):
                raise UsageError(f"The option {name} of a simulated device cannot be {value!r}.")
        return cls(**options)

    def operator_us(self, spec: OperatorSpec) -> float:
        """The true time of one operator inside a network, in microseconds."""
        if spec.kind in ("skip", "empty"):
            return 0.0
        counts = count(spec)
        speed = self.int8_speedup if spec.dtype == "int8" else 1.0
        compute = counts.flops / (self.gmacs_per_s * speed * 1e3)
        moved = counts.input_bytes + counts.output_bytes + counts.weight_bytes
        return (compute + moved / (self.gb_per_s * 1e3)) * self._quirk(spec)

    def _quirk(self, spec: OperatorSpec) -> float:
        # Kernels differ in ways that no count explains: up to 30 % here.
        digest = hashlib.sha256(f"{self.seed} {spec.key}".encode()).digest()
        return 0.85 + 0.3 * digest[0] / 255

    def program_us(self, specs: tuple[OperatorSpec, ...]) -> float:
        """The true time of one call of a program made of these operators."""
        total = self.dispatch_us + sum(self.operator_us(spec) for spec in specs)
        if len(specs) == 1 and specs[0].kind not in ("empty", "skip"):
            counts = count(specs[0])
            total += self.boundary_us_per_mb * (counts.input_bytes + counts.output_bytes) / 1e6
        return total


class SimulatedAgent:
    """Plays a device with a known truth."""

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
        self._written = 0
        self._random = random.Random(truth.seed)  # noqa: S311
        self._lost = False
        self._flipped: set[tuple[OperatorSpec, ...]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def info(self) -> DeviceInfo:
        """A device that says what it is."""
        return DeviceInfo(
            id="simulated",
            kind="simulated",
            manufacturer="fbnet-kit",
            model=f"simulated (seed {self.truth.seed})",
            clusters=(CpuCluster(cpus=(0, 1, 2, 3)),),
        )

    def steadiness(self) -> Steadiness:
        """Nothing is known, as on a phone without root."""
        return Steadiness()

    def deliver(self, path: Path, sha256: str) -> str:  # noqa: ARG002
        """Files are read where they lie."""
        return str(path)

    def reserve(self) -> str:
        """Refused: there are no numbers behind the times.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError("A simulated device computes nothing.", "Take a real one for outputs.")

    def collect(self, name: str) -> bytes:
        """Refused, as `reserve`.

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
        counts = {"sample": 0, "sentinel": 0, "failure": 0}
        programs: dict[int, tuple[OperatorSpec, ...]] = {}
        for item in plan.items:
            yield Begin(item=item.id)
            try:
                specs = tuple(parse_key(key) for key in json.loads(Path(item.file).read_text()))
            except (OSError, ValueError, UsageError) as error:
                counts["failure"] += 1
                yield Failure(item=item.id, kind="load", message=f"{error}"[:500])
                continue
            text = " ".join(spec.key for spec in specs)
            if self.truth.crash_on and self.truth.crash_on in text:
                raise DeviceLost("The runner died (simulated crash).", "Run again with --resume.")
            if self.truth.refuse and self.truth.refuse in text:
                counts["failure"] += 1
                yield Failure(item=item.id, kind="load", message="refused (simulated)")
                continue
            programs[item.id] = specs
            yield Loaded(
                item=item.id,
                load_ns=_MS,
                loops=self._loops(plan, item.loops, specs),
                placement=self._place(specs),
            )
        loops = {item.id: item.loops for item in plan.items}
        for number in range(plan.rounds):
            order = sorted(programs)
            random.Random(plan.order_seed * 1_000_003 + number).shuffle(order)  # noqa: S311
            for position, item_id in enumerate(order):
                sentinel = plan.sentinel
                if sentinel in programs and position % plan.sentinel_every == 0:
                    n = self._loops(plan, loops[sentinel], programs[sentinel])
                    ns, switches, _ = self._block(plan, programs[sentinel], n)
                    counts["sentinel"] += 1
                    yield Sentinel(
                        loops=n,
                        ns=ns,
                        switches=switches,
                        at_ns=self._busy_ns,
                        freq_khz=self._clock_khz(),
                    )
                n = self._loops(plan, loops[item_id], programs[item_id])
                first = round(self._call_ns(programs[item_id]) * 1.1)
                ns, switches, attempts = self._block(plan, programs[item_id], n)
                counts["sample"] += 1
                yield Sample(
                    item=item_id,
                    round=number,
                    loops=n,
                    ns=ns,
                    first_ns=first,
                    switches=switches,
                    attempts=attempts,
                    at_ns=self._busy_ns,
                    freq_khz=self._clock_khz(),
                )
        yield Bye(
            samples=counts["sample"], sentinels=counts["sentinel"], failures=counts["failure"]
        )

    def _loops(self, plan: Plan, asked: int, specs: tuple[OperatorSpec, ...]) -> int:
        wanted = math.ceil(plan.min_block_ns / (self.truth.program_us(specs) * 1e3))
        return asked or max(1, min(wanted, plan.max_loops))

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
        if truth.unstable and any(truth.unstable in spec.key for spec in specs):
            noise = 0.5
        factor = math.exp(draw.gauss(0, noise))
        if draw.random() < truth.outliers:
            factor *= 1 + draw.expovariate(2)
        if specs in self._flipped:
            factor *= truth.flip_factor
        return truth.program_us(specs) * 1e3 * factor * self._slowdown()

    def _place(self, specs: tuple[OperatorSpec, ...]) -> str | None:
        """Where a program goes as it is loaded; it stays there until it is loaded again."""
        truth = self.truth
        longest = max((specs.count(spec) for spec in set(specs)), default=0)
        named = truth.flip_on is not None and any(truth.flip_on in spec.key for spec in specs)
        stretch = int(self._busy_ns / 1e9 / truth.flip_every_s)
        self._flipped.discard(specs)
        if (
            named
            and longest >= truth.flip_copies
            and (math.isinf(truth.flip_every_s) or stretch % 2)
        ):
            self._flipped.add(specs)
        if truth.unit is None:
            return None
        return f"not {truth.unit}" if specs in self._flipped else truth.unit

    def _slowdown(self) -> float:
        """Drift and throttling at the present simulated time."""
        busy_s = self._busy_ns / 1e9
        factor = 1 + self.truth.drift_per_s * busy_s
        period = self.truth.throttle_after_s + self.truth.throttle_for_s
        if math.isfinite(period) and busy_s % period > self.truth.throttle_after_s:
            factor *= self.truth.throttle_factor
        clock = self._clock_khz()
        return factor if clock is None else factor * NOMINAL_KHZ / clock

    def _clock_khz(self) -> int | None:
        if self.truth.clock_khz is None:
            return None
        phase = math.sin(2 * math.pi * self._busy_ns / 1e9 / _SWING_S)
        return round(self.truth.clock_khz * (1 + self.truth.clock_swing * phase))
