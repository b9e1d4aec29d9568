"""A machine as it is now against its state when a table was made, and what that predicts."""

from collections.abc import Iterator
from dataclasses import dataclass

# Changes below this are not worth a word of their own.
_NOTHING = 0.0005
# Operators alone are worth a word where they moved by this much more or less than networks.
_APART = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNow:
    """How much longer the table's own operators take now than in the table.

    `factor` is times now over times then, with its 95 % interval, at one clock where
    both are known; `clock_factor` is what the clock alone does to times in addition
    (None: not known, and then part of `factor`). `networks` counts the whole networks that
    were timed for it, `anchors` the operators; where there are networks, `factor` is theirs.
    `operators_factor` is the operators' own, and `spread` the standard deviation of their log
    ratios around it.
    `remedy` is what to do where the machine has moved too far for the table; empty
    where it has not.
    """

    factor: float
    low: float
    high: float
    spread: float
    anchors: int
    clock_factor: float | None
    remedy: str = ""
    networks: int = 0
    operators_factor: float | None = None

    @property
    def total(self) -> float:
        """Times as they are now over those of the table: the machine's state and its clock."""
        return self.factor * (self.clock_factor or 1.0)

    def sentences(self) -> Iterator[str]:
        """State, clock and advice, at most 66 characters each but for the advice."""
        interval = f"[{self.low - 1:+.1%}, {self.high - 1:+.1%}]"
        moved = not self.low <= 1 <= self.high
        if moved:
            yield f"{change_words(self.factor)} than when the table was made {interval}"
        else:
            yield f"as fast as when the table was made: {self.factor - 1:+.1%} {interval}"
        by = f"by {self.anchors} operators of the table"
        if self.networks:
            by = f"by {self.networks} networks of its exam"
        if self.clock_factor is None:
            yield f"{by}, the clock not known apart"
        elif abs(self.clock_factor - 1) < _NOTHING:
            yield f"{by}, at the same clock"
        else:
            yield f"{by}; its clock alone: {change_words(self.clock_factor)}"
        alone = self.operators_factor or self.factor
        if abs(alone / self.factor - 1) > _APART:
            yield f"operators alone: {change_words(alone)}"
        if self.remedy:
            yield self.remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class TodaysPrediction:
    """A table's prediction for the machine as it is now, and the measurement against it.

    Microseconds with a 95 % interval, which holds the uncertainty of the machine's
    factor too. `table_error` is measured over predicted, less 1: what is left as the
    table's own error; `within` whether the measurement lies in the interval.
    `probability` is that of meeting the target now, if there is one.
    """

    value_us: float
    low_us: float
    high_us: float
    probability: float | None
    table_error: float
    within: bool


def change_words(factor: float) -> str:
    """A factor on times as people say it: 1.094 is "9.4% slower"."""
    return f"{abs(factor - 1):.1%} {'slower' if factor > 1 else 'faster'}"
