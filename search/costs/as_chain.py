"""Any additive costs as costs along a chain of states, and several of them along the same one."""

from collections.abc import Sequence

import numpy as np

from search.costs.base import Costs, IntArray
from search.costs.chain import ChainCosts, Transition
from search.costs.factors import FactorCosts
from search.costs.matrix import CostMatrix


def chain_of(costs: Costs) -> ChainCosts:
    """Any costs along a chain of states.

    Raises:
        TypeError: A kind that is no chain.
    """
    if isinstance(costs, ChainCosts):
        return costs
    if isinstance(costs, FactorCosts):
        return costs.chain()
    if not isinstance(costs, CostMatrix):
        raise TypeError(f"Costs of the type {type(costs).__name__} are no chain.")
    transitions = tuple(
        Transition(
            costs=row[None, : int(legal.sum())],
            next_state=np.zeros((1, int(legal.sum())), dtype=np.int64),
        )
        for row, legal in zip(costs.costs, costs.legal, strict=True)
    )
    return ChainCosts(fixed=costs.fixed, transitions=transitions, last=np.zeros(1), unit=costs.unit)


def along_one_chain(chains: Sequence[ChainCosts]) -> list[ChainCosts]:
    """The same costs along the finest of these chains.

    Its states are those of each other one, each in several versions that follow each other in
    number: a chain that remembers more than another (`search.latency.peak_memory`).

    Raises:
        TypeError: Chains of different spaces.
    """
    finest = max(chains, key=lambda chain: sum(len(one.costs) for one in chain.transitions))
    return [_refined(chain, finest) for chain in chains]


def _refined(chain: ChainCosts, finest: ChainCosts) -> ChainCosts:
    if chain is finest:
        return chain
    transitions = tuple(
        Transition(
            costs=own.costs[_version_of(len(fine.costs), len(own.costs))],
            next_state=fine.next_state,
        )
        for own, fine in zip(chain.transitions, finest.transitions, strict=True)
    )
    last = chain.last[_version_of(len(finest.last), len(chain.last))]
    return ChainCosts(fixed=chain.fixed, transitions=transitions, last=last, unit=chain.unit)


def _version_of(fine: int, coarse: int) -> IntArray:
    if fine % coarse:
        raise TypeError(f"A chain of {fine} states is none of {coarse} states in versions.")
    states: IntArray = np.arange(fine) // (fine // coarse)
    return states
