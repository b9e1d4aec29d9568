"""Training and judging one fixed network."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from search.errors import UsageError
from search.operators.modules import build_network
from search.recipes.document import recipe_names
from search.spaces.base import LayeredSpace
from search.training.compute.precision import Compute
from search.training.compute.seeds import generator_for
from search.training.evaluate import evaluate
from search.training.protocol import Batch
from search.training.recipe import TrainingRecipe, make_training_recipe
from search.training.single_network import SingleNetworkTraining
from tests.search.training.standins import Pictures, recipe, run, small_network


def batch_of(images: Pictures, seed: int = 0, fraction: float = 0.0) -> Batch:
    pixels, labels = images.batch(torch.arange(len(images)), None)
    autocast = Compute(device="cpu").autocast(torch.device("cpu"))
    return Batch(
        images=pixels,
        labels=labels,
        generator=generator_for(seed),
        autocast=autocast,
        fraction=fraction,
    )


def test_a_network_of_the_space_learns_and_keeps_the_names_of_its_state(
    mini: LayeredSpace,
) -> None:
    chosen = [layer.choices[0].name for layer in mini.layers]
    network = build_network(mini.architecture(chosen).operators)
    names = list(network.state_dict())
    images = Pictures(24)
    images.pixels = images.pixels.repeat(1, 1, 5, 5)
    before = evaluate(network, images).loss
    algorithm = SingleNetworkTraining(network, recipe(epochs=2, learning_rate=0.02))
    lines = run(algorithm, images=images)
    assert list(network.state_dict()) == names
    assert algorithm.module is network
    assert lines[-1].cross_entropy < before


def test_training_reaches_what_the_images_allow() -> None:
    algorithm = SingleNetworkTraining(small_network(), recipe(epochs=8, dropout=0.0))
    run(algorithm, images=Pictures(160))
    assert evaluate(algorithm.module, Pictures(160)).top1 > 0.95


# --- dropout and smoothing ----------------------------------------------------------


def test_dropout_depends_on_the_generator_and_is_off_outside_training() -> None:
    images = Pictures(16)
    algorithm = SingleNetworkTraining(
        small_network(norm=False), recipe(dropout=0.5, label_smoothing=0.0)
    )
    losses = [algorithm.backward("weights", batch_of(images, seed)).loss for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    expected = small_network(norm=False)(images.pixels)
    assert torch.equal(algorithm.module(images.pixels), expected)


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    class Tap(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(x), 5000)

    linear = nn.Linear(5000, 4)
    seen = []
    algorithm = SingleNetworkTraining(nn.Sequential(Tap(), linear), recipe(dropout=0.2))
    linear.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    algorithm.backward("weights", batch_of(Pictures(8)))
    assert set(seen[0].unique().tolist()) == {0.0, 1.25}
    assert seen[0].mean() == pytest.approx(1.0, abs=0.02)


def test_dropout_without_a_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="dropout"):
        SingleNetworkTraining(nn.Sequential(nn.Conv2d(3, 4, 1)), recipe())


def test_smoothing_changes_the_loss_and_not_the_cross_entropy() -> None:
    images = Pictures(16)
    reports = [
        SingleNetworkTraining(small_network(), recipe(dropout=0.0, label_smoothing=share)).backward(
            "weights", batch_of(images)
        )
        for share in (0.0, 0.3)
    ]
    assert reports[0].loss == reports[0].cross_entropy == reports[1].cross_entropy
    assert reports[1].loss != reports[1].cross_entropy
    assert reports[0].correct == reports[1].correct


# --- optimiser and rate ----------------------------------------------------------


def test_batch_norm_and_biases_are_spared_from_decay_only_when_asked() -> None:
    network = small_network()
    (every,) = (
        SingleNetworkTraining(network, recipe(decay_all=True)).optimizer("weights").param_groups
    )
    assert len(every["params"]) == 5
    decayed, spared = (
        SingleNetworkTraining(network, recipe(decay_all=False)).optimizer("weights").param_groups
    )
    assert [list(p.shape) for p in decayed["params"]] == [[6, 3, 3, 3], [4, 24]]
    assert [list(p.shape) for p in spared["params"]] == [[6], [6], [4]]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (1e-3, 0.0)


def test_every_step_has_the_rate_of_its_place() -> None:
    algorithm = SingleNetworkTraining(small_network(), recipe())
    algorithm.start_epoch(2)
    algorithm.backward("weights", batch_of(Pictures(8), fraction=0.25))
    rates = {group["lr"] for group in algorithm.optimizer("weights").param_groups}
    assert rates == {recipe().rate(2.25)}
    assert algorithm.progress() == {"learning_rate": recipe().rate(2.25)}


def test_the_papers_recipe_is_as_printed() -> None:
    found = make_training_recipe("paper")
    assert (found.batch, found.epochs, found.momentum, found.nesterov) == (256, 360, 0.9, False)
    assert (found.weight_decay, found.decay_all, found.dropout) == (4e-5, True, 0.2)
    assert found.label_smoothing == 0
    expected = {0: 0.1, 89.99: 0.1, 90: 0.01, 180: 0.001, 270: 1e-4, 359.9: 1e-4}
    assert {at: found.rate(at) for at in expected} == pytest.approx(expected)


@given(st.floats(0, 1), st.integers(1, 50), st.floats(0, 5))
def test_a_cosine_rate_rises_then_falls_within_its_bounds(
    share: float, epochs: int, warmup: float
) -> None:
    found = recipe(epochs=epochs, warmup_epochs=min(warmup, epochs / 2))
    at = share * epochs
    later = min(at + 0.01 * epochs, epochs)
    assert 0 <= found.rate(at) <= found.learning_rate
    if later <= found.warmup_epochs:
        assert found.rate(at) <= found.rate(later)
    elif at >= found.warmup_epochs:
        assert found.rate(at) >= found.rate(later)
    assert found.rate(found.warmup_epochs) == pytest.approx(found.learning_rate)
    assert found.rate(epochs) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", recipe_names())
def test_presets_make_new_recipes_by_name(name: str) -> None:
    assert isinstance(make_training_recipe(name), TrainingRecipe)
    assert make_training_recipe(name) == make_training_recipe(name)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cpu, cpu-judged, fbnet"):
        make_training_recipe("papr")


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": "line"},
        {"batch": 1},
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"dropout": 1.0},
        {"label_smoothing": -0.1},
        {"weight_decay": -1.0},
        {"momentum": 1.0},
        {"warmup_epochs": -1.0},
    ],
)
def test_a_recipe_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        recipe(**wrong)


# --- accuracy --------------------------------------------------------------------


class Says(nn.Module):
    """Returns the logits it was made with, by the first pixel of each image."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits[x[:, 0, 0, 0].long()]


