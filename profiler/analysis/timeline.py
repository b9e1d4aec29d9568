"""Blocks of a whole run in time: their clock, the machine's state, and what does not count."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from profiler.analysis.blocks import Clock, TimedBlock, clock_of
from profiler.analysis.machine_state import THROTTLED, MachineState, estimate_state
from profiler.analysis.sentinel import slow_windows

# Fields of a block by their columns in a table's samples.
BLOCK_COLUMNS = {
    "pass": "pass_number",
    "round": "round",
    "loops": "loops",
    "ns": "ns",
    "first_ns": "first_ns",
    "switches": "switches",
    "at_ns": "at_ns",
    "freq_khz": "freq_khz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A run's blocks with the machine's state that each of them met, and their median clock.

    Blocks inside the windows `slow` do not count: the machine was throttled there. Of too
    few blocks for a state the sentinel tells.
    """

    blocks: Mapping[str, Sequence[TimedBlock]]
    clock: Clock | None
    state: MachineState | None
    slow: Sequence[tuple[int, int]]

    @property
    def clock_khz(self) -> int | None:
        """The clock at which times are stated; None where no runner measured it."""
        return self.clock.median_khz if self.clock else None


def make_timeline(
    blocks: Mapping[str, Sequence[TimedBlock]],
    sentinel_ns: Sequence[int] = (),
    sentinel_us: Sequence[float] = (),
    *,
    sustained: bool = False,
) -> Timeline:
    """Estimate clock and state from the blocks of all items.

    Args:
        blocks: By item.
        sentinel_ns: Moments at which the sentinel was timed.
        sentinel_us: Its times, for runs of too few blocks.
        sustained: Whether the device was kept under load: what is throttled there is its state,
            and counts.
    """
    clock = clock_of(itertools.chain.from_iterable(blocks.values()))
    throttled = math.inf if sustained else THROTTLED
    state = estimate_state(blocks, clock.median_khz if clock else None, throttled)
    if state is None:
        windows = [] if sustained else slow_windows(sentinel_ns, sentinel_us)
        return Timeline(blocks=blocks, clock=clock, state=None, slow=windows)
    return Timeline(
        blocks=state.restate(blocks), clock=clock, state=state, slow=state.throttled_windows()
    )


def sampled_blocks(samples: pd.DataFrame) -> dict[str, list[TimedBlock]]:
    """Blocks by item from a table's samples; empty where these are no raw blocks."""
    if not {"item", *BLOCK_COLUMNS} <= set(samples.columns):
        return {}
    columns = [
        samples[name].astype(object).where(samples[name].notna(), None).tolist()
        for name in BLOCK_COLUMNS
    ]
    blocks: dict[str, list[TimedBlock]] = {}
    for item, *values in zip(samples["item"].tolist(), *columns, strict=True):
        fields = dict(zip(BLOCK_COLUMNS.values(), values, strict=True))
        blocks.setdefault(str(item), []).append(TimedBlock(**fields))
    return blocks
