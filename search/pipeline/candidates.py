"""Candidates of a search: collected, ranked with the weights they share, chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from search.algorithms.base import SearchAlgorithm
from search.architecture import Architecture
from search.console.messages import counted
from search.costs.joint import shares_of
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.pipeline.limits.most import weighed
from search.pipeline.problem import TARGET_UTILISATION, SearchProblem
from search.pipeline.result import CandidateRow, LimitRow
from search.selection.by_costs import sample_between, select_many_within
from search.selection.exact import Selection, network_of
from search.selection.scores import Array, Scores, from_probabilities
from search.selection.surely.within_limits import select_surely
from search.training.chance import chance_level, is_at_chance
from search.training.compute.seeds import generator_for

JUDGED_SELECTION = "exact selection by judged networks"
_NEAR_SAMPLES = 24
# What the search has ruled out comes back only where nothing else is left.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One network of the space, its origin, and its accuracy on so many images or its score."""

    origin: str
    choices: tuple[int, ...]
    log_probability: float | None = None
    accuracy: float | None = None
    scored_by: str | None = None
    failed: str | None = None
    images: int | None = None
    score: float | None = None


def exact_choice(scores: Scores, problem: SearchProblem) -> tuple[int, ...]:
    """The choices of `exact_selection`."""
    return exact_selection(scores, problem).choices


def exact_selection(scores: Scores, problem: SearchProblem) -> Selection:
    """The best network by these scores that meets the problem's target, as surely as it asks.

    Args:
        scores: Of the problem's space.
        problem: Has a target.

    Raises:
        UsageError: No network meets it.
    """
    assert problem.target is not None
    scores.require(problem.space)
    if problem.probability is None:
        return select_many_within(weighed(problem), scores.values, [problem.target.value])[0]
    wanted = problem.target.value, problem.probability
    return select_surely(scores, problem.model, problem.space, *wanted, problem.limits)


def candidates_of(
    method: SearchAlgorithm,
    problem: SearchProblem,
    *,
    seed: int,
    samples: int,
    judged: Scores | None = None,
) -> list[Candidate]:
    """Samples (FBNet: six) and the argmax; with a target, the exact selection first.

    With a target there are also samples of the same distribution among the
    networks that use nearly all of it, or the selection by `judged` scores in place of
    these. Equal networks are one, under all
    their origins and the choices of the first.
    """
    probabilities = method.probabilities().double().numpy()
    scores = from_probabilities(probabilities, problem.space, f"log-probabilities of {method.name}")
    named: list[tuple[str, tuple[int, ...]]] = []
    if problem.target is not None:
        if judged is not None:
            named.append((JUDGED_SELECTION, exact_choice(judged, problem)))
        named.append(("exact selection", exact_choice(scores, problem)))
    named.append(("argmax", method.argmax()))
    drawn = method.sample(samples, generator_for("samples", seed))
    named += [(f"sample {number}", choices) for number, choices in enumerate(drawn, 1)]
    if judged is None:
        near = _near_target(probabilities, problem, seed)
        named += [("near the target", choices) for choices in near]
    origins: dict[tuple[int, ...], list[str]] = {}
    first: dict[tuple[OperatorSpec, ...], tuple[int, ...]] = {}
    for origin, choices in named:
        # Where a block is skipped, its other choices make no other network.
        same = first.setdefault(network_of(problem.space, choices, origin).operators, choices)
        known = origins.setdefault(same, [])
        if origin not in known:
            known.append(origin)
    return [
        Candidate(
            origin=", ".join(names),
            choices=choices,
            log_probability=float(sum(scores.values[k, c] for k, c in enumerate(choices))),
        )
        for choices, names in origins.items()
    ]


