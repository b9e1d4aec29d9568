"""Blocks of timed calls: those that count, and the clock they ran at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBlock:
    """One accepted or rejected block of one item.

    `slowdown` is the machine's state during the block, as far as it is known:
    so many times slower than in the run's mean state. Times are stated without it.
    """

    pass_number: int
    round: int
    loops: int
    ns: int
    first_ns: int | None
    switches: int
    at_ns: int
    freq_khz: int | None = None
    slowdown: float = 1.0

    def us(self, clock_khz: int | None = None) -> float:
        """Microseconds of one call, stated at this clock (None: at its own)."""
        return self.ns / self.loops / 1e3 * self._speed(clock_khz)

    def first_us(self, clock_khz: int | None = None) -> float | None:
        """The first call of the visit, stated at this clock; None where it was not timed apart."""
        return self.first_ns / 1e3 * self._speed(clock_khz) if self.first_ns else None

    def _speed(self, clock_khz: int | None) -> float:
        clock = self.freq_khz / clock_khz if self.freq_khz and clock_khz else 1.0
        return clock / self.slowdown


def undisturbed_blocks(
    blocks: Sequence[TimedBlock], windows: Sequence[tuple[int, int]]
) -> list[TimedBlock]:
    """Blocks without an involuntary context switch and outside all slow windows."""
    return [block for block in blocks if block.switches == 0 and not _inside(block.at_ns, windows)]


def _inside(at_ns: int, windows: Sequence[tuple[int, int]]) -> bool:
    return any(start <= at_ns <= end for start, end in windows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clock that the cores ran at: median, and the 5th and 95th percentile."""

    median_khz: int
    low_khz: int
    high_khz: int


def clock_of(blocks: Iterable[TimedBlock]) -> Clock | None:
    """The clock over all undisturbed blocks; None where no runner measured it."""
    known = [block.freq_khz for block in blocks if block.freq_khz and not block.switches]
    if not known:
        return None
    low, median, high = (round(float(q)) for q in np.percentile(known, [5, 50, 95]))
    return Clock(median_khz=median, low_khz=low, high_khz=high)
