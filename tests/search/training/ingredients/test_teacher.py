"""A network that another one learns from as well."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from search.data.base import Data, PixelScaling
from search.data.open import open_data
from search.data.preprocessing import Preparation, write_preparation
from search.errors import UsageError
from search.operators.modules import build_network
from search.selection.exact import network_of
from search.spaces.registry import make_space
from search.training.compute.precision import Compute
from search.training.ingredients.teacher import Teacher, distillation_loss, read_teacher
from search.training.recipe import TrainingRecipe
from search.training.retrain import retrain, write_weights
from search.training.settings import TrainingSettings
from search.training.single_network import SingleNetworkTraining
from tests.search.cli.runner import SPACE
from tests.search.training.ingredients.test_ingredients import batch_of
from tests.search.training.standins import Pictures, recipe, small_network

NETWORK = network_of(SPACE, (0, 1, 8, 0, 8, 1), "small")


@pytest.fixture(scope="module")
def data() -> Data:
    return open_data("digits", resolution=16, limit=60)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    write_weights(build_network(NETWORK.operators), tmp_path / "teacher.pt")
    return tmp_path / "teacher.pt"


def note(data: Data, **changes: object) -> Preparation:
    values: dict[str, object] = {
        "data": data.name,
        "classes": data.classes,
        "resolution": data.resolution,
        "mean": data.normalisation.mean,
        "std": data.normalisation.std,
    }
    return Preparation(**{**values, **changes})  # type: ignore[arg-type]


def test_the_loss_is_the_divergence_worked_by_hand() -> None:
    pupil, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2 * math.log(3), 0.0]])
    # At T = 2 the teacher says 3/4 and 1/4, the pupil 1/2 twice.
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert distillation_loss(pupil, teacher, 2.0).item() == pytest.approx(expected, rel=1e-6)
    assert distillation_loss(teacher, teacher, 2.0).item() == pytest.approx(0, abs=1e-7)


class _Says(nn.Module):
    """Tells the class of the first pictures' seed for certain."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.labels = labels

    def forward(self, x: Tensor) -> Tensor:
        return 20.0 * nn.functional.one_hot(self.labels[: len(x)], 4).float()


def test_the_share_of_the_teacher_is_in_the_loss() -> None:
    images = Pictures(16)
    plain = TrainingRecipe(batch=8, epochs=2, learning_rate=0.1, schedule="cosine")
    taught = replace(plain, teacher="t", teacher_weights="w", distillation=0.25)
    teacher = Teacher(
        network=_Says(images.labels),
        resolution=6,
        scale=torch.ones(1, 3, 1, 1),
        shift=torch.zeros(1, 3, 1, 1),
        identity="t",
    )
    batch = batch_of(images)
    losses = [
        SingleNetworkTraining(small_network(norm=False), each, teacher=told)
        .backward("weights", batch)
        .loss
        for each, told in ((plain, None), (taught, teacher))
    ]
    # A certain teacher's divergence is the cross entropy itself.
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    wrong = replace(teacher, network=_Says((images.labels + 1) % 4))
    other = SingleNetworkTraining(small_network(norm=False), taught, teacher=wrong)
    assert other.backward("weights", batch).loss != pytest.approx(losses[0], rel=1e-3)


def test_a_network_learns_from_a_teacher_that_stays_as_it_is(data: Data, weights: Path) -> None:
    teacher = read_teacher(NETWORK, weights, data)
    before = {name: tensor.clone() for name, tensor in teacher.network.state_dict().items()}
    wanted = TrainingRecipe(
        batch=20,
        epochs=2,
        learning_rate=0.05,
        schedule="cosine",
        teacher="teacher.json",
        teacher_weights=str(weights),
    )
    settings = TrainingSettings(batch=20, compute=Compute(device="cpu", threads=1))
    taught = retrain(NETWORK, data, wanted, settings, teacher=teacher)
    alone = retrain(NETWORK, data, replace(wanted, teacher="", teacher_weights=""), settings)
    assert taught.test.loss != alone.test.loss
    after = teacher.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_teacher_sees_images_as_it_was_trained_on_them(data: Data, weights: Path) -> None:
    scaling = PixelScaling(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    write_preparation(note(data, mean=scaling.mean, std=scaling.std), weights)
    teacher = read_teacher(NETWORK, weights, data)
    pixels = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        expected = teacher.network(scaling.apply(pixels))
    found = teacher.logits(data.normalisation.apply(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_teacher_of_another_resolution_sees_scaled_images(weights: Path) -> None:
    small = open_data("digits", resolution=8, limit=60)
    teacher = read_teacher(NETWORK, weights, small)
    assert teacher.logits(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_a_teacher_of_another_number_of_classes_is_refused(data: Data, weights: Path) -> None:
    seven = network_of(make_space("fbnet-mini", resolution=16, classes=7), (0,) * 6, "seven")
    with pytest.raises(UsageError, match="seven tells 7 classes apart; digits has 10"):
        read_teacher(seven, weights, data)


def test_a_teacher_of_other_classes_is_refused(data: Data, weights: Path) -> None:
    others = tuple(f"animal {number}" for number in range(10))
    write_preparation(note(data, classes=others), weights)
    with pytest.raises(UsageError, match="trained on other classes"):
        read_teacher(NETWORK, weights, data)


def test_files_that_hold_no_weights_of_the_teacher_are_refused(
    data: Data, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_teacher(NETWORK, tmp_path / "nowhere.pt", data)
    other = network_of(SPACE, (3, 1, 8, 0, 8, 1), "other")
    with pytest.raises(UsageError, match="does not hold weights"):
        read_teacher(other, weights, data)
    state = torch.load(weights, weights_only=True)
    next(iter(state.values())).fill_(math.nan)
    torch.save(state, weights)
    with pytest.raises(UsageError, match="are NaN"):
        read_teacher(NETWORK, weights, data)


def test_a_recipes_teacher_must_be_read_before() -> None:
    with pytest.raises(UsageError, match="was not read"):
        SingleNetworkTraining(small_network(), recipe(teacher="t", teacher_weights="w"))
