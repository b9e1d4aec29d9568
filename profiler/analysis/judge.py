"""Judges the raw blocks of an item: their centre, its interval, and whether it is stable.

A block is `loops` calls in a row; its value is nanoseconds per call. Blocks
come in passes (programs are reloaded between passes, so a pass also samples
where the memory happened to lie). The centre is the mean over passes of the
median block: the median shrugs off bursts, the mean gives every stretch of
time the same weight for every item, so that slow changes of the machine, which
all items saw alike, cancel when items are added and compared. The interval is
Student's t over the pass medians.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from profiler.analysis.arrays import Array, Indices
from profiler.analysis.blocks import TimedBlock, undisturbed_blocks
from search.table.entries import Interval

_DRAWS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The judged value of one item; times in microseconds per call.

    Intervals are at 95 %, quantiles (`lower_quartile_us`, `p5_us`, `p95_us`) are
    over blocks. `rejected` counts blocks that were left out.
    """

    centre_us: float
    low_us: float
    high_us: float
    first_us: float | None
    first_low_us: float | None
    first_high_us: float | None
    lower_quartile_us: float
    mean_us: float
    min_us: float
    mad_us: float
    p5_us: float
    p95_us: float
    blocks: int
    calls: int
    passes: int
    rejected: int
    stable: bool

    @property
    def interval(self) -> Interval:
        """The centre with its interval."""
        return Interval(centre_us=self.centre_us, low_us=self.low_us, high_us=self.high_us)

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the centre."""
        return self.interval.relative_half_width


def judge(
    blocks: Sequence[TimedBlock],
    *,
    target: float,
    level: float = 0.95,
    seed: int = 0,
    slow_windows: Sequence[tuple[int, int]] = (),
    clock_khz: int | None = None,
) -> Measurement | None:
    """Judge one item; None when no block was acceptable.

    Rejected: blocks with an involuntary context switch, and blocks inside a
    window in which the sentinel ran slow (unless nothing else is left: then
    they count, and the item cannot be stable).

    Times are stated at `clock_khz`: a core that ran 4 % faster during a block
    did 4 % more cycles in the same time. Where that clock or a block's own is
    unknown, times are as they came.
    """
    unpreempted = [block for block in blocks if block.switches == 0]
    accepted = undisturbed_blocks(blocks, slow_windows)
    throttled = not accepted
    accepted = accepted or unpreempted
    if not accepted:
        return None
    values = np.array([block.us(clock_khz) for block in accepted])
    groups = np.array([block.pass_number for block in accepted])
    low, high = centre_interval(values, groups, level=level, seed=seed)
    first = _first_calls(accepted, level, seed, clock_khz)
    centre = pass_centre(values, groups)
    half_width = (high - low) / 2 / centre
    q5, q25, q95 = np.percentile(values, [5, 25, 95])
    return Measurement(
        centre_us=centre,
        low_us=min(low, centre),
        high_us=max(high, centre),
        first_us=first[0],
        first_low_us=first[1],
        first_high_us=first[2],
        lower_quartile_us=float(q25),
        mean_us=float(values.mean()),
        min_us=float(values.min()),
        mad_us=float(np.median(np.abs(values - centre))),
        p5_us=float(q5),
        p95_us=float(q95),
        blocks=len(accepted),
        calls=sum(block.loops for block in accepted),
        passes=len(set(groups.tolist())),
        rejected=len(blocks) - len(accepted),
        stable=half_width <= target and not throttled and len(accepted) > 1,
    )


def _first_calls(
    blocks: Sequence[TimedBlock], level: float, seed: int, clock_khz: int | None
) -> tuple[float | None, float | None, float | None]:
    """Centre and interval of the first calls; None where no runner timed them apart."""
    calls = [(block.first_us(clock_khz), block.pass_number) for block in blocks]
    timed = [(value, group) for value, group in calls if value is not None]
    if not timed:
        return None, None, None
    values = np.array([value for value, _ in timed])
    groups = np.array([group for _, group in timed])
    centre = pass_centre(values, groups)
    low, high = centre_interval(values, groups, level=level, seed=seed)
    return centre, min(low, centre), max(high, centre)


def pass_centre(values: Array, groups: Indices) -> float:
    """Mean over passes of the median within each."""
    medians = [np.median(values[groups == group]) for group in np.unique(groups)]
    return float(np.mean(medians))


def centre_interval(
    values: Array, groups: Indices, *, level: float, seed: int
) -> tuple[float, float]:
    """Student's t interval of the mean of the pass medians.

    The centre is that mean, and passes are what is independent. A bootstrap
    of some ten passes covers too little when they differ and too much when
    one block is wild; this one holds its level in both cases. A single pass
    leaves only its blocks to redraw (percentile bootstrap of the median).
    """
    if len(values) == 1:
        return float(values[0]), float(values[0])
    medians = np.array([np.median(values[groups == group]) for group in np.unique(groups)])
    if len(medians) == 1:
        draws = np.random.default_rng(seed).choice(values, (_DRAWS, len(values)))
        tail = (1 - level) / 2 * 100
        low, high = np.percentile(np.median(draws, axis=1), [tail, 100 - tail])
        return float(low), float(high)
    error = medians.std(ddof=1) / np.sqrt(len(medians))
    reach = float(scipy_stats.t.ppf((1 + level) / 2, len(medians) - 1) * error)
    centre = float(medians.mean())
    return max(centre - reach, float(medians.min()) / 10), centre + reach
