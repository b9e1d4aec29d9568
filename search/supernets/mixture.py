"""The stochastic supernet: every candidate of every layer, mixed by weights.

FBNet (arXiv 1812.03443), equation 5: x_{l+1} = sum_i m_li b_li(x_l).
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as run_recomputed

from search.errors import UsageError
from search.operators.modules import ConvNorm, build_operator
from search.spaces.base import SearchSpace
from search.supernets.base import Build, legal_mask, one_hot
from search.supernets.batch_norm import (
    batch_norms,
    freeze_statistics,
    fresh_statistics,
    require_images,
)

Run = Callable[[Tensor, Tensor], Tensor]


class MixedLayer(nn.ModuleList):
    """The candidates of one layer; child `i` is candidate `i`."""

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        """Sum of all candidates' outputs weighted by `row` (widest,)."""
        return self.mix(x, row, range(len(self)))

    def mix(self, x: Tensor, row: Tensor, live: Sequence[int]) -> Tensor:
        """The same for some candidates only.

        Accumulates in place: neither product nor sum keeps its result for the
        backward pass, and outputs are kept only if `row` wants a gradient.
        """
        first, *rest = live
        total: Tensor = self[first](x) * row[first]
        for number in rest:
            total.addcmul_(self[number](x), row[number])
        return total


class MixtureSupernet(nn.Module):
    """All networks of a space with shared weights.

    In training mode batch norm normalises by the batch and gathers nothing.
    Evaluation mode needs statistics: `recalibrate` first, or `derive` a
    network and recalibrate that.

    Attributes:
        before: Fixed modules before the searched layers.
        layers: One `MixedLayer` a layer.
        after: Fixed modules after them.
        recompute: Recompute each searched layer in the backward pass instead
            of keeping its activations.

    Args:
        space: What to build.
        build: Operator to module; for spaces of other operators than ours.
        recompute: See above.

    Raises:
        UsageError: The space has no layer, or a layer without candidates.
    """

    def __init__(
        self, space: SearchSpace, *, build: Build = build_operator, recompute: bool = False
    ) -> None:
        super().__init__()
        legal = legal_mask(space)
        self.recompute = recompute
        self.widths: tuple[int, ...] = tuple(legal.sum(1).tolist())
        self.before = nn.Sequential(*(build(operator) for operator in space.before))
        self.layers = nn.ModuleList(
            MixedLayer(build(choice.operator) for choice in layer.choices) for layer in space.layers
        )
        self.after = nn.Sequential(*(build(operator) for operator in space.after))
        freeze_statistics(batch_norms([self]))
        _rectify_in_place(self, True)

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """Images to logits.

        A candidate whose weight is exactly 0 is not evaluated and its weight
        gets no gradient: a one-hot row costs one candidate. Weights after
        the last candidate of a layer are ignored.

        Args:
            images: (batch, channels, height, width).
            weights: (layers, widest) weights of the candidates.

        Raises:
            UsageError: Weights of another shape, or a row that is all zero.
        """
        rows = self._rows(weights)
        x: Tensor = self.before(images)
        for layer, row, values in zip(self.layers, weights, rows, strict=True):
            assert isinstance(layer, MixedLayer)
            x = self._through(layer, x, row, values)
        logits: Tensor = self.after(x)
        return logits

    def _rows(self, weights: Tensor) -> list[list[float]]:
        if weights.shape != (len(self.widths), max(self.widths)):
            raise UsageError(
                f"Weights of shape {tuple(weights.shape)} do not fit "
                f"{len(self.widths)} layers of at most {max(self.widths)} candidates."
            )
        # One transfer for all layers: on a GPU this waits for the weights.
        values: list[list[float]] = weights.detach().tolist()
        return [row[:width] for row, width in zip(values, self.widths, strict=True)]

    def _through(
        self, layer: MixedLayer, x: Tensor, row: Tensor, values: Sequence[float]
    ) -> Tensor:
        live = [number for number, value in enumerate(values) if value != 0]
        if not live:
            raise UsageError("All candidates of a layer have weight 0.")
        run = self._runner(layer, live, values[live[0]] == 1 and not row.requires_grad)
        if self.recompute and torch.is_grad_enabled():
            y: Tensor = run_recomputed(run, x, row, use_reentrant=False)
            return y
        return run(x, row)

    @staticmethod
    def _runner(layer: MixedLayer, live: Sequence[int], plain: bool) -> Run:
        if len(live) == 1 and plain:
            only = layer[live[0]]
            return lambda x, _: only(x)
        # Calling the layer itself is what `compile` speeds up.
        return layer if len(live) == len(layer) else partial(layer.mix, live=live)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile every searched layer on its own (as `nn.Module.compile`).

        Equal layers share one compilation; the whole network would take
        minutes and break at the reading of the weights anyway.
        """
        # Layers share their code but not their shapes: torch must neither
        # generalise over shapes nor give up after its usual eight versions
        # (each layer has one for the weights' steps and one for theta's).
        own = {"dynamic": False, "recompile_limit": 4 * len(self.layers)}
        for layer in self.layers:
            layer.compile(*args, **{**own, **kwargs})

    def one_hot(self, choices: Sequence[int]) -> Tensor:
        """(layers, widest) weights of one network.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        self._check(choices)
        return one_hot(choices, self.widths)

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights; child `i` is operator `i`.

        Its state dict is laid out as that of `search.operators.modules.build_network`.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        network = nn.Sequential(*(copy.deepcopy(module) for module in self._chosen(choices)))
        for norm in batch_norms([network]):
            norm.track_running_stats = True
        _rectify_in_place(network, False)
        return network.requires_grad_(True)

    def recalibrate(self, choices: Sequence[int], batches: Iterable[Tensor]) -> int:
        """Estimate the batch norm statistics of one network again, in place.

        Args:
            choices: The network, one candidate index a layer.
            batches: Images where the supernet is; about 2,000 in all.

        Returns:
            How many images were seen.

        Raises:
            UsageError: Choices that are not legal, or no batch.
        """
        weights = self.one_hot(choices)
        with fresh_statistics(batch_norms(self._chosen(choices))):
            seen = sum(len(self(images, weights)) for images in batches)
        require_images(seen)
        return seen

    def _chosen(self, choices: Sequence[int]) -> list[nn.Module]:
        self._check(choices)
        picked = [
            layer[number]  # type: ignore[index]
            for layer, number in zip(self.layers, choices, strict=True)
        ]
        return [*self.before, *picked, *self.after]

    def _check(self, choices: Sequence[int]) -> None:
        if len(choices) != len(self.widths):
            raise UsageError(f"{len(choices)} choices for {len(self.widths)} layers.")
        for layer, (choice, width) in enumerate(zip(choices, self.widths, strict=True)):
            if not 0 <= choice < width:
                raise UsageError(
                    f"Layer {layer} has no candidate {choice}.", f"Legal: 0 to {width - 1}."
                )


def _rectify_in_place(module: nn.Module, wanted: bool) -> None:
    """Let ReLU overwrite the output of batch norm, which nothing else reads."""
    for block in module.modules():
        if isinstance(block, ConvNorm) and isinstance(block[-1], nn.ReLU | nn.ReLU6):
            block[-1].inplace = wanted
