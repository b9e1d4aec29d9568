"""The optimiser of shared weights, as a recipe describes it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from search.algorithms.recipe import SearchRecipe
from search.training.ingredients.optimizers import Groups, decay_groups, make_optimizer


def weight_groups(
    module: nn.Module, recipe: SearchRecipe, without: Iterable[Tensor] = ()
) -> Groups:
    """The shared weights in groups of one weight decay each."""
    return decay_groups(module, recipe.weight_decay, decay_all=recipe.decay_all, without=without)


def weight_optimizer(groups: Groups, recipe: SearchRecipe) -> torch.optim.Optimizer:
    """The optimiser of shared weights, in the groups of `weight_groups` and others."""
    return make_optimizer(
        recipe.optimiser,
        groups,
        rate=recipe.weight_rate,
        momentum=recipe.weight_momentum,
        nesterov=recipe.nesterov,
        rho=recipe.rho,
        epsilon=recipe.epsilon,
    )
