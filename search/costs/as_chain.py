"""Any additive costs as costs along a chain of states, and several of them along the same one."""

from collections.abc import Sequence

import numpy as np

from search.costs.base import Costs
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
    """The same costs along one chain, each of whose states is a state of every chain.

    Only combinations that a network reaches are states: where one chain remembers all that
    another does (`search.latency.peak_memory`), they are its own.

    Raises:
        TypeError: Chains of different spaces.
    """
    if len({chain.widths for chain in chains}) > 1:
        raise TypeError("Chains of different spaces have no states in common.")
    states = np.zeros((1, len(chains)), dtype=np.int64)  # by state, the number in each chain
    walked: list[list[Transition]] = []
    for layer in zip(*(chain.transitions for chain in chains), strict=True):
        reached = [step.next_state[own] for step, own in zip(layer, states.T, strict=True)]
        paid = [step.costs[own] for step, own in zip(layer, states.T, strict=True)]
        joint = np.stack(reached, axis=-1)
        states, number = np.unique(joint.reshape(-1, len(chains)), axis=0, return_inverse=True)
        next_state = number.reshape(joint.shape[:-1])
        walked.append([Transition(costs=costs, next_state=next_state) for costs in paid])
    return [
        ChainCosts(
            fixed=chain.fixed,
            transitions=tuple(step[place] for step in walked),
            last=chain.last[states[:, place]],
            unit=chain.unit,
        )
        for place, chain in enumerate(chains)
    ]