def _near_target(probabilities: Array, problem: SearchProblem, seed: int) -> list[tuple[int, ...]]:
    """Drawn from the distribution, given that a network uses nearly all of the target."""
    if problem.target is None:
        return []
    band = TARGET_UTILISATION * problem.target.value, problem.target.value
    weights, generator = np.maximum(probabilities, _LEAST_WEIGHT), np.random.default_rng(seed)
    try:
        drawn = sample_between(weighed(problem), weights, band, _NEAR_SAMPLES, generator)
    except UsageError:  # No network is that slow.
        return []
    return [tuple(row) for row in drawn.tolist()]


def choose_candidate(ranked: Sequence[Candidate], problem: SearchProblem) -> Candidate:
    """The best candidate; with a target, of those that meet it, and use it where any does.

    What judged networks select needs no second look by accuracy on a few hundred images.
    """
    if problem.target is None:
        return ranked[0]
    if ranked[0].origin.startswith(JUDGED_SELECTION):
        return ranked[0]
    within = [candidate for candidate in ranked if candidate_row(candidate, problem).meets_target]
    costs = weighed(problem).cost_of([candidate.choices for candidate in within])
    using = [
        candidate for candidate, cost in zip(within, costs, strict=True) if problem.used_by(cost)
    ]
    return (using or within)[0]


def candidates_at_chance(candidates: Sequence[Candidate], labels: Tensor) -> str:
    """A sentence on candidates that are no better than chance; empty where there are none.

    Args:
        candidates: Of one search.
        labels: Of its images.
    """
    chance = chance_level(labels)
    judged = [one for one in candidates if one.accuracy is not None and one.images]
    poor = [one for one in judged if is_at_chance(one.accuracy or 0.0, one.images or 1, chance)]
    if not poor:
        return ""
    of = f"{len(poor)} of {counted(len(judged), 'candidate')} {'is' if len(poor) == 1 else 'are'}"
    nothing = "their order means nothing" if len(poor) > 1 else "its accuracy means nothing"
    more = "Give more --epochs, or more images."
    return f"Warning: {of} at chance level ({chance:.1%}): {nothing}. {more}"


def _peak_memory(problem: SearchProblem, network: Architecture) -> dict[str, float]:
    """The own peak memory that the problem's table predicts, as fields of a row."""
    found = problem.estimate_memory(network)
    if found is None:
        return {}
    return {
        "peak_memory_mb": found.value_kb * 1024 / 1e6,
        "peak_memory_low_mb": found.low_kb * 1024 / 1e6,
        "peak_memory_high_mb": found.high_kb * 1024 / 1e6,
    }


def candidate_row(candidate: Candidate, problem: SearchProblem) -> CandidateRow:
    """The candidate in numbers, its latency by the problem's table."""
    network = problem.network(candidate.choices, candidate.origin)
    estimate = problem.estimate(network)
    value_us = low_us = high_us = None
    if estimate is not None:
        value_us, low_us, high_us = estimate.value_us, estimate.low_us, estimate.high_us
    cost = float(problem.costs.cost_of([candidate.choices])[0])
    joint = float(weighed(problem).cost_of([candidate.choices])[0])
    return CandidateRow(
        origin=candidate.origin,
        choices=tuple(
            layer.choices[number].name
            for layer, number in zip(problem.space.layers, candidate.choices, strict=True)
        ),
        predicted_us=cost if problem.weighs_latency else value_us,
        low_us=low_us,
        high_us=high_us,
        meets_target=problem.met_by(joint, estimate),
        limits=tuple(
            LimitRow(limit=label, share=share)
            for label, share in shares_of(problem.limits, candidate.choices).items()
        ),
        probability=None
        if problem.target_us is None or estimate is None
        else estimate.probability_below(problem.target_us),
        log_probability=candidate.log_probability,
        accuracy=candidate.accuracy,
        score=candidate.score,
        scored_by=candidate.scored_by,
        failed=candidate.failed,
        flops=network.flops,
        params=network.params,
        memory_bytes=network.memory_bytes,
        **_peak_memory(problem, network),
    )
