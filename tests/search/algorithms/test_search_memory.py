"""A search by samples keeps no more for the backward pass than training one network."""

from collections.abc import Iterator

import pytest
import torch

from search.spaces.registry import make_space
from tests.benchmarks.bench_search_memory import ratios
from tests.search.algorithms.saved_activations import SavedBytes


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_what_is_saved_is_counted_once_and_forgotten_when_it_is_free() -> None:
    layer = torch.nn.Linear(8, 8, bias=False)
    watch = SavedBytes(layer)
    with watch.watching():
        for _ in range(3):
            layer(torch.ones(4, 8)).exp().sum().backward()
    # The input of the product and the result of exp, 4 x 8 floats each; never the weight.
    assert watch.peak == 2 * 4 * 8 * 4


@pytest.mark.parametrize("name", ["fbnet-mini", "fp-nas-mini"])
@pytest.mark.parametrize("draws", [2, 6])
def test_a_step_keeps_as_much_as_training_the_largest_network_drawn(name: str, draws: int) -> None:
    space = make_space(name, resolution=8, classes=4, head_channels=32)
    for ratio in ratios(space, images=4, draws=draws, steps=1):
        assert ratio == pytest.approx(1, abs=0.1)
