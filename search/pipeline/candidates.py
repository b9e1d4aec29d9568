"""Networks that a search came to, ranked with the weights they share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from search.algorithms.base import Searching
from search.costs.terms import TermCosts, draw_within, likeliest_within
from search.data.base import ImageSet
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.pipeline.problem import USED, Task
from search.pipeline.result import Candidate
from search.selection.chance_constrained import select_with_confidence
from search.selection.exact import network_of, select
from search.selection.sampling import feasible_sampler
from search.selection.scores import Array, Scores, from_probabilities
from search.supernets.batch_norm import recalibrate
from search.training.evaluate import Accuracy, evaluate
from search.training.seeds import generator_for

# Once-for-All (arXiv 1908.09791) estimates batch norm on some 2,000 images.
CALIBRATION_IMAGES = 2000
_BATCH = 250
_NEAR_SAMPLES = 24
# What the search has ruled out comes back only where nothing else is left.
_LEAST = 1e-6


class Shared(Protocol):
    """Weights that all networks of a space share."""

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One network of the space, where it came from, and how it did."""

    origin: str
    choices: tuple[int, ...]
    log_probability: float | None = None
    accuracy: float | None = None
    scored_by: str | None = None
    failed: str | None = None


def exact_choice(scores: Scores, task: Task) -> tuple[int, ...]:
    """The best network by these scores that meets the task's target, as surely as it asks.

    In a space of masked variables it is a good one (`search.costs.terms`).

    Args:
        scores: Of the task's space.
        task: Has a target.

    Raises:
        UsageError: No network meets it.
    """
    assert task.limit is not None
    scores.require(task.space)
    if isinstance(task.costs, TermCosts):
        return likeliest_within(scores.values, task.costs, task.limit)
    if task.probability is None or task.target_us is None:
        return select(scores, task.costs, task.limit).choices
    return select_with_confidence(
        scores, task.model, task.space, task.target_us, task.probability
    ).choices


def candidates_of(method: Searching, task: Task, *, seed: int, samples: int) -> list[Found]:
    """Samples (FBNet: six) and the argmax; with a target, the exact selection first.

    With a target there are also samples of the same distribution among the
    networks that use nearly all of it. Equal networks are one, under all
    their origins and the choices of the first.
    """
    probabilities = method.probabilities().double().numpy()
    scores = from_probabilities(probabilities, task.space, f"log-probabilities of {method.name}")
    named: list[tuple[str, tuple[int, ...]]] = []
    if task.limit is not None:
        word = "selection" if isinstance(task.costs, TermCosts) else "exact selection"
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
        Found(
            origin=", ".join(words),
            choices=choices,
            log_probability=float(sum(scores.values[k, c] for k, c in enumerate(choices))),
        )
        for choices, words in origins.items()
    ]


def _near_target(probabilities: Array, task: Task, seed: int) -> list[tuple[int, ...]]:
    """Drawn from the distribution, given that a network uses nearly all of the target."""
    if task.limit is None:
        return []
    low, chance = USED * task.limit, np.random.default_rng(seed)
    weights = np.maximum(probabilities, _LEAST)
    try:
        if isinstance(task.costs, TermCosts):
            drawn = draw_within(weights, task.costs, (low, task.limit), _NEAR_SAMPLES, chance)
        else:
            sampler = feasible_sampler(task.costs, task.limit, low, weights)
            drawn = sampler.draw(_NEAR_SAMPLES, chance)
    except UsageError:  # No network is that slow.
        return []
    return [tuple(row) for row in drawn.tolist()]


def inherited_accuracy(
    shared: Shared, choices: Sequence[int], images: ImageSet, learnt: Tensor, held: Tensor
) -> float:
    """Top-1 of one network with the shared weights on images that trained none.

    Args:
        shared: Trained.
        choices: The network.
        images: Training images.
        learnt: Those that trained the weights; batch norm is estimated on some.
        held: Those to judge on.
    """
    return _inherited(shared, choices, images, learnt, held).top1


def inherited_entropy(
    shared: Shared, choices: Sequence[int], images: ImageSet, learnt: Tensor, held: Tensor
) -> float:
    """Likewise the mean cross entropy, which tells networks apart on fewer images."""
    return _inherited(shared, choices, images, learnt, held).loss


def _inherited(
    shared: Shared, choices: Sequence[int], images: ImageSet, learnt: Tensor, held: Tensor
) -> Accuracy:
    network = shared.derive(choices)
    device = next(network.parameters()).device
    recalibrate(network, _pixels(images, _some(learnt), device))
    return evaluate(network, images, _BATCH, indices=held)


def _some(learnt: Tensor) -> Tensor:
    """A random part in random order: in folders, neighbours are of one class."""
    order = torch.randperm(len(learnt), generator=generator_for("calibration"))
    return learnt[order[:CALIBRATION_IMAGES]]


def _pixels(images: ImageSet, indices: Tensor, device: torch.device) -> Iterator[Tensor]:
    # Whole batches of one size, so that their plain average is right.
    whole = indices[: len(indices) // _BATCH * _BATCH] if len(indices) >= _BATCH else indices
    for part in whole.split(_BATCH):  # type: ignore[no-untyped-call]
        yield images.batch(part, None)[0].to(device)


def rank(
    found: Iterable[Found], shared: Shared, images: ImageSet, learnt: Tensor, held: Tensor
) -> list[Found]:
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


def choose(ranked: Sequence[Found], task: Task) -> Found:
    """The best one; with a target, of those that meet it, and use it where any does."""
    if task.limit is None:
        return ranked[0]
    within = [one for one in ranked if describe(one, task).meets_target]
    prices = task.costs.price([one.choices for one in within])
    using = [one for one, price in zip(within, prices, strict=True) if task.used_by(price)]
    return (using or within)[0]


def describe(found: Found, task: Task) -> Candidate:
    """The network in numbers, priced by the task's table."""
    network = network_of(task.space, found.choices, found.origin)
    estimate = task.model.estimate(network)
    price = float(task.costs.price([found.choices])[0])
    return Candidate(
        origin=found.origin,
        choices=tuple(
            layer.choices[number].name
            for layer, number in zip(task.space.layers, found.choices, strict=True)
        ),
        predicted_us=price if task.costs.unit == "us" else estimate.value_us,
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
