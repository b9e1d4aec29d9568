"""How much slower or faster a machine is than when a table was made.

The same operators are timed today and stand in the table. Their log ratios are
those of one machine in two states, plus what does not repeat from run to run:

    log(today_us / table_us) = sensitivity * log(factor) + error

The factor is Tukey's biweight estimate of that line's slope, so that an operator
which went its own way (another kernel, another layout in memory) does not move it;
its interval is Student's t over the operators, never narrower than their own
errors allow. Sums are exact (`math.fsum`), so the order of operators means nothing.

Networks can be anchors too. What neighbours do to a shared cache slows them more than
operators that are called again and again, so where there are networks they state the factor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from profiler.analysis.arrays import Array
from search.table.entries import Interval

# With fewer operators one that went its own way cannot be told from the others.
FEWEST_ANCHORS = 3
# Share of a log ratio that does not repeat from run to run, however narrow the intervals:
# the ratios of 99 operators of two committed tables of one machine (fp32, v1 and v2)
# scatter by 0.5 % (1.4826 * MAD) around what they have in common.
LEAST_ERROR = 0.005
# Beyond this common change a table is to be made again. Operators do not all answer to
# a machine's state by the same share; where the shares differ by a third, 10 % in common
# leave 3 to 4 % between operators, which is what an exam allows in all (MAPE 4 %).
MOST_CHANGE = 0.10
# Beyond this scatter of operators around the common change, likewise. Independent errors of
# 10 % in every row of a committed table (fp32, v2) moved random networks by 1.8 % against
# each other and Spearman's rank correlation to 0.988; more would change which one is best.
MOST_SPREAD = 0.10
_BIWEIGHT = 4.685
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorTime:
    """One operator or network in the table and today, in microseconds at one clock.

    `error` is the standard error of the log ratio, from both intervals. With
    `sensitivity` 1 the operator follows the machine's state as most do.
    """

    key: str
    table_us: float
    today_us: float
    error: float
    sensitivity: float = 1.0

    @property
    def log_ratio(self) -> float:
        """Logarithm of today's time over the table's."""
        return math.log(self.today_us / self.table_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustCentre:
    """A robust weighted mean with its 95 % interval, and the scatter around it."""

    value: float
    low: float
    high: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFactor:
    """Times of a machine today over those of a table, at the table's clock where it is known.

    `low` and `high` are the 95 % interval. It is the factor of `networks` where there are
    any, else that of `anchors`, the operators. `operators_factor` is that of the operators in
    any case, `spread` the standard deviation of their log ratios around it. Both clocks are
    in kHz: where one is not known, the factor holds what the clock did as well.
    """

    factor: float
    low: float
    high: float
    spread: float
    anchors: tuple[AnchorTime, ...]
    networks: tuple[AnchorTime, ...] = ()
    operators_factor: float | None = None
    table_clock_khz: int | None = None
    clock_khz: int | None = None

    @property
    def clock_factor(self) -> float | None:
        """What the clock alone does to times, in addition; None where a clock is not known."""
        if not self.table_clock_khz or not self.clock_khz:
            return None
        return self.table_clock_khz / self.clock_khz

    @property
    def total(self) -> float:
        """Times as they are today over the table's: the state and the clock."""
        return self.factor * (self.clock_factor or 1.0)

    @property
    def is_beyond_bounds(self) -> bool:
        """Whether the table should be made again: one factor no longer brings it up to date."""
        return abs(math.log(self.factor)) > math.log1p(MOST_CHANGE) or self.spread > MOST_SPREAD

    def for_sensitivity(self, sensitivity: float) -> tuple[float, float, float]:
        """Factor, low and high for what follows the machine's state by another share than 1."""
        low, high = sorted((self.low**sensitivity, self.high**sensitivity))
        return self.factor**sensitivity, low, high


