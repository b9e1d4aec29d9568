"""The average of shared weights over a search, which is then what networks inherit."""

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from search.algorithms.recipe import SearchRecipe
from search.training.ingredients.average import share_of

# Of a method's module; its names in a state dict are those of the weights, with this before them.
AVERAGES = "averages"
_DOT = "/"


class WeightAverages(nn.Module):
    """Exponential moving averages of weights, as buffers; moved after each step of an optimiser.

    What a step leaves as it is still moves its average, as in a training of one network.

    Args:
        weights: By their names in the supernet.
        decay: As of `search.training.ingredients.average.AveragedNetwork`.
    """

    updates: Tensor

    def __init__(self, weights: Mapping[str, nn.Parameter], decay: float) -> None:
        super().__init__()
        self._weights, self._decay = dict(weights), decay
        for name, weight in weights.items():
            self.register_buffer(name.replace(".", _DOT), weight.detach().clone())
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, *_: object) -> None:
        """Move the averages; for a hook after the optimiser's step."""
        self.updates.add_(1)
        share = share_of(self._decay, int(self.updates))
        torch._foreach_lerp_(self._averages(), list(self._weights.values()), share)

    @torch.no_grad()
    def settle(self) -> None:
        """Write every average into its weight, which then is what the supernet computes with."""
        for weight, average in zip(self._weights.values(), self._averages(), strict=True):
            weight.copy_(average)

    def _averages(self) -> list[Tensor]:
        return [self.get_buffer(name.replace(".", _DOT)) for name in self._weights]


def average_weights(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: SearchRecipe,
    without: Iterable[Tensor] = (),
) -> None:
    """Keep averages of a method's shared weights, where its recipe asks for them.

    Args:
        module: Holds the weights as `supernet`; gets `averages`.
        optimizer: Of the weights.
        recipe: Says how slowly they move.
        without: Parameters of the supernet that are no weights, such as thresholds.
    """
    if not recipe.weight_ema:
        return
    out = {id(parameter) for parameter in without}
    named = cast(nn.Module, module.supernet).named_parameters()
    weights = {name: weight for name, weight in named if id(weight) not in out}
    averages = WeightAverages(weights, recipe.weight_ema)
    module.add_module(AVERAGES, averages)
    optimizer.register_step_post_hook(averages.update)


def settle_averages(module: nn.Module) -> None:
    """After a search: its averages, where it kept any, become the weights that networks inherit."""
    averages = getattr(module, AVERAGES, None)
    if isinstance(averages, WeightAverages):
        averages.settle()


def settled(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Shared weights from the state dict of a method's module, averages in place of the last ones.

    Args:
        state: Of the whole module.
        prefix: Of the supernet's names, which the result is without.
    """
    weights = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    start = f"{AVERAGES}."
    for name, value in state.items():
        own = name.removeprefix(start).replace(_DOT, ".")
        if name.startswith(start) and own in weights:
            weights[own] = value
    return weights
