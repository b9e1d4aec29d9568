"""Networks that a search came to, ranked with the weights they share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from search.algorithms.base import SearchAlgorithm
from search.data.base import ImageSet
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.pipeline.inherited import Shared, inherited_accuracy
from search.pipeline.problem import TARGET_UTILISATION, SearchProblem
from search.pipeline.result import CandidateRow
from search.selection.by_costs import sample_between, select_within
from search.selection.chance_constrained import select_chance_constrained
from search.selection.exact import network_of
from search.selection.scores import Array, Scores, from_probabilities
from search.training.seeds import generator_for

_NEAR_SAMPLES = 24
# What the search has ruled out comes back only where nothing else is left.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One network of the space, where it came from, and how it did."""

    origin: str
    choices: tuple[int, ...]
    log_probability: float | None = None
    accuracy: float | None = None
    scored_by: str | None = None
    failed: str | None = None


def exact_choice(scores: Scores, task: SearchProblem) -> tuple[int, ...]:
    """The best network by these scores that meets the task's target, as surely as it asks.

    Where layers are not independent it is a good one (`search.selection.by_costs`).

    Args:
        scores: Of the task's space.
        task: Has a target.

    Raises:
        UsageError: No network meets it.
    """
    assert task.target is not None
    scores.require(task.space)
    if task.probability is None:
        return select_within(task.costs, scores.values, task.target)
    return select_chance_constrained(
        scores, task.model, task.space, task.target.value, task.probability
    ).choices


def candidates_of(
    method: SearchAlgorithm, task: SearchProblem, *, seed: int, samples: int
) -> list[Candidate]:
    """Samples (FBNet: six) and the argmax; with a target, the exact selection first.

    With a target there are also samples of the same distribution among the
    networks that use nearly all of it. Equal networks are one, under all
    their origins and the choices of the first.
    """
    probabilities = method.probabilities().double().numpy()
    scores = from_probabilities(probabilities, task.space, f"log-probabilities of {method.name}")
    named: list[tuple[str, tuple[int, ...]]] = []
    if task.target is not None:
        word = "exact selection" if task.independent else "selection"
        named.append((word, exact_choice(scores, task)))
    named.append(("argmax", method.argmax()))
    drawn = method.sample(samples, generator_for("samples", seed))
    named += [(f"sample {number}", choices) for number, choices in enumerate(drawn, 1)]
    named += [("near the target", choices) for choices in _near_target(probabilities, task, seed)]
    origins: dict[tuple[int, ...], list[str]] = {}
    first: dict[tuple[OperatorSpec, ...], tuple[int, ...]] = {}
    for origin, choices in named:
        # Where a block is skipped, its other choices make no other network.
        same = first.setdefault(network_of(task.space, choices, origin).operators, choices)
        words = origins.setdefault(same, [])
        if origin not in words:
            words.append(origin)
    return [
        Candidate(
            origin=", ".join(words),
            choices=choices,
            log_probability=float(sum(scores.values[k, c] for k, c in enumerate(choices))),
        )
        for choices, words in origins.items()
    ]


def _near_target(probabilities: Array, task: SearchProblem, seed: int) -> list[tuple[int, ...]]:
    """Drawn from the distribution, given that a network uses nearly all of the target."""
    if task.target is None:
        return []
    band = TARGET_UTILISATION * task.target.value, task.target.value
    weights, generator = np.maximum(probabilities, _LEAST), np.random.default_rng(seed)
    try:
        drawn = sample_between(task.costs, weights, band, _NEAR_SAMPLES, generator)
    except UsageError:  # No network is that slow.
        return []
    return [tuple(row) for row in drawn.tolist()]


def rank_candidates(
    found: Iterable[Candidate], shared: Shared, images: ImageSet, learnt: Tensor, held: Tensor
) -> list[Candidate]:
    """Judge all by inherited weights; the best first."""
    judged = [
        replace(
            one,
            accuracy=inherited_accuracy(shared, one.choices, images, learnt, held),
            scored_by="inherited weights, batch norm recalibrated",
        )
        for one in found
    ]
    return sorted(judged, key=lambda one: -(one.accuracy or 0.0))


def choose_candidate(ranked: Sequence[Candidate], task: SearchProblem) -> Candidate:
    """The best one; with a target, of those that meet it, and use it where any does."""
    if task.target is None:
        return ranked[0]
    within = [one for one in ranked if candidate_row(one, task).meets_target]
    prices = task.costs.cost_of([one.choices for one in within])
    using = [one for one, price in zip(within, prices, strict=True) if task.used_by(price)]
    return (using or within)[0]


def candidate_row(found: Candidate, task: SearchProblem) -> CandidateRow:
    """The network in numbers, priced by the task's table."""
    network = network_of(task.space, found.choices, found.origin)
    estimate = task.model.estimate(network)
    price = float(task.costs.cost_of([found.choices])[0])
    return CandidateRow(
        origin=found.origin,
        choices=tuple(
            layer.choices[number].name
            for layer, number in zip(task.space.layers, found.choices, strict=True)
        ),
        predicted_us=price if task.weighs_latency else estimate.value_us,
        low_us=estimate.low_us,
        high_us=estimate.high_us,
        meets_target=task.met_by(price, estimate),
        probability=None if task.target_us is None else estimate.probability_below(task.target_us),
        log_probability=found.log_probability,
        accuracy=found.accuracy,
        scored_by=found.scored_by,
        failed=found.failed,
        flops=network.flops,
        params=network.params,
    )
