"""Costs from chains: robust slopes over the number of copies, and reasons to refuse them.

The time of a chain of N copies is dispatch + N cost. In each pass the slope is
the weighted median over all pairs of blocks of differing N (Theil 1950, Sen
1968; weights by precision as in Sievers 1978), so that bursts do not tilt it;
the centre is the mean over passes, the interval Student's t over them, as for
plain items. A fit is worth nothing when the copies did not all run alike: when
the placement changes with N or between passes, or when the middle lengths lie
off the line through the outer ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from profiler.analysis.arrays import Array, Indices
from profiler.analysis.blocks import TimedBlock, undisturbed_blocks
from profiler.analysis.judge import Measurement, centre_interval

# A middle length may lie off the line by this share of the line's rise; more
# is another unit, or copies that disturb each other. Less is noise when it is
# below this many standard errors.
LINEAR = 0.015
_SIGMAS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFit:
    """Slope and intercept by pass, in microseconds; `reason` why they are not to be used."""

    passes: tuple[int, ...]
    slopes_us: Array
    intercepts_us: Array
    blocks: int
    calls: int
    rejected: int
    reason: str | None = None


def fit_chain(
    chains: Mapping[int, Sequence[TimedBlock]],
    *,
    slow_windows: Sequence[tuple[int, int]] = (),
    placements: Mapping[str, frozenset[str]] | None = None,
) -> ChainFit | None:
    """Fit the chains of one operator; None when no pass has two lengths left.

    `placements` are the units that each program ("4 copies") was seen to run
    on; one that is missing there is unknown.
    """
    undisturbed = {n: undisturbed_blocks(blocks, slow_windows) for n, blocks in chains.items()}
    times = {n: _by_pass(blocks) for n, blocks in undisturbed.items()}
    numbers = sorted(set.union(set(), *(set(passes) for passes in times.values())))
    lines = {
        number: _line({n: passes[number] for n, passes in times.items() if number in passes})
        for number in numbers
    }
    usable = [(number, line) for number, line in lines.items() if line is not None]
    if not usable:
        return None
    every = [block for blocks in undisturbed.values() for block in blocks]
    return ChainFit(
        passes=tuple(number for number, _ in usable),
        slopes_us=np.array([line[0] for _, line in usable]),
        intercepts_us=np.array([line[1] for _, line in usable]),
        blocks=len(every),
        calls=sum(block.loops for block in every),
        rejected=sum(map(len, chains.values())) - len(every),
        reason=_placement_problem(placements or {}) or _linearity_problem(times),
    )


def medians_by_pass(
    blocks: Sequence[TimedBlock], slow_windows: Sequence[tuple[int, int]]
) -> dict[int, float]:
    """The median undisturbed block of each pass, in microseconds a call."""
    times = _by_pass(undisturbed_blocks(blocks, slow_windows))
    return {number: float(np.median(values)) for number, values in times.items()}


def _by_pass(blocks: Sequence[TimedBlock]) -> dict[int, Array]:
    times: dict[int, list[float]] = {}
    for block in blocks:
        times.setdefault(block.pass_number, []).append(block.us())
    return {number: np.array(values) for number, values in times.items()}


def _line(points: Mapping[int, Array]) -> tuple[float, float] | None:
    """Slope and intercept of one pass; noise is taken as proportional to the time."""
    if len(points) < 2:
        return None
    n = np.concatenate([np.full(len(values), n) for n, values in points.items()])
    t = np.concatenate(list(points.values()))
    first, second = np.nonzero(n[:, None] < n[None, :])
    run = n[second] - n[first]
    slopes = (t[second] - t[first]) / run
    slope = weighted_median(slopes, run / np.hypot(t[first], t[second]))
    return slope, weighted_median(t - slope * n, 1 / t)


def weighted_median(values: Array, weights: Array) -> float:
    """The value with half of the weight below it, between neighbours linearly."""
    order = np.argsort(values)
    share = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, share, values[order]))


def _placement_problem(placements: Mapping[str, frozenset[str]]) -> str | None:
    """Why the placement forbids a fit, if it does."""
    for program, units in placements.items():
        if len(units) > 1:
            return f"placement: {program} ran on {' and on '.join(sorted(units))}"
    if len(set(placements.values())) > 1:
        units_text = ", ".join(f"{name} on {'/'.join(units)}" for name, units in placements.items())
        return f"placement: it changes with the number of copies ({units_text})"
    return None


def _linearity_problem(times: Mapping[int, Mapping[int, Array]]) -> str | None:
    """Why times by copies and pass are not a straight line, if they are not."""
    centres, errors = {}, {}
    for n, passes in times.items():
        medians = np.array([np.median(values) for values in passes.values()])
        if not len(medians):
            return f"fit: no block of {n} copies ran undisturbed"
        centres[n] = float(medians.mean())
        spread = float(medians.std(ddof=1)) if len(medians) > 1 else 0.0
        errors[n] = spread / np.sqrt(len(medians))
    first, *middle, last = sorted(centres)
    rise = centres[last] - centres[first]
    for n in middle:
        share = (n - first) / (last - first)
        off = centres[n] - centres[first] - share * rise
        weights = {n: 1.0, first: 1 - share, last: share}
        error = float(np.sqrt(sum((errors[m] * w) ** 2 for m, w in weights.items())))
        if abs(off) > max(LINEAR * abs(rise), _SIGMAS * error):
            return (
                f"fit: not linear, {n} copies lie {off:+.3g} us off the line through "
                f"{first} and {last} (their difference is {rise:.3g} us)"
            )
    return None


def cost(
    fit: ChainFit,
    adapter_us: Mapping[int, float] | None,
    *,
    target: float,
    seed: int,
    share_us: float = 0.0,
) -> Measurement | str:
    """An operator's cost: its slope, less what restoring its shape took in each pass.

    Args:
        fit: The operator's chains.
        adapter_us: Microseconds of its restoring operator by pass; None where it has none.
        target: Relative half width of the interval up to which it is stable.
        seed: For the bootstrap of a single pass.
        share_us: An operator's average share in a network, dispatch included. An operator
            that takes less is stable at the same share of this: a network hardly holds it.

    Returns:
        The measurement, or as text the reason why there is no positive cost.
    """
    if fit.reason is not None:
        return fit.reason
    if adapter_us is not None and (
        problem := _adapter_problem(np.array(list(adapter_us.values())))
    ):
        return f"restoring operator: {problem}"
    slopes = dict(zip(fit.passes, fit.slopes_us, strict=True))
    passes = [number for number in slopes if adapter_us is None or number in adapter_us]
    values = np.array([slopes[n] - (adapter_us[n] if adapter_us else 0.0) for n in passes])
    if not len(values) or not np.mean(values) > 0:
        return "fit: the operator's cost drowns in noise, its slope is not positive"
    return _measurement(fit, values, np.array(passes), target, seed, share_us)


def _adapter_problem(values: Array) -> str | None:
    """Why costs cannot be computed with this restoring operator, if so."""
    if not len(values):
        return "nothing tells what it costs alone"
    error = float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    if values.mean() < -_SIGMAS * error:
        return (
            f"its cost comes out as {values.mean():.3g} us: programs of one operator ran "
            "otherwise than chains"
        )
    return None


def _measurement(
    fit: ChainFit, values: Array, passes: Indices, target: float, seed: int, share_us: float
) -> Measurement:
    centre = float(values.mean())
    low, high = centre_interval(values, passes, level=0.95, seed=seed)
    low = max(low, centre / 10)
    p5, q25, p95 = np.percentile(values, [5, 25, 95])
    return Measurement(
        centre_us=centre,
        low_us=min(low, centre),
        high_us=max(high, centre),
        first_us=None,
        first_low_us=None,
        first_high_us=None,
        lower_quartile_us=float(q25),
        mean_us=centre,
        min_us=float(values.min()),
        mad_us=float(np.median(np.abs(values - centre))),
        p5_us=float(p5),
        p95_us=float(p95),
        blocks=fit.blocks,
        calls=fit.calls,
        passes=len(values),
        rejected=fit.rejected,
        stable=(high - low) / 2 <= target * max(centre, share_us) and len(values) > 1,
    )
