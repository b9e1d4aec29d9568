"""Latency of networks that are called for minutes without a pause: clock, heat and speed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from search.console.durations import parse_duration

LEAST_S, MOST_S = 120.0, 86_400.0
# A last minute of fewer blocks than this share of the first one's says too little.
_ENOUGH = 1 / 3
_FEWEST_RANKED = 3


def sustained_seconds(text: str) -> float:
    """Seconds of `--sustain`.

    Raises:
        UsageError: No duration, below two minutes or beyond a day.
    """
    return parse_duration(text, "--sustain", LEAST_S, MOST_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class SustainedMinute:
    """Medians over the undisturbed blocks of one minute; what no runner tells is None.

    `number` counts minutes from 1, `latency_us` is by network, microseconds a call.
    """

    number: int
    latency_us: Mapping[str, float]
    blocks: int
    clock_khz: float | None = None
    temperature_c: float | None = None
    thermal_state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """A run of `asked_s` seconds, by minutes; `ended` says why it ended earlier, if it did."""

    asked_s: float
    minutes: tuple[SustainedMinute, ...]
    ended: str = ""

    @property
    def first(self) -> SustainedMinute:
        """The first minute."""
        return self.minutes[0]

    @property
    def last(self) -> SustainedMinute:
        """The last minute that has enough blocks to be compared with the first one."""
        enough = [one for one in self.minutes if one.blocks >= _ENOUGH * self.first.blocks]
        return enough[-1]

    @property
    def ratios(self) -> dict[str, float]:
        """Latency of the last minute over that of the first, by network in both."""
        if len(self.minutes) < 2:
            return {}
        last = self.last.latency_us
        return {name: last[name] / us for name, us in self.first.latency_us.items() if name in last}

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's between the networks' latencies in the first minute and in the last one."""
        names = list(self.ratios)
        if len(names) < _FEWEST_RANKED:
            return None
        first = _ranks([self.first.latency_us[name] for name in names])
        last = _ranks([self.last.latency_us[name] for name in names])
        if min(np.ptp(first), np.ptp(last)) == 0:
            return None
        return float(np.corrcoef(first, last)[0, 1])

    def content(self) -> dict[str, object]:
        """All of it, as JSON types."""
        return {
            "asked_s": self.asked_s,
            "ended": self.ended,
            "ratios": self.ratios,
            "rank_correlation": self.rank_correlation,
            "minutes": [
                {
                    "number": one.number,
                    "latency_us": dict(one.latency_us),
                    "blocks": one.blocks,
                    "clock_khz": one.clock_khz,
                    "temperature_c": one.temperature_c,
                    "thermal_state": one.thermal_state,
                }
                for one in self.minutes
            ],
        }

    def lines(self) -> Iterator[str]:
        """What it comes to, without indents."""
        if not self.ratios:
            yield f"too short to compare minutes{self._early()}"
            return
        for name, ratio in self.ratios.items():
            first, last = self.first.latency_us[name], self.last.latency_us[name]
            yield (
                f"{name}: {first / 1e3:.3f} ms in minute {self.first.number}, "
                f"{last / 1e3:.3f} ms in minute {self.last.number}, {ratio:.3f} times"
            )
        state = "; ".join(_states(self.first, self.last))
        if state:
            yield state
        if self.rank_correlation is not None:
            yield f"rank correlation of {len(self.ratios)} networks {self.rank_correlation:.3f}"
        if self.ended:
            yield self._early().removeprefix(": ")

    def _early(self) -> str:
        if not self.ended:
            return ""
        return f": ended in minute {self.minutes[-1].number} of {self.asked_s / 60:g}: {self.ended}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SustainedPrediction:
    """What a table of the sustained state predicts, against the last minute of a run.

    Microseconds; `difference` is predicted over measured, less 1, `within` whether the minute's
    median lies in the 95 % interval. Both times are of the day that they were measured on.
    """

    table: str
    value_us: float
    low_us: float
    high_us: float
    minute: int
    measured_us: float

    @property
    def difference(self) -> float:
        """Predicted over measured, less 1."""
        return self.value_us / self.measured_us - 1

    @property
    def within(self) -> bool:
        """Whether the last minute lies in the interval."""
        return self.low_us <= self.measured_us <= self.high_us

    def content(self) -> dict[str, object]:
        """All of it, as JSON types."""
        return {**asdict(self), "difference": self.difference, "within": self.within}

    def lines(self) -> Iterator[str]:
        """Prediction and difference, without indents."""
        low, high = self.low_us / 1e3, self.high_us / 1e3
        where = "inside" if self.within else "OUTSIDE"
        yield f"predicted {self.value_us / 1e3:.3f} ms [{low:.3f}, {high:.3f}]"
        yield f"by {self.table}"
        yield f"{self.difference:+.1%} off minute {self.minute}, {where} its interval"


def _states(first: SustainedMinute, last: SustainedMinute) -> Iterator[str]:
    if first.clock_khz and last.clock_khz:
        yield f"clock {first.clock_khz / 1e6:.2f} to {last.clock_khz / 1e6:.2f} GHz"
    if first.temperature_c is not None and last.temperature_c is not None:
        yield f"{first.temperature_c:.0f} to {last.temperature_c:.0f} C"
    if last.thermal_state is not None:
        yield f"thermal state {last.thermal_state}"


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks, equal values sharing their mean."""
    array = np.array(values)
    below = (array[:, None] > array).sum(1)
    same = (array[:, None] == array).sum(1)
    ranks: npt.NDArray[np.float64] = below + (same - 1) / 2
    return ranks
