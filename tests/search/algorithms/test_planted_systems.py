"""FP-NAS, PARSEC and Single-Path NAS find the planted optimum, on each device its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from search.algorithms.base import SearchAlgorithm
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.fp_nas.search import CategoricalSearch, Parsec
from search.algorithms.single_path.recipe import SinglePathRecipe
from search.algorithms.single_path.search import SinglePathSearch
from search.selection.exact import select
from search.selection.scores import from_probabilities
from tests.search.algorithms import planted
from tests.search.algorithms.planted_super import PlantedSuperLayer
from tests.search.algorithms.training_walk import walk
from tests.search.targets import latency_target

pytestmark = pytest.mark.thorough

SPACE = planted.PlantedSpace()
NUMBER, BATCH = 1600, 50
FP_NAS = CategoricalRecipe(
    epochs=24,
    batch=BATCH,
    weight_rate=0.05,
    weight_share=0.7,
    freeze_epochs=4,
    joint_epoch=8,
    alpha_rate=0.05,
    beta_rate=0.06,
    likelihood_images=20.0,
    baseline=True,
)
SINGLE_PATH = SinglePathRecipe(
    epochs=20,
    batch=BATCH,
    weight_rate=0.05,
    weight_share=0.9,
    freeze_epochs=5,
    optimiser="sgd",
    schedule="cosine",
    label_smoothing=0.0,
    multiplier_rate=0.01,
    norm="rms",
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fp_nas(table: str) -> SearchAlgorithm:
    return CategoricalSearch(
        SPACE,
        planted.costs(table),
        recipe=FP_NAS,
        target=latency_target(planted.TARGET_US),
        build=planted.build,
    )


def parsec(table: str) -> SearchAlgorithm:
    return Parsec(
        SPACE,
        planted.costs(table),
        recipe=replace(FP_NAS, draws=4, joint_epoch=0),
        target=latency_target(planted.TARGET_US),
        build=planted.build,
    )


def single_path(table: str) -> SearchAlgorithm:
    return SinglePathSearch(
        SPACE,
        planted.costs(table),
        recipe=SINGLE_PATH,
        target=latency_target(planted.TARGET_US),
        build=planted.build,
        layer=PlantedSuperLayer,
    )


def search(make: Callable[[str], SearchAlgorithm], table: str, seed: int) -> tuple[int, ...]:
    """The network selected on this device."""
    torch.manual_seed(seed)
    method = make(table)
    x, y = planted.images(NUMBER, torch.Generator().manual_seed(100 + seed))
    own = int(method.splits[0] * NUMBER)
    walk(method, [(x[:own], y[:own]), (x[own:], y[own:])], BATCH, seed=seed)
    scores = from_probabilities(method.probabilities().numpy(), SPACE, "test")
    return select(scores.values, planted.costs(table), planted.TARGET_US).choices


@pytest.mark.parametrize("make", [fp_nas, parsec, single_path])
def test_each_device_gets_the_known_optimum_which_is_slower_on_the_other(
    make: Callable[[str], SearchAlgorithm],
) -> None:
    # One seed: with three, each method finds six of six, in some minutes.
    found = {table: search(make, table, seed=0) for table in planted.TABLES}
    assert found == planted.OPTIMA
    for own, other in (("A", "B"), ("B", "A")):
        price = planted.costs(own).cost_of([found[own], found[other]])
        assert price[0] < price[1]
