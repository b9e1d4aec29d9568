"""Peak memory of networks by a table: one network, and all networks of a space as costs.

A piece of the model is a sum over operators and the largest of their live activations. The largest
is made a sum as well: along a chain whose state is the largest so far, each layer pays what it
raises it by. So exact selection, sampling and expected costs are those of any chain of costs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from search.costs.as_chain import chain_of
from search.costs.base import Array, Costs, IntArray, Unit
from search.costs.chain import ChainCosts, Transition
from search.errors import UsageError
from search.operators.activations import chained_bytes, live_bytes
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.table.memory import MemoryModel, MemoryPiece
from search.table.store import Table, profile_command

# Heights of live activations that a chain tells apart; more are rounded up to these.
MOST_LEVELS = 48
# A power of this stands for a level: more than operators can be in one part of a space, and
# MOST_LEVELS powers of it are exact floating-point numbers.
_BASE_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """A network's predicted own peak memory in kilobytes (1024), with its 95 % interval."""

    value_kb: float
    low_kb: float
    high_kb: float

    @property
    def value_mb(self) -> float:
        """In megabytes (a million bytes), as `--most memory-mb` counts."""
        return self.value_kb * 1024 / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFeatures:
    """What decides a network's peak: bytes of weights, of chained and of live activations."""

    weights: float
    chained: float
    live: float

    @classmethod
    def of(cls, operators: Iterable[OperatorSpec]) -> "MemoryFeatures":
        """Those of a network."""
        real = [operator for operator in operators if operator.kind not in ("skip", "empty")]
        return cls(
            weights=sum(count(operator).weight_bytes for operator in real),
            chained=sum(map(chained_bytes, real)),
            live=max(map(live_bytes, real), default=0),
        )

    def by(self, piece: MemoryPiece) -> float:
        """Bytes by one piece."""
        return (
            piece.intercept_bytes
            + piece.weights * self.weights
            + piece.chained * self.chained
            + piece.live * self.live
        )


def require_memory(table: Table) -> MemoryModel:
    """The table's model of peak memory.

    Raises:
        UsageError: It has none; names the command that makes one.
    """
    model = table.manifest.memory
    if model is None:
        raise UsageError(
            f"{table.label} does not tell the peak memory of networks.",
            f"Measure a table that does: {profile_command(table.manifest)}",
        )
    return model


def estimate_memory(model: MemoryModel, operators: Iterable[OperatorSpec]) -> MemoryEstimate:
    """The own peak memory of a network of these operators."""
    features = MemoryFeatures.of(operators)
    value = max(0.0, *(features.by(piece) for piece in model.pieces)) / 1024
    reach = model.interval_factor * model.relative_residual * value
    return MemoryEstimate(value_kb=value, low_kb=max(0.0, value - reach), high_kb=value + reach)


def memory_costs(model: MemoryModel, space: LayeredSpace) -> tuple[Costs, ...]:
    """Own peak memory of a space's networks in bytes, by each piece; the largest is the peak.

    Beyond `MOST_LEVELS` heights of live activations they are rounded up, so that
    what keeps to a limit by these costs keeps to it by `estimate_memory`.
    """
    return tuple(_piece_costs(piece, space) for piece in model.pieces)


def _piece_costs(piece: MemoryPiece, space: LayeredSpace) -> Costs:
    def added(operator: OperatorSpec) -> float:
        if operator.kind == "skip":
            return 0.0
        return piece.weights * count(operator).weight_bytes + piece.chained * chained_bytes(
            operator
        )

    costs = space.costs(added, piece.intercept_bytes, unit=Unit.MEMORY)
    if not piece.live:
        return costs
    heights = _heights(space)
    levels = space.costs(lambda operator: _word(live_bytes(operator), heights), unit=Unit.MEMORY)
    return with_largest(chain_of(costs), chain_of(levels), piece.live * heights)


def _heights(space: LayeredSpace) -> Array:
    """Ascending heights of live activations, 0 first, that stand for all of the space's."""
    every = np.unique([float(live_bytes(operator)) for operator in space.operators])
    every = every[every > 0]
    if len(every) < MOST_LEVELS:
        return np.concatenate([[0.0], every])
    # Of equal ratio, so that rounding up is the same share everywhere; each a real height.
    wanted = np.geomspace(every[0], every[-1], MOST_LEVELS - 1)
    chosen = every[np.minimum(np.searchsorted(every, wanted * (1 - 1e-12)), len(every) - 1)]
    return np.concatenate([[0.0], np.unique(chosen)])


def _word(live: float, heights: Array) -> float:
    """A number whose sum with others still tells the highest level among them."""
    level = int(np.searchsorted(heights, live))
    return float(2.0 ** (_BASE_BITS * level)) if level else 0.0


def _level(sums: Array) -> IntArray:
    """The highest level that was added to each sum; 0 where there was none."""
    exponents = np.frexp(sums)[1].astype(np.int64) - 1
    return np.maximum(exponents, 0) // _BASE_BITS


def with_largest(costs: ChainCosts, words: ChainCosts, heights: Array) -> ChainCosts:
    """The costs and the largest height that any part of a network has.

    Args:
        costs: Sums along a chain.
        words: The heights' levels along the same chain, as `_word` writes them.
        heights: Ascending, 0 first; (levels,) in the unit of the costs.
    """
    number, start = len(heights), int(_level(np.array([words.fixed]))[0])
    transitions, first = [], np.array([start])
    for added, word in zip(costs.transitions, words.transitions, strict=True):
        states, width = added.costs.shape
        before = first[None, :, None]  # (1, levels, 1)
        after = np.maximum(before, _level(word.costs)[:, None, :])
        paid = added.costs[:, None, :] + heights[after] - heights[before]
        state = added.next_state[:, None, :] * number + after
        shape = (states * len(first), width)
        transitions.append(Transition(costs=paid.reshape(shape), next_state=state.reshape(shape)))
        first = np.arange(number)
    ends = np.maximum(first[None, :], _level(words.last)[:, None])
    last = costs.last[:, None] + heights[ends] - heights[first][None, :]
    return ChainCosts(
        fixed=costs.fixed + float(heights[start]),
        transitions=tuple(transitions),
        last=last.ravel(),
        unit=costs.unit,
    )
