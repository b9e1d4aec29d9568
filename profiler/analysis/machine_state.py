"""The state of the machine over a run: how much slower it was at each block than on average.

Neighbours on the same host, shared caches and heat slow a machine down while its
clock stays what it is, by 20 % within fractions of a second. All items see it,
since their blocks are interleaved at random, though not all to the same degree.
So the state at a block is estimated from the blocks around it, its own left out:
running medians of log time minus each item's own centre, over a few, some and
many neighbours, weighted by how well they foretell the block in the middle.
Where they foretell nothing, as on a quiet machine, the weights are zero and
nothing changes. An item's sensitivity is the slope of its blocks over the state
(Theil 1950, Sen 1968), shrunk towards the items' common one as far as its own
blocks leave it open (empirical Bayes).

The reference is the mean state of the run: there the log of the slowdown is zero.
Stretches much slower than the median state, as a hot phone's, are no part of it:
what neighbours do is worth undoing, what throttling does is worth leaving out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats as scipy_stats
from scipy.optimize import least_squares

from device_agents.protocol import CLOCK_STEP_NS
from profiler.analysis.arrays import Array, Flags, Indices
from profiler.analysis.blocks import TimedBlock

# Neighbouring blocks to either side: some 20 ms, 100 ms and half a second of operators.
NEIGHBOURS = (3, 12, 50)
THROTTLED = 1.25  # slower than the median state by this much is no state to be undone
FEWEST_BLOCKS = 200  # of fewer, a state is not to be told from chance
_ROUNDS = 4
_LEAST, _MOST = 0.2, 3.0  # bounds of a sensitivity
_LEAST_SPREAD = 0.005  # a state that moves less shows nobody's sensitivity
_ITEM_BLOCKS = 12  # of fewer, an item has the common sensitivity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MachineState:
    """Slowdown over a run, relative to its mean state.

    `at_ns` and `log_slowdown` are (N,), one an undisturbed block in order of
    time, of an item of average sensitivity; `sensitivity` is by item, and empty where the
    machine was too quiet to show any. Stretches slower than the median state by `throttled`
    are no part of it.
    """

    at_ns: Indices
    log_slowdown: Array
    sensitivity: Mapping[str, float]
    throttled: float = THROTTLED

    @property
    def range(self) -> tuple[float, float]:
        """5th and 95th percentile of the slowdown; 1 is the mean state."""
        counted = self.log_slowdown[~_throttled(self.log_slowdown, self.throttled)]
        low, high = np.exp(np.percentile(counted, [5, 95]))
        return float(low), float(high)

    def throttled_windows(self) -> list[tuple[int, int]]:
        """Stretches of time (ns, both ends included) whose blocks are not to be counted.

        They reach a few blocks further to either side, where neighbours did not yet tell.
        """
        reach = np.ones(2 * NEIGHBOURS[0] + 1)
        slow = np.convolve(_throttled(self.log_slowdown, self.throttled), reach, "same") > 0
        edges = np.diff(slow, prepend=False, append=False)
        places = np.flatnonzero(edges)
        return [
            (int(self.at_ns[first]), int(self.at_ns[after - 1]))
            for first, after in zip(places[::2], places[1::2], strict=True)
        ]

    def slowdown_at(self, at_ns: Sequence[int]) -> Array:
        """Slowdown of an item of average sensitivity at these moments: the next block's."""
        order = np.argsort(self.at_ns, kind="stable")
        place = np.searchsorted(self.at_ns[order], np.asarray(at_ns, dtype=np.int64))
        nearest = order[np.clip(place, 0, len(order) - 1)]
        slowdown: Array = np.exp(self.log_slowdown[nearest])
        return slowdown

    def restate(self, blocks: Mapping[str, Sequence[TimedBlock]]) -> dict[str, list[TimedBlock]]:
        """The same blocks with the slowdown that each of them met."""
        restated = {}
        for name, own in blocks.items():
            slowdowns = self.slowdown_at([block.at_ns for block in own])
            met = slowdowns ** self.sensitivity.get(name, 1.0)
            restated[name] = [
                replace(block, slowdown=float(value)) for block, value in zip(own, met, strict=True)
            ]
        return restated


