"""Training of one network, and its weights as a file."""

from pathlib import Path

import pytest
import torch

from search.architecture import Architecture, parse_keys
from search.data.base import Data
from search.data.open import open_data
from search.errors import UsageError
from search.operators.modules import build_network
from search.selection.exact import network_of
from search.spaces.registry import make_space
from search.training.compute.precision import Compute
from search.training.evaluate import evaluate
from search.training.recipe import TrainingRecipe
from search.training.retrain import check_network, retrain, write_weights
from search.training.settings import TrainingSettings
from search.zoo import zoo_architecture
from tests.search.cli.runner import SPACE

NETWORK = network_of(SPACE, (0, 1, 8, 0, 8, 1), "small")
SETTINGS = TrainingSettings(batch=25, compute=Compute(device="cpu", threads=1))
RECIPE = TrainingRecipe(batch=25, epochs=2, learning_rate=0.05, schedule="cosine")


@pytest.fixture(scope="module")
def data() -> Data:
    return open_data("digits", resolution=16, limit=100)


def test_the_accuracy_is_that_of_the_weights_as_they_are_written(
    data: Data, tmp_path: Path
) -> None:
    trained = retrain(NETWORK, data, RECIPE, SETTINGS)
    write_weights(trained.network, tmp_path / "weights.pt")
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    network = build_network(NETWORK.operators)
    network.load_state_dict(state)
    found = evaluate(network, data.test)
    assert found.top1 == trained.test.top1
    assert found.loss == pytest.approx(trained.test.loss, rel=1e-5)
    assert trained.test.images == len(data.test)


def test_the_seed_alone_decides_the_weights(data: Data) -> None:
    torch.manual_seed(1)
    first = retrain(NETWORK, data, RECIPE, SETTINGS)
    torch.manual_seed(2)
    again = retrain(NETWORK, data, RECIPE, SETTINGS)
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])
    assert first.test == again.test


def test_training_leaves_torchs_own_generator_alone(data: Data) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    retrain(NETWORK, data, RECIPE, SETTINGS)
    assert torch.equal(torch.rand(1), wanted)


def test_images_of_another_resolution_are_refused(data: Data) -> None:
    other = network_of(make_space("fbnet-mini"), (0,) * 6, "large")
    with pytest.raises(UsageError, match="takes 32 px images, not 16"):
        retrain(other, data, RECIPE, SETTINGS)


def test_images_of_another_number_of_classes_are_refused(data: Data) -> None:
    space = make_space("fbnet-mini", resolution=16, classes=7)
    with pytest.raises(UsageError, match=r"7 classes apart; digits has 10.*--classes"):
        retrain(network_of(space, (0,) * 6, "seven"), data, RECIPE, SETTINGS)


@pytest.mark.parametrize("part", [slice(1, None), slice(0, -1), slice(2, 3)])
def test_a_part_of_a_network_is_refused(part: slice) -> None:
    check_network(NETWORK)
    cut = Architecture(name="cut", operators=NETWORK.operators[part])
    with pytest.raises(UsageError, match="no whole network"):
        check_network(cut)


@pytest.mark.parametrize("name", ["FBNet-A", "FBNet-96-0.35-1", "FBNet-iPhoneX"])
def test_published_networks_are_whole(name: str) -> None:
    check_network(zoo_architecture(name))


def test_the_files_weights_are_plain_and_contiguous(tmp_path: Path) -> None:
    network = build_network(parse_keys([operator.key for operator in NETWORK.operators]))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    write_weights(network, tmp_path / "weights.pt")
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert list(state) == list(network.state_dict())
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in state.values())
