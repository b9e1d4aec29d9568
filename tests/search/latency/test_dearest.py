"""The highest cost of a space, for every kind of costs, beside that of all its networks."""

import itertools

import numpy as np
import pytest

from search.costs.base import Costs, CostTarget, Unit, slack_target
from search.costs.chain import ChainCosts, Transition
from search.costs.matrix import CostMatrix

DRAW = np.random.default_rng(0)
CHAIN = ChainCosts(
    fixed=3.0,
    transitions=tuple(
        Transition(costs=DRAW.random((inputs, 3)), next_state=DRAW.integers(0, 2, (inputs, 3)))
        for inputs in (1, 2, 2)
    ),
    last=np.array([0.5, 4.0]),
)
MATRIX = CostMatrix(costs=np.array([[1.0, 2.0], [5.0, np.inf]]), fixed=1.0)


@pytest.mark.parametrize("costs", [CHAIN, MATRIX])
def test_the_dearest_network_is_the_dearest_of_all(costs: Costs) -> None:
    legal = costs.legal
    options = [np.flatnonzero(row) for row in legal]
    every = costs.cost_of(list(itertools.product(*options)))
    assert costs.dearest() == pytest.approx(every.max())
    assert costs.cheapest() == pytest.approx(every.min())


def test_a_target_is_slack_from_the_dearest_network_on() -> None:
    assert not slack_target(MATRIX, None)
    assert not slack_target(MATRIX, CostTarget(value=7.9, unit=Unit.US))
    assert "0.008 ms restricts nothing" in slack_target(MATRIX, CostTarget(value=8.0, unit=Unit.US))
