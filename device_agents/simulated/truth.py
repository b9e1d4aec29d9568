"""Truth of a simulated device: the real times of operators and programs."""

import hashlib
import math
from dataclasses import dataclass, fields
from typing import Any

from search.errors import UsageError
from search.latency.peak_memory import MemoryFeatures
from search.operators.counts import count
from search.operators.spec import OperatorSpec

NOMINAL_KHZ = 2_000_000

_KINDS = {
    "int": (int,),
    "float": (int, float),
    "str | None": (str,),
    "int | None": (int,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Properties of the simulated device; every field can be set in its TOML.

    A call takes `dispatch_us`, and each operator its own time; an operator
    alone pays `boundary_us_per_mb` for its input and output, as if it were
    transposed at the border of the program. `throttle_after_s` of busy time
    the device slows to `throttle_factor` for `throttle_for_s`, then recovers.
    With `clock_khz` it reports its clock, which swings by the share
    `clock_swing` to either side; true times are those at `NOMINAL_KHZ`.
    At an unchanged clock its state moves: every `state_every_s` of busy time it is busy or
    quiet by chance, a busy one slower by the share `state_jump`, and a slow swing of
    `state_swing` to either side over `state_swing_s` comes on top. An operator feels this
    to a degree of its own between `least_sensitivity` and `most_sensitivity`; true times
    are those in the mean state.
    With `heat_slowdown` it warms up over `heat_s` of busy time, tells its temperature, and is
    slower by up to that share when hot; programs feel it unequally, by the share `heat_spread`.
    It cools as fast for the `start_s` before each plan, and wholly before a plan that may wait.
    Its runner holds `runner_mb` of memory. A program's own peak is the larger of its weights twice,
    while it loads, and of its weights and `arena_share` of its activations, while it runs.
    With `unit` it reports where programs are placed. A program that repeats an
    operator whose key contains `flip_on` `flip_copies` times or more falls
    to another unit, slower by `flip_factor`; with `flip_every_s` only in every
    other such interval of busy time.
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
    state_jump: float = 0.0
    state_every_s: float = 0.2
    state_swing: float = 0.0
    state_swing_s: float = 60.0
    least_sensitivity: float = 1.0
    most_sensitivity: float = 1.0
    heat_slowdown: float = 0.0
    heat_s: float = 120.0
    heat_spread: float = 0.0
    start_s: float = 0.0
    runner_mb: float = 8.0
    arena_share: float = 1.1
    unit: str | None = None
    flip_on: str | None = None
    flip_copies: int = 16
    flip_factor: float = 1.7
    flip_every_s: float = math.inf
    wide: str | None = None
    crash_on: str | None = None
    refuse: str | None = None
    lose_after: int | None = None

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "Truth":
        """Truth from a device file's `[options]`.

        Raises:
            UsageError: An option that a simulated device does not have.
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

    def log_state(self, busy_s: float) -> float:
        """Log slowdown at this busy time of an operator of sensitivity 1; its mean is 0."""
        swing = self.state_swing * math.sin(2 * math.pi * busy_s / self.state_swing_s)
        if not self.state_jump:
            return swing
        jump = math.log1p(self.state_jump) / 2
        return swing + (
            jump if self._chance(f"state {int(busy_s / self.state_every_s)}") < 0.5 else -jump
        )

    def sensitivity(self, specs: tuple[OperatorSpec, ...]) -> float:
        """How much a program feels the state: the mean over its operators, weighted by time."""
        low, high = self.least_sensitivity, self.most_sensitivity
        times = [self.operator_us(spec) for spec in specs]
        if low == high or not sum(times):
            return low
        own = [low + (high - low) * self._chance(f"sensitivity {spec.key}") for spec in specs]
        return sum(us * value for us, value in zip(times, own, strict=True)) / sum(times)

    def _chance(self, text: str) -> float:
        """A number from 0 to 1 that depends on the seed and the text alone."""
        digest = hashlib.sha256(f"{self.seed} {text}".encode()).digest()
        return int.from_bytes(digest[:4]) / 2**32

    def _quirk(self, spec: OperatorSpec) -> float:
        # Kernels differ in ways that no count explains: up to 30 % here.
        digest = hashlib.sha256(f"{self.seed} {spec.key}".encode()).digest()
        return 0.85 + 0.3 * digest[0] / 255

    def heat(self, loaded_s: float) -> float:
        """How hot the device is after so long under load, from 0 to 1."""
        return 1 - math.exp(-loaded_s / self.heat_s)

    def rested(self, loaded_s: float, rest_s: float) -> float:
        """The time under load that is as hot as a longer one with this rest after it."""
        return -self.heat_s * math.log1p(-self.heat(loaded_s) * math.exp(-rest_s / self.heat_s))

    def heat_factor(self, specs: tuple[OperatorSpec, ...], heat: float) -> float:
        """How many times as long a program takes at this heat, from 0 to 1."""
        if not self.heat_slowdown:
            return 1.0
        luck = 2 * self._chance(f"heat {' '.join(spec.key for spec in specs)}") - 1
        return 1 + self.heat_slowdown * (1 + self.heat_spread * luck) * heat

    def memory_kb(self, specs: tuple[OperatorSpec, ...]) -> int:
        """The true peak of a program's own memory, in kilobytes."""
        features = MemoryFeatures.of(specs)
        activations = features.live + features.chained / 2
        loading = 0.3e6 + 2 * features.weights
        running = 0.5e6 + features.weights + self.arena_share * activations
        luck = self._chance(f"memory {' '.join(spec.key for spec in specs)}") - 0.5
        return round(max(loading, running) * (1 + luck / 50) / 1024)

    def program_us(self, specs: tuple[OperatorSpec, ...]) -> float:
        """The true time of one call of a program made of these operators."""
        total = self.dispatch_us + sum(self.operator_us(spec) for spec in specs)
        if len(specs) == 1 and specs[0].kind not in ("empty", "skip"):
            counts = count(specs[0])
            total += self.boundary_us_per_mb * (counts.input_bytes + counts.output_bytes) / 1e6
        return total
