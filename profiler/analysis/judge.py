"""From raw blocks to a judged value: pure functions, no device, no files.

A block is `loops` calls in a row; its value is nanoseconds per call. Blocks
come in passes (programs are reloaded between passes, so a pass also samples
where the memory happened to lie). The centre is the mean over passes of the
median block: the median shrugs off bursts, the mean gives every stretch of
time the same weight for every item, so that slow changes of the machine, which
all items saw alike, cancel when items are added and compared. The interval is
Student's t over the pass medians.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

Array = npt.NDArray[np.float64]

THROTTLED = 1.10  # a sentinel this much above its own median marks a slow window
_DRAWS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One accepted or rejected block of one item."""

    pass_number: int
    round: int
    loops: int
    ns: int
    first_ns: int | None
    switches: int
    at_ns: int
    freq_khz: int | None = None

    def us(self, clock_khz: int | None = None) -> float:
        """Microseconds of one call, stated at this clock (None: as it came)."""
        return self.ns / self.loops / 1e3 * self._speed(clock_khz)

    def first_us(self, clock_khz: int | None = None) -> float | None:
        """The first call of the visit, likewise."""
        return self.first_ns / 1e3 * self._speed(clock_khz) if self.first_ns else None

    def _speed(self, clock_khz: int | None) -> float:
        return self.freq_khz / clock_khz if self.freq_khz and clock_khz else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the blocks of one item say; times in microseconds per call."""

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
    def relative_half_width(self) -> float:
        """Half the interval over the median."""
        return (self.high_us - self.low_us) / 2 / self.centre_us


def judge(
    blocks: Sequence[Block],
    *,
    target: float,
    level: float = 0.95,
    seed: int = 0,
    slow_windows: Sequence[tuple[int, int]] = (),
    clock_khz: int | None = None,
) -> Judged | None:
    """Judge one item; None when no block was acceptable.

    Rejected: blocks with an involuntary context switch, and blocks inside a
    window in which the sentinel ran slow (unless nothing else is left: then
    they count, and the item cannot be stable).

    Times are stated at `clock_khz`: a core that ran 4 % faster during a block
    did 4 % more cycles in the same time. Where that clock or a block's own is
    unknown, times are as they came.
    """
    unpreempted = [block for block in blocks if block.switches == 0]
    kept = kept_blocks(blocks, slow_windows)
    throttled = not kept
    kept = kept or unpreempted
    if not kept:
        return None
    values = np.array([block.us(clock_khz) for block in kept])
    groups = np.array([block.pass_number for block in kept])
    low, high = centre_interval(values, groups, level=level, seed=seed)
    first = _first_calls(kept, level, seed, clock_khz)
    centre = pass_centre(values, groups)
    half_width = (high - low) / 2 / centre
    q5, q25, q95 = np.percentile(values, [5, 25, 95])
    return Judged(
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
        blocks=len(kept),
        calls=sum(block.loops for block in kept),
        passes=len(set(groups.tolist())),
        rejected=len(blocks) - len(kept),
        stable=half_width <= target and not throttled and len(kept) > 1,
    )


def kept_blocks(blocks: Sequence[Block], windows: Sequence[tuple[int, int]]) -> list[Block]:
    """Blocks without an involuntary context switch and outside all slow windows."""
    return [b for b in blocks if b.switches == 0 and not _inside(b.at_ns, windows)]


def _first_calls(
    blocks: Sequence[Block], level: float, seed: int, clock_khz: int | None
) -> tuple[float | None, float | None, float | None]:
    called = [(block.first_us(clock_khz), block.pass_number) for block in blocks]
    timed = [(value, group) for value, group in called if value is not None]
    if not timed:
        return None, None, None
    values = np.array([value for value, _ in timed])
    groups = np.array([group for _, group in timed])
    centre = pass_centre(values, groups)
    low, high = centre_interval(values, groups, level=level, seed=seed)
    return centre, min(low, centre), max(high, centre)


def pass_centre(values: Array, groups: npt.NDArray[np.int_]) -> float:
    """Mean over passes of the median within each."""
    medians = [np.median(values[groups == group]) for group in np.unique(groups)]
    return float(np.mean(medians))


def centre_interval(
    values: Array, groups: npt.NDArray[np.int_], *, level: float, seed: int
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


def _inside(at_ns: int, windows: Sequence[tuple[int, int]]) -> bool:
    return any(start <= at_ns <= end for start, end in windows)


# --- the clock ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """At what clock the cores ran: median, and the 5th and 95th percentile."""

    median_khz: int
    low_khz: int
    high_khz: int


def clock_of(blocks: Iterable[Block]) -> Clock | None:
    """The clock over all undisturbed blocks; None where no runner measured it."""
    known = [block.freq_khz for block in blocks if block.freq_khz and not block.switches]
    if not known:
        return None
    low, median, high = (round(float(q)) for q in np.percentile(known, [5, 50, 95]))
    return Clock(median_khz=median, low_khz=low, high_khz=high)


# --- the sentinel ------------------------------------------------------------


def slow_windows(times_ns: Sequence[int], values_us: Sequence[float]) -> list[tuple[int, int]]:
    """Stretches of time in which the sentinel stayed above its own median.

    A stretch begins where the running median of three is more than
    `THROTTLED` times the overall median; it reaches to the sentinels before
    and after, because nothing is known of what lies between.
    """
    if len(values_us) < 5:
        return []
    times_array = np.asarray(times_ns, dtype=np.int64)
    order = np.argsort(times_array)
    times = times_array[order]
    values = np.asarray(values_us, dtype=np.float64)[order]
    padded = np.concatenate([values[1:2], values, values[-2:-1]])
    smooth = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    slow = smooth > THROTTLED * np.median(values)
    windows: list[tuple[int, int]] = []
    for i in np.flatnonzero(slow).tolist():
        start = int(times[max(i - 1, 0)])
        end = int(times[min(i + 1, len(times) - 1)])
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
        else:
            windows.append((start, end))
    return windows


def drift(times_ns: Sequence[int], values_us: Sequence[float]) -> float | None:
    """Relative change of the sentinel over the run: last quarter against first."""
    if len(values_us) < 8:
        return None
    values = np.asarray(values_us, dtype=np.float64)[np.argsort(np.asarray(times_ns))]
    quarter = len(values) // 4
    return float(np.median(values[-quarter:]) / np.median(values[:quarter]) - 1)


# --- whole tables ------------------------------------------------------------


def score_interval(
    statistic: Callable[[Array, Array], float],
    predicted: Array,
    measured: Array,
    *,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 1000,
) -> tuple[float, float, float]:
    """A statistic of paired values with its bootstrap interval over networks."""
    generator = np.random.default_rng(seed)
    value = statistic(predicted, measured)
    picks = generator.integers(len(measured), size=(draws, len(measured)))
    drawn = np.array([statistic(predicted[pick], measured[pick]) for pick in picks])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return value, value, value
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return value, float(low), float(high)
