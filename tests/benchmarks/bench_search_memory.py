"""Memory of a step of PARSEC or FP-NAS against training one network.

    python -m tests.benchmarks.bench_search_memory [--space fbnet-mini] [--batch 64]
        [--draws 14] [--steps 5]

Bytes that autograd keeps for the backward pass, the most at once over a step,
parameters left out. Each step draws networks and runs them one after the
other; the same networks are then built and trained alone, and the largest of
them is what the step is compared with: within 10 % is wanted, however many are
drawn. FBNet's step, which keeps all candidates, is shown where it can search
the space. Exit code 1 where the ratio is missed.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from search.algorithms.fp_nas.importance import unique_rows
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.fp_nas.search import WEIGHTS, CategoricalSearch
from search.algorithms.recipes import make_search_recipe
from search.algorithms.registry import load_method
from search.costs.base import Costs
from search.costs.matrix import CostMatrix
from search.operators.counts import count
from search.operators.modules import build_network
from search.selection.exact import network_of
from search.spaces.base import LayeredSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.registry import make_space
from search.training.protocol import Batch
from tests.search.algorithms.saved_activations import SavedBytes
from tests.search.targets import latency_target

WANTED = 0.1


def main() -> int:
    """Print the ratios; 1 where one is off."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="fbnet-mini")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--draws", type=int, default=14)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    space = make_space(options.space, resolution=options.resolution)
    found = ratios(space, options.batch, options.draws, options.steps)
    print(
        f"{space.spec}, batch {options.batch}, {options.draws} draws: a step keeps "
        f"{np.mean(found):.4f} (from {min(found):.4f} to {max(found):.4f}) of what training "
        "the largest network drawn keeps"
    )
    if not isinstance(space, SlicedSpace):
        mixed = _mixing(space, options.batch)
        alone = _alone(space, _largest(space), _batch(space, options.batch, 0))
        print(f"FBNet's step keeps {mixed / alone:.1f} times what the largest network does")
    return int(max(abs(ratio - 1) for ratio in found) > WANTED)


def ratios(space: LayeredSpace, images: int, draws: int, steps: int) -> list[float]:
    """Of the search's peak to the largest drawn network's, one a step."""
    preset = make_search_recipe("fp-nas", "cpu")
    assert isinstance(preset, CategoricalRecipe)
    recipe = replace(preset, draws=draws)
    torch.manual_seed(0)
    method = CategoricalSearch(space, costs_of(space), recipe=recipe)
    method.start_epoch(0)
    found = []
    for step in range(steps):
        batch = _batch(space, images, step)
        state = batch.generator.get_state()
        drawn, _ = unique_rows(method._draw(batch.generator))
        batch.generator.set_state(state)
        searching = _peak(method.module, partial(method.backward, WEIGHTS, batch))
        alone = max(_alone(space, row, batch) for row in drawn.tolist())
        found.append(searching / alone)
    return found


def costs_of(space: LayeredSpace) -> Costs:
    """Multiply-adds in place of latencies."""
    if isinstance(space, SlicedSpace):
        return space.costs(lambda operator: count(operator).flops / 1e3)
    widest = max(len(layer.choices) for layer in space.layers)
    costs = np.full((len(space.layers), widest), np.inf)
    for number, layer in enumerate(space.layers):
        for column, choice in enumerate(layer.choices):
            costs[number, column] = count(choice.operator).flops / 1e3
    return CostMatrix(costs=costs, fixed=0.0)


def _batch(space: LayeredSpace, number: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    size = space.before[0].height
    return Batch(
        images=torch.randn(number, 3, size, size, generator=generator),
        labels=torch.randint(0, space.after[-1].out_channels, (number,), generator=generator),
        generator=generator,
        autocast=nullcontext,
    )


def _peak(module: nn.Module, step: Callable[[], Any]) -> int:
    module.zero_grad(set_to_none=True)
    with SavedBytes(module).watching() as kept:
        step()
    return kept.peak


def _alone(space: LayeredSpace, choices: Sequence[int], batch: Batch) -> int:
    network = build_network(network_of(space, choices, "alone").operators).train()

    def step() -> None:
        nn.functional.cross_entropy(network(batch.images), batch.labels).backward()

    return _peak(network, step)


def _largest(space: LayeredSpace) -> list[int]:
    channels = [
        [choice.operator.mid_channels for choice in layer.choices] for layer in space.layers
    ]
    return [row.index(max(row)) for row in channels]


def _mixing(space: LayeredSpace, images: int) -> int:
    recipe = make_search_recipe("fbnet", "cpu")
    method = load_method("fbnet")(
        space, costs_of(space), recipe=recipe, target=latency_target(1e12)
    )
    method.start_epoch(0)
    return _peak(method.module, lambda: method.backward("weights", _batch(space, images, 0)))


if __name__ == "__main__":
    sys.exit(main())