def numbered(labels: list[int]) -> Pictures:
    images = Pictures(len(labels))
    images.labels = torch.tensor(labels)
    images.pixels = torch.arange(len(labels)).float().view(-1, 1, 1, 1).expand(-1, 3, 6, 6)
    return images


@pytest.mark.parametrize("size", [1, 3, 256])
def test_accuracy_counts_first_guesses_and_guesses_among_five(size: int) -> None:
    logits = torch.tensor([[7.0, 6, 5, 4, 3, 2, 1]]).repeat(4, 1)
    found = evaluate(Says(logits), numbered([0, 4, 5, 0]), size)
    assert (found.top1, found.top5, found.images) == (0.5, 0.75, 4)
    expected = nn.functional.cross_entropy(logits, torch.tensor([0, 4, 5, 0]))
    assert found.loss == pytest.approx(expected.item(), rel=1e-6)


def test_with_five_classes_or_fewer_a_guess_is_always_among_five() -> None:
    assert evaluate(Says(torch.zeros(3, 2)), numbered([0, 1, 1])).top5 == 1.0


def test_only_the_chosen_images_are_judged() -> None:
    logits = torch.eye(4) * 9
    found = evaluate(Says(logits), numbered([0, 3, 2, 1]), indices=torch.tensor([0, 2]))
    assert (found.top1, found.images) == (1.0, 2)


def test_judging_changes_neither_statistics_nor_modes() -> None:
    network = small_network(dropout=0.5).train()
    network[1].eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    one, again = evaluate(network, Pictures()), evaluate(network, Pictures(), 7)
    assert one.top1 == again.top1
    assert one.loss == pytest.approx(again.loss)
    assert [module.training for module in network] == [True, False] + 5 * [True]
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_judging_on_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no images"):
        evaluate(small_network(), Pictures(), indices=torch.tensor([], dtype=torch.int64))


def test_watched_images_are_told_and_decide_nothing() -> None:
    alone = SingleNetworkTraining(small_network(), recipe(epochs=3))
    watched = SingleNetworkTraining(
        small_network(), recipe(epochs=3), watch=Pictures(20, seed=9), watch_every=2
    )
    run(alone)
    lines = run(watched)
    assert ["test_accuracy" in line.progress for line in lines] == [False, True, True]
    assert (
        lines[-1].progress["test_accuracy"] == evaluate(watched.module, Pictures(20, seed=9)).top1
    )
    for one, other in zip(alone.module.parameters(), watched.module.parameters(), strict=True):
        assert torch.equal(one, other)
