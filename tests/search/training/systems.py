"""Every search method of the kit, small: a few narrow layers on small images."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from search.algorithms.base import SearchAlgorithm
from search.algorithms.recipe import SearchRecipe
from search.algorithms.recipes import make_search_recipe
from search.algorithms.registry import load_method
from search.costs.base import Costs
from search.costs.matrix import CostMatrix
from search.operators.counts import count
from search.spaces.base import LayeredSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.registry import make_space
from tests.search.targets import latency_target

SIDE = 8
# With every method's shares each last batch of 8 has two images a process.
NUMBER = 40
TARGET_SHARE = 1.5


def _space(name: str) -> LayeredSpace:
    free = name.startswith(("fbnetv2", "fp-nas"))
    return make_space(
        name, resolution=SIDE, width=1.0 if free else 0.35, classes=4, head_channels=16
    )


def _costs(space: LayeredSpace) -> Costs:
    if isinstance(space, MaskedSpace | SlicedSpace):
        return space.costs(lambda operator: count(operator).flops / 10, 50.0)
    widths = np.array([len(layer.choices) for layer in space.layers])
    prices = np.random.default_rng(0).uniform(300, 900, (len(widths), widths.max()))
    legal = np.arange(widths.max()) < widths[:, None]
    for row, layer in zip(prices, space.layers, strict=True):
        for column, choice in enumerate(layer.choices):
            row[column] = 0.0 if choice.is_skip else row[column]
    return CostMatrix(costs=np.where(legal, prices, np.inf), fixed=500.0)


def _system(algorithm: str, name: str) -> Callable[[int], SearchAlgorithm]:
    def make(seed: int = 0) -> SearchAlgorithm:
        space = _space(name)
        costs = _costs(space)
        recipe: SearchRecipe = replace(
            make_search_recipe(algorithm, "cpu"), epochs=2, batch=8, freeze_epochs=1
        )
        if algorithm == "fp-nas":  # the joint form comes with the second epoch
            recipe = replace(recipe, joint_epoch=1)  # type: ignore[call-arg]
        if algorithm == "parsec":
            recipe = replace(recipe, draws=4, likelihood_images=None)  # type: ignore[call-arg]
        torch.manual_seed(seed)
        target_us = TARGET_SHARE * costs.cheapest()
        return load_method(algorithm)(space, costs, recipe=recipe, target=latency_target(target_us))

    return make


SYSTEMS = {
    f"{algorithm} on {name}": _system(algorithm, name)
    for algorithm, name in (
        ("fp-nas", "fbnet-mini"),
        ("fp-nas", "fp-nas-mini"),
        ("parsec", "fbnet-mini"),
        ("single-path", "single-path-mini"),
        ("fbnetv2", "fbnetv2-mini"),
    )
}
