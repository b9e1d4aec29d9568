"""Where a network's time goes, and what it needs beside time: memory, loading, size."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

ProfileSource = Literal["tracer", "profiler", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One operator inside the whole network: microseconds a call, and where it ran.

    `where` is the delegate's or runtime's name, `kernel` for an operator outside of it, or
    `row` for a row of a table.
    """

    name: str
    us: float
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeProfile:
    """A network's time by its operators.

    `whole_us` is a call as it is timed, `traced_us` one whose steps were written down, between
    the others. `boundary_us` is what calls of delegates took beside their operators, and
    `dispatch_us` what the rest took. All parts are of traced calls: operators, boundary and
    dispatch add up to those, and what tracing costs is stated apart.
    `runtime` did the tracing (None: a table's rows stand for the operators).
    """

    source: ProfileSource
    runtime: str | None
    calls: int
    whole_us: float
    parts: tuple[Part, ...]
    traced_us: float | None = None
    boundary_us: float | None = None
    dispatch_us: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def parts_us(self) -> float:
        """All operators together."""
        return sum(part.us for part in self.parts)

    @property
    def total_us(self) -> float:
        """The call that the parts are of: a traced one, where there are such."""
        return self.traced_us or self.whole_us

    @property
    def rest_us(self) -> float:
        """That call less its operators: boundary and dispatch."""
        return self.total_us - self.parts_us

    @property
    def rest_share(self) -> float:
        """That, as a share of the call."""
        return self.rest_us / self.total_us

    @property
    def tracer_us(self) -> float | None:
        """What tracing adds to a call."""
        return None if self.traced_us is None else self.traced_us - self.whole_us

    @property
    def outside(self) -> dict[str, float]:
        """Microseconds of the operators outside of a delegate, by name."""
        found: dict[str, float] = {}
        for part in self.parts:
            if part.where == "kernel":
                found[part.name] = found.get(part.name, 0.0) + part.us
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def content(self) -> dict[str, object]:
        """All of it, as JSON types."""
        return {
            "source": self.source,
            "runtime": self.runtime,
            "calls": self.calls,
            "whole_us": self.whole_us,
            "total_us": self.total_us,
            "parts_us": self.parts_us,
            "rest_us": self.rest_us,
            "rest_share": self.rest_share,
            "traced_us": self.traced_us,
            "tracer_us": self.tracer_us,
            "boundary_us": self.boundary_us,
            "dispatch_us": self.dispatch_us,
            "parts": [
                {
                    "name": part.name,
                    "where": part.where,
                    "us": part.us,
                    "share": part.us / self.total_us,
                }
                for part in self.parts
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a network needs on a device beside its time, alone in a fresh runner process.

    `peak_rss_kb` is the largest resident memory of that process (VmHWM), `base_rss_kb` that of
    a runner with nothing loaded; `planned_bytes` the memory that the program was planned to
    compute in. `load_us` is until it can be called, `first_us` the first call. Unknown is None.
    """

    file_bytes: int
    load_us: float | None = None
    first_us: float | None = None
    planned_bytes: int | None = None
    peak_rss_kb: int | None = None
    base_rss_kb: int | None = None

    @property
    def own_kb(self) -> int | None:
        """The network's own peak memory: that of the process less the runner's."""
        if self.peak_rss_kb is None or self.base_rss_kb is None:
            return None
        return self.peak_rss_kb - self.base_rss_kb


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPrediction:
    """A network's own peak memory as a table predicts it (kilobytes, 95 % interval).

    `measured_kb` is what was measured beside it; None where the device does not tell it.
    """

    table: str
    value_kb: float
    low_kb: float
    high_kb: float
    measured_kb: int | None

    @property
    def difference(self) -> float | None:
        """Predicted over measured, less 1."""
        return self.value_kb / self.measured_kb - 1 if self.measured_kb else None

    @property
    def within(self) -> bool | None:
        """Whether the measurement lies in the interval."""
        known = self.measured_kb
        return None if known is None else self.low_kb <= known <= self.high_kb

    def content(self) -> dict[str, object]:
        """All of it, as JSON types."""
        return {**asdict(self), "difference": self.difference, "within": self.within}


def by_kind(parts: Sequence[Part]) -> list[tuple[str, int, float]]:
    """Parts of one kind together, the longest first: name without number, count, microseconds."""
    sums: dict[str, tuple[int, float]] = {}
    for part in parts:
        name = part.name.partition(" #")[0]
        count, us = sums.get(name, (0, 0.0))
        sums[name] = (count + 1, us + part.us)
    ranked = sorted(sums.items(), key=lambda item: -item[1][1])
    return [(name, count, us) for name, (count, us) in ranked]
