"""FBNet's search finds a planted optimum, on each of two devices its own."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import FBNetSearch
from search.selection.exact import select
from search.supernets.mixture import MixtureSupernet
from tests.search.algorithms import planted
from tests.search.algorithms.training_walk import walk
from tests.search.targets import latency_target

pytestmark = pytest.mark.thorough

RECIPE = FBNetRecipe(
    epochs=20,
    batch=100,
    weight_rate=0.05,
    theta_rate=0.05,
    freeze_epochs=3,
    annealing=0.2,
    multiplier=1.0,
    multiplier_rate=0.05,
)
NUMBER = 4000


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def search(table: str, seed: int) -> tuple[int, ...]:
    """The network selected on this device."""
    torch.manual_seed(seed)
    method = FBNetSearch(
        planted.PlantedSpace(),
        planted.costs(table),
        recipe=RECIPE,
        target=latency_target(planted.TARGET_US),
        build=planted.build,
    )
    x, y = planted.images(NUMBER, torch.Generator().manual_seed(100 + seed))
    own = int(method.splits[0] * NUMBER)
    walk(method, [(x[:own], y[:own]), (x[own:], y[own:])], RECIPE.batch, seed=seed)
    return select(method.scores().numpy(), planted.costs(table), planted.TARGET_US).choices


def test_the_known_optimum_is_found_in_5_of_6_runs_and_own_networks_are_faster() -> None:
    found = {(table, seed): search(table, seed) for table in planted.TABLES for seed in range(3)}
    right = [choices == planted.OPTIMA[table] for (table, _), choices in found.items()]
    assert sum(right) >= 5, found
    for seed, (own, other) in itertools.product(range(3), (("A", "B"), ("B", "A"))):
        price = planted.costs(own).cost_of([found[own, seed], found[other, seed]])
        assert price[0] < price[1], found


def accuracy(choices: tuple[int, ...]) -> float:
    """Of one network, trained alone and asked about unseen images."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = MixtureSupernet(planted.PlantedSpace(), build=planted.build).derive(choices)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    x, y = planted.images(2000, generator)
    for _ in range(6):
        for chosen in torch.randperm(len(y), generator=generator).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()
    x, y = planted.images(1000, generator, mislabelled=0.0)
    with torch.no_grad():
        return float((network.eval()(x).argmax(1) == y).float().mean())


def test_only_networks_with_a_wide_kernel_can_solve_the_planted_problem() -> None:
    assert accuracy((0, 0, 0)) < 0.6
    assert accuracy((1, 0, 0)) > 0.9
    assert accuracy((0, 0, 1)) > 0.9


@pytest.mark.parametrize("table", planted.TABLES)
def test_the_planted_optimum_is_the_only_able_network_within_the_target(table: str) -> None:
    networks = list(itertools.product((0, 1), repeat=3))
    prices = planted.costs(table).cost_of(networks)
    able = [
        network
        for network, us in zip(networks, prices, strict=True)
        if us <= planted.TARGET_US and any(network)
    ]
    assert able == [planted.OPTIMA[table]]
    other = next(found for name, found in planted.OPTIMA.items() if name != table)
    assert planted.costs(table).cost_of([other, able[0]]).tolist() == [500.0, 320.0]