def estimate_state(
    blocks: Mapping[str, Sequence[TimedBlock]],
    clock_khz: int | None = None,
    throttled: float = THROTTLED,
) -> MachineState | None:
    """The machine's state over a run; None of too few blocks.

    Args:
        blocks: By item, in any order; those with a context switch are passed over.
        clock_khz: The clock at which times are stated, so that the state is
            what remains when the clock is taken out.
        throttled: How many times as slow as in the median state a stretch must be to be left
            out; infinite where throttling is what is to be measured.
    """
    series = _series(blocks, clock_khz)
    if len(series.log_us) < FEWEST_BLOCKS:
        return None
    relative = np.ones(len(series.names))
    state = np.zeros(len(series.log_us))
    for number in range(_ROUNDS):
        centres = series.centres(state * relative[series.items])
        rest = (series.log_us - centres[series.items]) / relative[series.items]
        state = _foretold(rest)
        if number and state.std() > _LEAST_SPREAD:
            relative = _sensitivities(series, state)
    known = state.std() > _LEAST_SPREAD
    return MachineState(
        at_ns=series.at_ns,
        log_slowdown=_from_mean(state, series.at_ns // CLOCK_STEP_NS, throttled),
        sensitivity=dict(zip(series.names, relative.tolist(), strict=True)) if known else {},
        throttled=throttled,
    )


def _from_mean(state: Array, phones: Indices, throttled: float) -> Array:
    """The state from its mean over what counts, each phone's from its own."""
    counted = ~_throttled(state, throttled)
    centred = state.copy()
    for phone in np.unique(phones):
        own = phones == phone
        if (own & counted).any():
            centred[own] -= state[own & counted].mean()
    return centred


def _throttled(log_slowdown: Array, by: float) -> Flags:
    slow: Flags = log_slowdown > np.median(log_slowdown) + np.log(by)
    return slow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Series:
    """Blocks of all items in order of time: `items` are indices into `names`."""

    names: tuple[str, ...]
    items: Indices
    at_ns: Indices
    log_us: Array
    of_item: tuple[Indices, ...]

    def centres(self, state: Array) -> Array:
        """Median log time of each item, its state taken out."""
        values = self.log_us - state
        return np.array([np.median(values[own]) for own in self.of_item])


def _series(blocks: Mapping[str, Sequence[TimedBlock]], clock_khz: int | None) -> _Series:
    rows = [
        (block.at_ns // CLOCK_STEP_NS, block.pass_number, block.at_ns, name, block.us(clock_khz))
        for name, own in blocks.items()
        for block in own
        if not block.switches and block.ns > 0
    ]
    rows.sort(key=lambda row: row[:3])
    names = tuple(dict.fromkeys(row[3] for row in rows))
    numbers = {name: number for number, name in enumerate(names)}
    items = np.array([numbers[row[3]] for row in rows], dtype=np.intp)
    order = np.argsort(items, kind="stable")
    bounds = np.searchsorted(items[order], np.arange(1, len(names)))
    return _Series(
        names=names,
        items=items,
        at_ns=np.array([row[2] for row in rows], dtype=np.int64),
        log_us=np.log([row[4] for row in rows]),
        of_item=tuple(np.split(order, bounds)) if names else (),
    )


def _foretold(rest: Array) -> Array:
    """What the neighbours of each block foretell of it; the mean is zero."""
    medians = np.stack([_medians_of_others(rest, reach) for reach in NEIGHBOURS], axis=1)
    medians -= medians.mean(axis=0)
    target = rest - np.median(rest)
    spread = 1.4826 * float(np.median(np.abs(target)))
    if spread == 0:
        return np.zeros(len(rest))
    fit = least_squares(
        _residual,
        np.zeros(len(NEIGHBOURS)),
        jac=_jacobian,
        loss="huber",
        f_scale=1.5 * spread,
        args=(medians, target),
    )
    foretold: Array = medians @ fit.x
    return foretold


def _residual(weights: Array, medians: Array, target: Array) -> Array:
    residual: Array = medians @ weights - target
    return residual


def _jacobian(_: Array, medians: Array, __: Array) -> Array:
    return medians


def _medians_of_others(values: Array, reach: int) -> Array:
    """Median of the `reach` values to either side of each, its own left out."""
    edge = np.full(reach, np.nan)
    padded = np.concatenate([edge, values, edge])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    others = np.delete(windows, reach, axis=1)
    medians: Array = np.nanmedian(others, axis=1)
    return medians


def _sensitivities(series: _Series, state: Array) -> Array:
    """Slope of each item's blocks over the state, shrunk; their mean over all blocks is 1."""
    slopes = np.full(len(series.names), np.nan)
    errors = np.full(len(series.names), np.nan)
    for number, own in enumerate(series.of_item):
        if len(own) >= _ITEM_BLOCKS and np.ptp(state[own]) > 0:
            fit = scipy_stats.theilslopes(series.log_us[own], state[own])
            slopes[number], errors[number] = fit.slope, (fit.high_slope - fit.low_slope) / 3.92
    known = np.isfinite(slopes) & np.isfinite(errors)
    if not known.any() or (common := float(np.median(slopes[known]))) <= 0:
        return np.ones(len(series.names))
    scatter = (1.4826 * float(np.median(np.abs(slopes[known] - common)))) ** 2
    own_scatter = max(scatter - float(np.median(errors[known] ** 2)), 0.0)
    trust = own_scatter / (own_scatter + errors**2 + 1e-12)
    shrunk = np.where(known, common + (slopes - common) * trust, common) / common
    return np.clip(shrunk, _LEAST, _MOST)
