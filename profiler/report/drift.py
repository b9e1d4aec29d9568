"""Speed, state, clock and temperature of the machine while a table was measured."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from profiler.analysis.arrays import Array, Indices
from profiler.analysis.timeline import make_timeline, sampled_blocks

Band = tuple[float, float, float]

_MOST_POINTS = 120
_FEWEST_BLOCKS = 20  # a bin of fewer depends more on its operators than on the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Series over the minutes of a campaign: 5th, 50th and 95th percentile a bin.

    `speed` is a block's time over the median of its own item, clock not taken
    out; `state` is how much slower the machine was than in its mean state, as estimated
    from all blocks, clock taken out; it, `clock_ghz` and `temperature_c` are empty where
    nothing is known.
    """

    minutes: tuple[float, ...]
    speed: tuple[Band, ...]
    state: tuple[Band, ...]
    clock_ghz: tuple[Band, ...]
    temperature_c: tuple[Band, ...]


def drift_of(samples: pd.DataFrame) -> Drift | None:
    """Drift from a table's raw samples; None where they carry no times (imported tables)."""
    wanted = {"item", "at_ns", "ns", "loops", "freq_khz", "temperature_mc"}
    if not wanted <= set(samples.columns) or len(samples) < 2 * _FEWEST_BLOCKS:
        return None
    frame = samples.dropna(subset=["at_ns", "ns"]).sort_values("at_ns")
    call_ns = frame["ns"].astype("float64") / frame["loops"].astype("float64")
    speed = (call_ns / call_ns.groupby(frame["item"]).transform("median")).to_numpy()
    bins = max(1, min(_MOST_POINTS, len(frame) // _FEWEST_BLOCKS))
    groups = np.array_split(np.arange(len(frame)), bins)
    at_ns = frame["at_ns"].to_numpy(dtype="float64")
    return Drift(
        minutes=tuple(float((at_ns[g].mean() - at_ns[0]) / 60e9) for g in groups),
        speed=_bands(speed, groups),
        state=_bands(_slowdowns(frame), groups),
        clock_ghz=_bands(_numbers(frame["freq_khz"], 1e6), groups),
        temperature_c=_bands(_numbers(frame["temperature_mc"], 1e3), groups),
    )


def _slowdowns(frame: pd.DataFrame) -> Array:
    """The machine's slowdown at each row; not a number where it is not known."""
    timeline = make_timeline(sampled_blocks(frame))
    if timeline.state is None:
        return np.full(len(frame), np.nan)
    return timeline.state.slowdown_at(frame["at_ns"].astype("int64").tolist())


def _numbers(column: "pd.Series[int]", unit: float) -> Array:
    numbers: Array = column.to_numpy(dtype="float64", na_value=np.nan) / unit
    return numbers


def _bands(values: Array, groups: list[Indices]) -> tuple[Band, ...]:
    if np.isnan(values).all():
        return ()
    bands = []
    for group in groups:
        known = values[group][~np.isnan(values[group])]
        low, middle, high = np.percentile(known, (5, 50, 95)) if len(known) else (np.nan,) * 3
        bands.append((float(low), float(middle), float(high)))
    return tuple(bands)
