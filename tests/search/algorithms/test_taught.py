"""Searches whose weights learn from changed images and networks, and from a teacher."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.fp_nas.search import CategoricalSearch
from search.algorithms.recipes import open_recipe, search_recipe
from search.algorithms.taught import TaughtSearch
from search.errors import UsageError
from search.latency.space_costs import counted_costs
from search.spaces.registry import make_space
from search.training.ingredients.lessons import lesson_loss
from search.training.ingredients.teacher import Teacher
from search.training.protocol import Batch, StepReport
from tests.search.algorithms.test_averages import averaged_search
from tests.search.algorithms.test_path_sampling import CATEGORICAL, batch_of, search_of

KINDS = ("fbnet", "fp-nas")


class Listens:
    """In place of a search's `backward`: what it was given."""

    def __init__(self, method: Any) -> None:
        self.heard: list[Batch] = []
        self.seen: list[Tensor] = []
        self._module = method.module.supernet
        method.backward = self

    def __call__(self, phase: str, batch: Batch) -> StepReport:
        del phase
        self.heard.append(batch)
        return StepReport(loss=0.0, cross_entropy=0.0, correct=0, images=len(batch.labels))


class Says(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.eye(4)[torch.arange(len(images)) % 4]


def taught(method: Any, changes: dict[str, Any], told: Teacher | None = None) -> TaughtSearch:
    return TaughtSearch(method, replace(method.recipe, **changes), told, recompute=False)


def a_teacher() -> Teacher:
    one = torch.ones(1, 3, 1, 1)
    return Teacher(network=Says(), resolution=8, scale=one, shift=0 * one, identity="t")


def test_weights_learn_from_changed_images_and_the_architecture_from_plain_ones() -> None:
    method = search_of("fbnet")
    heard = Listens(method).heard
    search = taught(method, {"mixup": 0.4, "erasing": 1.0})
    for phase in ("weights", "theta"):
        search.backward(phase, batch_of(seed=3))
    lesson, plain = heard
    original = batch_of(seed=3)
    assert torch.equal(plain.images, original.images)
    assert (plain.other, plain.kept) == (None, 1.0)
    assert not torch.equal(lesson.images, original.images)
    assert torch.equal(lesson.labels, original.labels)
    assert lesson.other is not None
    assert sorted(lesson.other.tolist()) == sorted(original.labels.tolist())
    assert 0 < lesson.kept < 1


def test_a_recipe_without_changes_trains_as_the_search_alone() -> None:
    plain, wrapped = search_of("fbnet"), search_of("fbnet")
    search = taught(wrapped, {})
    for method in (plain, search):
        method.start_epoch(2)
    reports = [method.backward("weights", batch_of(seed=4)) for method in (plain, search)]
    assert reports[0] == reports[1]
    assert search.phases(3) == plain.phases(3)
    assert (search.name, search.epochs, search.splits) == ("fbnet", plain.epochs, plain.splits)
    assert search.progress() == pytest.approx(plain.progress())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [{"mixup": 1.0}, {"dropout": 0.5}, {"drop_path": 0.5}])
def test_what_changes_at_random_comes_from_the_steps_generator(kind: str, change: Any) -> None:
    losses = []
    for seed in (1, 1, 2):
        search = taught(search_of(kind), change)
        search.start_epoch(3)
        losses.append(search.backward("weights", batch_of(seed=seed)).loss)
    plain = search_of(kind)
    plain.start_epoch(3)
    assert losses[0] == losses[1] != losses[2]
    assert losses[0] != plain.backward("weights", batch_of(seed=1)).loss


@pytest.mark.parametrize("kind", ["fbnetv2", "single-path"])
def test_dropout_works_and_paths_that_are_parts_cannot_be_dropped(kind: str) -> None:
    side = 16 if kind == "fbnetv2" else 8
    losses = []
    for change in ({}, {"dropout": 0.9}):
        search = taught(averaged_search(kind, 0.0), change)
        search.start_epoch(3)
        losses.append(search.backward("weights", batch_of(side, seed=1)).loss)
    assert losses[0] != losses[1]
    with pytest.raises(UsageError, match=rf"run blocks in parts.*{kind}\.drop_path to 0"):
        taught(averaged_search(kind, 0.0), {"drop_path": 0.2})


def test_slices_leave_nothing_out() -> None:
    torch.manual_seed(0)
    space = make_space("fp-nas-mini", resolution=16, classes=4)
    recipe = CategoricalRecipe(**CATEGORICAL)
    for key in ("dropout", "drop_path"):
        search = CategoricalSearch(space, counted_costs(space, "flops"), recipe=recipe)
        with pytest.raises(UsageError, match=f"{key} has nothing to leave out"):
            taught(search, {key: 0.5})


def test_nothing_is_left_out_where_the_architecture_learns() -> None:
    losses = []
    for change in ({}, {"dropout": 0.9, "drop_path": 0.9}):
        search = taught(search_of("fbnet"), change)
        search.start_epoch(3)
        losses.append(search.backward("theta", batch_of(seed=1)).loss)
    assert losses[0] == losses[1]


def test_a_teacher_has_its_share_of_the_loss() -> None:
    method = search_of("fbnet")
    heard = Listens(method).heard
    changes = {"teacher": "t.json", "teacher_weights": "t.pt", "distillation": 0.25}
    taught(method, changes, a_teacher()).backward("weights", batch_of(seed=1))
    (lesson,) = heard
    logits = torch.randn(6, 4)
    own = nn.functional.cross_entropy(logits, lesson.labels)
    said = Says()(lesson.images)
    divergence = nn.functional.kl_div(logits.log_softmax(1), said.softmax(1), reduction="batchmean")
    expected = 0.75 * own + 0.25 * divergence
    torch.testing.assert_close(lesson_loss(lesson, logits, 0.0), expected)


def test_what_cannot_be_is_refused() -> None:
    method = search_of("fbnet")
    recipe = replace(method.recipe, drop_path=0.2)
    with pytest.raises(UsageError, match="computes activations twice"):
        TaughtSearch(method, recipe, None, recompute=True)
    with pytest.raises(UsageError, match=r"teacher t\.json was not read"):
        taught(method, {"teacher": "t.json", "teacher_weights": "t.pt"})
    search = search_of("fbnet")
    for layer in search.module.supernet.modules():
        layer.residual = False
    with pytest.raises(UsageError, match=r"no block that adds its input.*fbnet\.drop_path"):
        taught(search, {"drop_path": 0.2})
    wrong: dict[str, Any]
    for wrong in ({"policy": "x"}, {"teacher": "t.json"}, {"schedule": "x"}, {"erasing": 2.0}):
        with pytest.raises(UsageError):
            FBNetRecipe(**wrong)


@pytest.mark.parametrize("method", ["fbnet", "fbnetv2", "fp-nas", "parsec", "single-path"])
def test_the_keys_reach_every_search(method: str) -> None:
    settings = (
        "augment.policy=randaugment",
        "augment.mixup=0.2",
        "dropout=0.1",
        "distillation.share=0.3",
        "schedule.name=steps",
        "schedule.milestones=[0.5, 0.75]",
        "schedule.factor=0.1",
    )
    recipe = search_recipe(open_recipe("cpu", settings, method), method, epochs=8)
    assert (recipe.policy, recipe.mixup, recipe.dropout) == ("randaugment", 0.2, 0.1)
    assert recipe.distillation == 0.3
    assert recipe.milestones == (4.0, 6.0)
    rates = [recipe.weight_rate_at(epoch) / recipe.weight_rate for epoch in (3.9, 4, 6)]
    assert rates == pytest.approx([1.0, 0.1, 0.01])