def anchor_time(
    key: str, table: Interval, today: Interval, *, speed: float = 1.0, sensitivity: float = 1.0
) -> AnchorTime:
    """One operator's two times.

    Args:
        key: The operator.
        table: Its row, microseconds, both ends known.
        today: Measured now, both ends known.
        speed: Today's clock over the table's; 1 where either is not known.
        sensitivity: By which share it follows the machine's state.
    """
    return AnchorTime(
        key=key,
        table_us=table.centre_us,
        today_us=today.centre_us * speed,
        error=math.hypot(log_error(table), log_error(today)),
        sensitivity=sensitivity,
    )


def log_error(time: Interval) -> float:
    """Standard error of the logarithm, from the 95 % interval."""
    assert time.low_us is not None
    assert time.high_us is not None
    return math.log(time.high_us / time.low_us) / 2 / _Z


def machine_factor(
    anchors: Sequence[AnchorTime],
    networks: Sequence[AnchorTime] = (),
    *,
    table_clock_khz: int | None = None,
    clock_khz: int | None = None,
) -> MachineFactor | None:
    """The factor that the networks have in common, or the anchors where networks are few.

    None where fewer than `FEWEST_ANCHORS` anchors say anything (a sensitivity above 0).
    """
    telling = tuple(
        sorted((one for one in anchors if one.sensitivity > 0), key=lambda one: one.key)
    )
    if len(telling) < FEWEST_ANCHORS:
        return None
    by_operators = _centre_of(telling)
    enough = tuple(networks) if len(networks) >= FEWEST_ANCHORS else ()
    centre = _centre_of(enough) if enough else by_operators
    return MachineFactor(
        factor=math.exp(centre.value),
        low=math.exp(centre.low),
        high=math.exp(centre.high),
        spread=by_operators.spread,
        anchors=telling,
        networks=enough,
        operators_factor=math.exp(by_operators.value),
        table_clock_khz=table_clock_khz,
        clock_khz=clock_khz,
    )


def _centre_of(anchors: Sequence[AnchorTime]) -> RobustCentre:
    return robust_centre(
        [one.log_ratio for one in anchors],
        [one.error for one in anchors],
        [one.sensitivity for one in anchors],
    )


def robust_centre(
    values: Sequence[float], errors: Sequence[float], slopes: Sequence[float] | None = None
) -> RobustCentre:
    """Biweight estimate of m in value = slope * m + error.

    Args:
        values: At least two.
        errors: Standard error of each.
        slopes: Above 0; None: 1 each.
    """
    x = np.ones(len(values)) if slopes is None else np.asarray(slopes, dtype=np.float64)
    y, own = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    centre = float(np.median(y / x))
    spread = 1.4826 * float(np.median(np.abs(y - x * centre)))
    between = max(spread**2 - float(np.median(own**2)), LEAST_ERROR**2)
    scale = np.sqrt(own**2 + between)
    for _ in range(100):
        share = np.clip(1 - ((y - x * centre) / scale / _BIWEIGHT) ** 2, 0, None) ** 2
        weights = share / scale**2
        before, centre = centre, math.fsum(weights * x * y) / math.fsum(weights * x * x)
        if abs(centre - before) < 1e-13:
            break
    reach = _reach(y - x * centre, x, weights)
    spread = 1.4826 * float(np.median(np.abs(y - x * centre)))
    return RobustCentre(value=centre, low=centre - reach, high=centre + reach, spread=spread)


def _reach(
    residuals: Array,
    slopes: Array,
    weights: Array,
) -> float:
    """Half of the 95 % interval, from the scatter or from the errors, whichever is wider."""
    total, kept = math.fsum(weights * slopes**2), int(np.count_nonzero(weights))
    freedom = max(kept - 1, 1)
    scatter = math.sqrt(math.fsum((weights * slopes * residuals) ** 2) * kept / freedom) / total
    error = max(scatter, 1 / math.sqrt(total))
    return error * float(scipy_stats.t.ppf(0.975, freedom))
