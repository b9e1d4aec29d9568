"""Networks that a search came to: collected, judged, chosen, priced."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from search.algorithms.base import SearchAlgorithm
from search.errors import UsageError
from search.pipeline.candidates import (
    Candidate,
    candidate_row,
    candidates_of,
    choose_candidate,
    exact_choice,
)
from search.pipeline.networks.inherited import CALIBRATION_IMAGES, inherited_accuracy
from search.pipeline.networks.judging import rank_candidates
from search.pipeline.problem import TARGET_UTILISATION, SearchProblem, Waivers, load_problem
from search.selection.exact import network_of, select
from search.selection.scores import Scores, from_probabilities
from search.spaces.registry import make_space
from search.supernets.mixture import MixtureSupernet
from tests.search.cli.runner import SPACE, write
from tests.search.training.standins import Pictures

WIDTHS = [len(layer.choices) for layer in SPACE.layers]


class Method:
    """A finished search with a known distribution."""

    name = "method"

    def __init__(self, seed: int = 0, certain: bool = False) -> None:
        draw = torch.rand((len(WIDTHS), 9), generator=torch.Generator().manual_seed(seed))
        legal = torch.arange(9) < torch.tensor(WIDTHS)[:, None]
        weights = draw.double() * legal
        if certain:
            weights = (weights / weights.amax(1, keepdim=True)) ** 10_000
        self._probabilities = weights / weights.sum(1, keepdim=True)

    def probabilities(self) -> Tensor:
        return self._probabilities

    def argmax(self) -> tuple[int, ...]:
        return tuple(self._probabilities.argmax(1).tolist())

    def sample(self, number: int, generator: torch.Generator) -> Sequence[tuple[int, ...]]:
        drawn = torch.multinomial(self._probabilities, number, True, generator=generator)
        return [tuple(row) for row in drawn.t().tolist()]


def candidates(
    method: Method, problem: SearchProblem, *, seed: int, samples: int
) -> list[Candidate]:
    # `Method` has what candidates are read from and nothing to train.
    finished = cast("SearchAlgorithm", method)
    return candidates_of(finished, problem, seed=seed, samples=samples)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tables") / "table")


@pytest.fixture(scope="module")
def free(table: Path) -> SearchProblem:
    return load_problem(table, None, Waivers())


@pytest.fixture(scope="module")
def bound(table: Path) -> SearchProblem:
    return load_problem(table, 6.0, Waivers())


@pytest.fixture(scope="module")
def sure(table: Path) -> SearchProblem:
    return load_problem(table, 6.0, Waivers(), 0.95)


def scores_of(method: Method) -> Scores:
    return from_probabilities(method.probabilities().numpy(), SPACE, "test")


# --- collecting --------------------------------------------------------------


def test_the_exact_choice_is_the_best_network_within_the_target(bound: SearchProblem) -> None:
    scores = scores_of(Method())
    assert exact_choice(scores, bound) == select(scores, bound.matrix, 6000.0).choices


def test_the_exact_choice_is_as_sure_as_was_asked(
    bound: SearchProblem, sure: SearchProblem
) -> None:
    for seed in range(5):
        scores = scores_of(Method(seed))
        network = network_of(SPACE, exact_choice(scores, sure), "sure")
        assert sure.model.estimate(network).probability_below(6000.0) >= 0.95
        assert sure.costs.cost_of([exact_choice(scores, bound)])[0] <= 6000.0


def test_scores_of_another_space_are_refused(bound: SearchProblem) -> None:
    other = make_space("fbnet-mini")
    values = np.where(np.arange(9) < np.array(WIDTHS)[:, None], 0.0, -np.inf)
    with pytest.raises(UsageError, match="belong to the space"):
        exact_choice(Scores(values=values, space=other.spec, origin="elsewhere"), bound)


def test_without_a_target_there_are_the_argmax_and_the_samples(free: SearchProblem) -> None:
    found = candidates(Method(), free, seed=0, samples=6)
    assert [one.origin for one in found] == ["argmax", *(f"sample {n}" for n in range(1, 7))]
    assert found[0].choices == Method().argmax()


def test_with_a_target_the_exact_selection_comes_first(bound: SearchProblem) -> None:
    found = candidates(Method(), bound, seed=0, samples=3)
    assert [one.origin for one in found[:5]] == [
        "exact selection",
        "argmax",
        *(f"sample {n}" for n in (1, 2, 3)),
    ]
    assert found[0].choices == exact_choice(scores_of(Method()), bound)


def test_with_a_target_some_networks_that_use_it_are_drawn(bound: SearchProblem) -> None:
    found = candidates(Method(), bound, seed=0, samples=3)
    near = [one for one in found if one.origin == "near the target"]
    prices_us = bound.costs.cost_of([one.choices for one in near])
    assert len(near) > 10
    assert ((prices_us >= TARGET_UTILISATION * 6000.0) & (prices_us <= 6000.0)).all()


def test_what_the_search_is_sure_of_is_kept_near_the_target(table: Path) -> None:
    method = Method(certain=True, seed=3)
    slow = load_problem(table, 8.0, Waivers())
    price_us = float(slow.costs.cost_of([method.argmax()])[0])
    target = load_problem(table, 1.2 * price_us / 1000, Waivers())
    found = candidates(method, target, seed=0, samples=1)
    near = [one.choices for one in found if one.origin == "near the target"]
    # The argmax is below the band; one or two layers must give way.
    same = [sum(a == b for a, b in zip(one, method.argmax(), strict=True)) for one in near]
    assert near
    assert min(same) >= len(WIDTHS) - 2


def test_a_target_that_no_network_uses_draws_none(table: Path) -> None:
    generous = load_problem(table, 1000.0, Waivers())
    found = candidates(Method(), generous, seed=0, samples=3)
    assert not [one for one in found if one.origin == "near the target"]
    assert choose_candidate(found, generous) == found[0]


def test_equal_networks_are_one_under_all_their_origins(free: SearchProblem) -> None:
    (only,) = candidates(Method(certain=True, seed=3), free, seed=0, samples=2)
    assert only.origin == "argmax, sample 1, sample 2"


def test_a_candidates_log_probability_is_that_of_its_choices(free: SearchProblem) -> None:
    method = Method()
    for one in candidates(method, free, seed=0, samples=6):
        picked = method.probabilities()[torch.arange(len(WIDTHS)), torch.tensor(one.choices)]
        assert one.log_probability == pytest.approx(float(picked.log().sum()))


def test_the_same_seed_draws_the_same_samples(free: SearchProblem) -> None:
    first, again, other = (candidates(Method(), free, seed=seed, samples=6) for seed in (4, 4, 5))
    assert first == again
    assert first != other


# --- judging -----------------------------------------------------------------


class Sorted(Pictures):
    """Images that lie as folders do, class after class; notes which were calibrated on."""

    def __init__(self) -> None:
        super().__init__(4000, 10, side=16)
        self.labels, order = self.labels.sort()
        self.pixels = self.pixels[order]
        self.seen: list[Tensor] = []

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        assert generator is None, "images to judge by are not augmented"
        self.seen.append(indices)
        return super().batch(indices, generator)


@pytest.fixture(scope="module")
def supernet() -> MixtureSupernet:
    torch.manual_seed(0)
    return MixtureSupernet(SPACE)


SMALL = (1, 1, 8, 1, 8, 1)


def test_batch_norm_is_estimated_on_batches_of_all_classes(supernet: MixtureSupernet) -> None:
    images = Sorted()
    learnt, held = torch.arange(0, 4000, 2), torch.arange(1, 200, 2)
    inherited_accuracy(supernet, SMALL, images, learnt, held)
    *calibration, judged = images.seen
    assert torch.equal(judged, held)
    assert sum(map(len, calibration)) == CALIBRATION_IMAGES
    assert all(torch.isin(part, learnt).all() for part in calibration)
    assert all(len(images.labels[part].unique()) == 10 for part in calibration)


def test_judging_leaves_the_supernet_as_it_is_and_repeats_itself(supernet: MixtureSupernet) -> None:
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    images, halves = Pictures(80, 10, side=16), (torch.arange(40), torch.arange(40, 80))
    first = inherited_accuracy(supernet, SMALL, images, *halves)
    assert inherited_accuracy(supernet, SMALL, images, *halves) == first
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())


def test_the_best_judged_comes_first_and_says_how_it_was_judged(supernet: MixtureSupernet) -> None:
    found = [Candidate(origin="one", choices=SMALL), Candidate(origin="two", choices=(0,) * 6)]
    images, halves = Pictures(80, 10, side=16), (torch.arange(40), torch.arange(40, 80))
    ranked = rank_candidates(found, supernet, images, *halves)
    accuracies = [one.accuracy or 0.0 for one in ranked]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {one.scored_by for one in ranked} == {"inherited weights, batch norm recalibrated"}
    assert {one.origin for one in ranked} == {"one", "two"}


# --- choosing ----------------------------------------------------------------

networks = st.tuples(*(st.integers(0, width - 1) for width in WIDTHS))


@given(choices=networks)
def test_the_predicted_latency_is_the_tables_and_the_network_of_the_space(
    bound: SearchProblem, choices: tuple[int, ...]
) -> None:
    found = candidate_row(Candidate(origin="any", choices=choices), bound)
    network = SPACE.architecture(list(found.choices), "any")
    estimate = bound.model.estimate(network)
    assert found.predicted_us == pytest.approx(estimate.value_us, rel=1e-12)
    assert (found.low_us, found.high_us) == (estimate.low_us, estimate.high_us)
    assert found.meets_target == (found.predicted_us <= 6000.0)
    assert found.probability == estimate.probability_below(6000.0)
    assert (found.flops, found.params) == (network.flops, network.params)


def test_the_best_network_within_the_target_is_chosen(
    free: SearchProblem, bound: SearchProblem
) -> None:
    prices = {choices: float(bound.costs.cost_of([choices])[0]) for choices in ((3,) * 6, SMALL)}
    slow, fast = sorted(prices, key=lambda choices: -prices[choices])
    tight = load_problem(bound.table.path or Path(), prices[fast] / 1000, Waivers())
    ranked = [Candidate(origin="best", choices=slow), Candidate(origin="next", choices=fast)]
    assert choose_candidate(ranked, free).origin == "best"
    assert choose_candidate(ranked, tight).origin == "next"


def test_a_network_that_uses_the_target_goes_before_a_fast_one(bound: SearchProblem) -> None:
    prices = {choices: float(bound.costs.cost_of([choices])[0]) for choices in ((3,) * 6, SMALL)}
    slow, fast = sorted(prices, key=lambda choices: -prices[choices])
    assert prices[fast] < TARGET_UTILISATION * prices[slow]
    exactly = load_problem(bound.table.path or Path(), prices[slow] / 1000 + 1e-6, Waivers())
    ranked = [Candidate(origin="fast", choices=fast), Candidate(origin="slow", choices=slow)]
    assert choose_candidate(ranked, exactly).origin == "slow"
    assert choose_candidate(ranked[:1], exactly).origin == "fast"


def test_a_better_network_that_is_less_sure_of_the_target_is_not_chosen(
    bound: SearchProblem, sure: SearchProblem
) -> None:
    generator = np.random.default_rng(0)
    drawn = [tuple(int(x) for x in generator.integers(0, WIDTHS)) for _ in range(500)]
    found = [Candidate(origin=str(n), choices=choices) for n, choices in enumerate(drawn)]
    priced = [(one, candidate_row(one, bound)) for one in found]
    unsure = next(one for one, facts in priced if facts.meets_target and facts.probability < 0.9)
    safe = next(one for one, facts in priced if facts.probability > 0.99)
    assert choose_candidate([unsure, safe], bound) == unsure
    assert choose_candidate([unsure, safe], sure) == safe
    assert not candidate_row(unsure, sure).meets_target


def test_without_a_target_nothing_is_said_about_meeting_it(free: SearchProblem) -> None:
    found = candidate_row(Candidate(origin="any", choices=SMALL), free)
    assert found.meets_target
    assert found.probability is None
