"""Baselines in one harness: random search and evolution under a target.

Both only ever propose networks that meet the target, evaluate each network at
most once, and spend the same budget of evaluations, so that their results
can be compared with each other and with a search method.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from search.costs.base import Costs
from search.errors import UsageError
from search.selection.by_costs import sampler_of
from search.selection.knapsack import IntArray, Mask

Choices = tuple[int, ...]
# Expensive: the scores of some networks, higher is better, in their order.
# A network whose trial failed has the lowest one, minus infinity.
Evaluate = Callable[[Sequence[Choices]], Sequence[float]]

# Tries for each network wanted, before random ones are drawn instead
# (Single Path One-Shot's own bound), or before the space counts as used up.
TRIES = 10
BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One evaluated network; `number` counts from 1 in order of evaluation."""

    number: int
    choices: Choices
    score: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineResult:
    """The result of a baseline; `history` is shorter than the budget where a space is used up.

    The score of `best` is minus infinity where every trial failed.
    """

    best: Trial
    history: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """Settings of evolution; the defaults are Single Path One-Shot's.

    Each generation has up to `population` networks: half of them mutants,
    half crossings of the `parents` best networks so far. A mutant changes
    each layer with the probability `mutation`.

    Raises:
        UsageError: A value out of range.
    """

    population: int = 50
    parents: int = 10
    mutation: float = 0.1

    def __post_init__(self) -> None:
        if self.population < 2 or self.parents < 1 or not 0 < self.mutation <= 1:
            raise UsageError(
                "Evolution needs a population of at least 2, at least 1 parent and a "
                f"mutation rate above 0 and up to 1, not {self}."
            )


def random_search(
    evaluate: Evaluate, costs: Costs, target: float, *, budget: int, seed: int = 0
) -> BaselineResult:
    """Evaluate different networks, drawn uniformly among those that meet the target.

    Args:
        evaluate: The scores of some networks.
        costs: Of the space.
        target: The highest cost.
        budget: Networks evaluated at most.
        seed: The same seed draws the same networks.

    Raises:
        UsageError: No network meets the target, the budget is below 1, or
            `evaluate` answers with other than one number a network.
    """
    harness = _Harness(evaluate, costs, target, budget, seed)
    while harness.evaluate(harness.random_networks(BATCH)):
        pass
    return harness.result()


def evolve(
    evaluate: Evaluate,
    costs: Costs,
    target: float,
    *,
    budget: int,
    seed: int = 0,
    settings: Evolution | None = None,
) -> BaselineResult:
    """Evolve networks that meet the target.

    The evolutionary search of Single Path One-Shot (arXiv 1904.00420,
    Algorithm 1): random networks first, then generations of mutants and
    crossings of the best so far; children over the target are drawn again.
    With a budget below five populations the population shrinks to a fifth of
    the budget, so that there is something to select from.

    Arguments and errors are those of `random_search`.
    """
    settings = settings or Evolution()
    harness = _Harness(evaluate, costs, target, budget, seed)
    size = min(settings.population, max(2, budget // 5))
    proposed = harness.random_networks(size)
    while harness.evaluate(proposed):
        parents = harness.top(min(settings.parents, max(1, size // 2)))
        proposed = harness.generation(parents, size, settings.mutation)
    return harness.result()


class _Harness:
    """Counts evaluations, proposes networks under the target, remembers all of them."""

    def __init__(
        self, evaluate: Evaluate, costs: Costs, target: float, budget: int, seed: int
    ) -> None:
        if budget < 1:
            raise UsageError(f"A budget of {budget} evaluations is too small.")
        self._evaluate, self._costs, self._target = evaluate, costs, target
        self._budget = budget
        self._sampler = sampler_of(costs, target)
        self._generator = np.random.default_rng(seed)
        self._legal: Mask = costs.legal
        self._trials: dict[Choices, Trial] = {}

    def evaluate(self, networks: Sequence[Choices]) -> bool:
        """Spend the budget on these networks; False when it is spent or there are none."""
        networks = networks[: self._budget - len(self._trials)]
        if not networks:
            return False
        scores = [float(score) for score in self._evaluate(networks)]
        if len(scores) != len(networks) or any(math.isnan(score) for score in scores):
            raise UsageError(f"The evaluation of {len(networks)} networks gave {scores}.")
        costs = self._costs.cost_of(networks)
        for choices, score, cost in zip(networks, scores, costs, strict=True):
            self._trials[choices] = Trial(
                number=len(self._trials) + 1,
                choices=choices,
                score=score,
                cost=float(cost),
            )
        return len(self._trials) < self._budget

    def result(self) -> BaselineResult:
        """All trials, and the best of them."""
        return BaselineResult(best=self._ranked()[0], history=tuple(self._trials.values()))

    def _ranked(self) -> list[Trial]:
        return sorted(
            self._trials.values(),
            key=lambda trial: (-trial.score, trial.cost, trial.number),
        )

    def top(self, number: int) -> IntArray:
        """The best networks so far."""
        return np.array([trial.choices for trial in self._ranked()[:number]])

    # --- proposals -----------------------------------------------------------

    def random_networks(self, number: int, known: Sequence[Choices] = ()) -> list[Choices]:
        """Different networks never tried, drawn uniformly; fewer when they run out."""
        listed = self._sampler.listed
        if listed is None:
            return self.new(lambda n: self._sampler.draw(n, self._generator), number, known=known)
        untried = [choices for choices in _tuples(listed) if choices not in self._trials]
        untried = [choices for choices in untried if choices not in set(known)]
        order = self._generator.permutation(len(untried))[:number]
        return [untried[place] for place in order]

    def generation(self, parents: IntArray, size: int, rate: float) -> list[Choices]:
        """Half mutants, half crossings; random networks where there are too few of them."""
        children = self.new(lambda number: self._mutants(parents, number, rate), size // 2)
        crossings = size - size // 2
        children += self.new(lambda number: self._crossings(parents, number), crossings, children)
        return children + self.random_networks(size - len(children), children)

    def new(
        self,
        propose: Callable[[int], IntArray],
        number: int,
        known: Sequence[Choices] = (),
    ) -> list[Choices]:
        """Up to `number` different proposals that meet the target and were never tried."""
        untried: dict[Choices, None] = {}
        for _ in range(TRIES):
            if len(untried) >= number:
                break
            proposed = propose(number)
            meets = self._costs.cost_of(proposed) <= self._target
            for choices in _tuples(proposed[meets]):
                if choices not in self._trials and choices not in known:
                    untried[choices] = None
        return list(untried)[:number]

    def _mutants(self, parents: IntArray, number: int, rate: float) -> IntArray:
        """Copies of parents with some layers drawn again among the legal candidates."""
        children = parents[self._generator.integers(0, len(parents), number)]
        changed = self._generator.random(children.shape) < rate
        drawn = np.where(self._legal, self._generator.random((number, *self._legal.shape)), -1.0)
        mutated: IntArray = np.where(changed, drawn.argmax(axis=2), children)
        return mutated

    def _crossings(self, parents: IntArray, number: int) -> IntArray:
        """Children that take each layer from one or the other of two parents."""
        pairs = parents[self._generator.integers(0, len(parents), (2, number))]
        first = self._generator.random(pairs.shape[1:]) < 0.5
        crossed: IntArray = np.where(first, pairs[0], pairs[1])
        return crossed


def _tuples(choices: IntArray) -> list[Choices]:
    return [tuple(row) for row in choices.tolist()]
