"""Entry: one row of a latency table, its values in groups."""

import math
import re
from dataclasses import dataclass, field
from typing import Self

from search.errors import TableError
from search.operators.counts import count
from search.operators.spec import OperatorSpec, parse_key
from search.table.values import MOST_US, is_time_us

_PHONES = re.compile(r"[A-Za-z0-9._?+-]{1,2000}")
STATUSES = ("ok", "unstable", "failed", "predicted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A time in microseconds and the interval around it.

    The ends are unknown where a published file or a predictor gives the centre alone.
    """

    centre_us: float
    low_us: float | None = None
    high_us: float | None = None

    @property
    def is_bounded(self) -> bool:
        """True where both ends are known."""
        return self.low_us is not None and self.high_us is not None

    @property
    def width_us(self) -> float:
        """From end to end; infinite where an end is unknown."""
        if self.low_us is None or self.high_us is None:
            return math.inf
        return self.high_us - self.low_us

    @property
    def relative_half_width(self) -> float:
        """Half the width over the centre; infinite where an end is unknown."""
        return self.width_us / 2 / self.centre_us

    @property
    def is_sane(self) -> bool:
        """True for times in order, low <= centre <= high, or a time as the centre alone."""
        if self.low_us is None and self.high_us is None:
            return is_time_us(self.centre_us)
        if self.low_us is None or self.high_us is None:
            return False
        ordered = self.low_us <= self.centre_us <= self.high_us
        return ordered and is_time_us(self.low_us) and is_time_us(self.high_us)

    def scaled(self, factor: float) -> "Interval":
        """The same interval on a clock that makes every time `factor` times as long."""
        return Interval(
            centre_us=self.centre_us * factor,
            low_us=None if self.low_us is None else self.low_us * factor,
            high_us=None if self.high_us is None else self.high_us * factor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How one call's time varies over undisturbed blocks; unknown values are None.

    `state_sensitivity` is the share by which it follows the machine's state: with 1 it
    slows down as the average operator does.
    """

    lower_quartile_us: float | None = None
    mean_us: float | None = None
    min_us: float | None = None
    mad_us: float | None = None
    p5_us: float | None = None
    p95_us: float | None = None
    state_sensitivity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How often an operator was timed; `rejected_blocks` were disturbed and left out.

    `phone` is the one of several that timed it, by the hash of its serial number; of an operator
    that moved from a phone that was lost it is all of them, joined by "+". None: there was one.

    Raises:
        TableError: `phone` cannot be such a hash.
    """

    blocks: int = 0
    calls: int = 0
    passes: int = 0
    rejected_blocks: int = 0
    phone: str | None = None

    def __post_init__(self) -> None:
        if self.phone is not None and not _PHONES.fullmatch(self.phone):
            raise TableError(f"{self.phone[:80]!r} is no hash of a phone's serial number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCounts:
    """FLOPs, parameters and bytes of the operator (`search.operators.counts`)."""

    flops: int = 0
    params: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    weight_bytes: int = 0

    @classmethod
    def of(cls, operator: OperatorSpec) -> Self:
        """Count an operator from its spec."""
        counts = count(operator)
        return cls(
            flops=counts.flops,
            params=counts.params,
            input_bytes=counts.input_bytes,
            output_bytes=counts.output_bytes,
            weight_bytes=counts.weight_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedFile:
    """Hash of the file that was timed, and its relative error against torch."""

    sha256: str | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row: an operator and its measurement.

    `time` is that of one call, back to back: the mean over passes of the
    median block. The interval around it is Student's t over the pass medians,
    at the manifest's level. `first_call` is the first call after other
    operators ran (its input just written), as inside a network. `status`
    "unstable" means that the precision asked for was not reached; "failed"
    rows have a reason and no time. "predicted" rows were not measured: their
    interval is the predictor's. Rows of an imported table may lack an interval.
    `in_network_us` is what the operator adds to a network's latency, where the
    table's calibration states it.

    Raises:
        TableError: An unknown status, a failure without a reason, or times
            that are missing, not positive or not in order.
        UsageError: `key` is not an operator key.
    """

    key: str
    status: str
    reason: str | None = None
    time: Interval | None = None
    first_call: Interval | None = None
    in_network_us: float | None = None
    spread: Spread = field(default_factory=Spread)
    sampling: Sampling = field(default_factory=Sampling)
    counts: OperatorCounts = field(default_factory=OperatorCounts)
    artefact: TimedFile = field(default_factory=TimedFile)

    def __post_init__(self) -> None:
        parse_key(self.key)
        if self.status not in STATUSES:
            raise TableError(f"Row {self.key}: unknown status {self.status!r}.")
        if self.status == "failed" and not self.reason:
            raise TableError(f"Row {self.key}: failed without a reason.")
        if self.status != "failed" and (self.time is None or not self.time.is_sane):
            raise TableError(f"Row {self.key}: its times are missing or not positive.")
        if self.first_call is not None and not self.first_call.is_sane:
            raise TableError(f"Row {self.key}: the times of its first call are not positive.")
        if self.in_network_us is not None and not abs(self.in_network_us) <= MOST_US:
            raise TableError(f"Row {self.key}: its in_network_us is no time.")
        share = self.spread.state_sensitivity
        if share is not None and not 0 < share < math.inf:
            raise TableError(f"Row {self.key}: its state_sensitivity {share} is not positive.")

    @property
    def operator(self) -> OperatorSpec:
        """The operator of this row."""
        return parse_key(self.key)

    @property
    def known_time(self) -> Interval:
        """The time of a row that did not fail.

        Raises:
            TableError: It failed.
        """
        if self.time is None:
            raise TableError(f"Row {self.key} has no time.")
        return self.time

    @property
    def has_interval(self) -> bool:
        """True where both ends of the time's interval are known."""
        return self.time is not None and self.time.is_bounded

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the time; infinite where either is unknown."""
        return math.inf if self.time is None else self.time.relative_half_width
