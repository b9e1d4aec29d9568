"""FBNet's search (arXiv 1812.03443, section 3): one stochastic supernet.

Each layer holds a distribution over its candidates, softmax(theta). Weights
and theta take turns on two parts of the images; the Gumbel softmax makes the
choice differentiable, and the same draw m prices the network that it mixes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.algorithms.expected_cost import ExpectedCosts
from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.independent_layers import IndependentLayers
from search.algorithms.losses import (
    product_loss,
    require_costs,
    require_microseconds,
    require_reachable,
    target_loss,
)
from search.errors import UsageError
from search.latency.model import CostMatrix
from search.operators.modules import build_operator
from search.spaces.base import SearchSpace
from search.supernets.base import Build, legal_mask
from search.supernets.mixture import MixtureSupernet
from search.training.protocol import Batch, Phase, StepReport

WEIGHTS, THETA = "weights", "theta"


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise in float64, on the generator's device."""
    draws = torch.empty(tuple(shape), dtype=torch.float64, device=generator.device)
    return -draws.exponential_(generator=generator).log()


class FBNetModule(nn.Module):
    """All that the search learns: supernet, theta, multiplier of the target.

    Attributes:
        supernet: The shared weights.
        theta: (layers, widest) logits; what is not legal never moves.
        multiplier: Weight of the excess over the target; a buffer, so that
            checkpoints hold it.
        costs: Weights of the candidates to a latency in microseconds.
    """

    legal: Tensor
    multiplier: Tensor

    def __init__(
        self, legal: Tensor, supernet: nn.Module, costs: nn.Module, *, multiplier: float
    ) -> None:
        super().__init__()
        self.supernet, self.costs = supernet, costs
        self.theta = nn.Parameter(torch.zeros(legal.shape))
        self.register_buffer("legal", legal, persistent=False)
        self.register_buffer("multiplier", torch.tensor(multiplier))

    @property
    def logits(self) -> Tensor:
        """theta, -inf where not legal."""
        return self.theta.masked_fill(~self.legal, -math.inf)

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """As `MixtureSupernet.forward`."""
        logits: Tensor = self.supernet(images, weights)
        return logits

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `MixtureSupernet.compile`."""
        self.supernet.compile(*args, **kwargs)


class FBNetSearch(IndependentLayers):
    """FBNet's differentiable architecture search; a `Searching`.

    Without a target the loss is the paper's product, which has no target:
    beta alone decides how fast the network becomes. With one it is
    CE + multiplier * max(0, LAT / target - 1), the multiplier rising while
    the expected latency is above the target and falling below it (dual
    ascent). The distribution then gathers about the target; a network that
    meets it for certain is selected from `scores` (`search.selection.exact`).

    Args:
        space: What to search.
        costs: Its candidates' latencies in microseconds.
        recipe: Hyperparameters; the paper's by default.
        target_us: The latency to meet; None means the product loss.
        build: Operator to module; for spaces of other operators than ours.
        checkpoint: Recompute activations of the searched layers.

    Raises:
        UsageError: Costs of another space; a target that no network reaches;
            a product loss over latencies of 1,000 us or less.
    """

    module: FBNetModule
    name = "fbnet"

    def __init__(
        self,
        space: SearchSpace,
        costs: CostMatrix,
        *,
        recipe: FBNetRecipe | None = None,
        target_us: float | None = None,
        build: Build = build_operator,
        checkpoint: bool = False,
    ) -> None:
        self.recipe = recipe = recipe or FBNetRecipe()
        self.require(space, costs)
        if target_us is None:
            require_microseconds(costs)
        else:
            require_reachable(costs, target_us)
        self.target_us, self.epochs = target_us, recipe.epochs
        self.splits = (recipe.weight_share, 1 - recipe.weight_share)
        self._matrix, self._epoch = costs, 0
        self.module = self.make_module(space, costs, build, checkpoint)
        if recipe.negligible * self.module.legal.shape[1] >= 1:
            raise UsageError(
                f"A negligible weight of {recipe.negligible} could hide a whole layer."
            )
        self._optimizers = {WEIGHTS: self._sgd(), THETA: self._adam()}
        self._learning: str | None = None

    def require(self, space: SearchSpace, costs: CostMatrix) -> None:
        """Refuse costs that are not of this space.

        Raises:
            UsageError: They are not.
        """
        require_costs(costs, space)

    def make_module(
        self, space: SearchSpace, costs: CostMatrix, build: Build, checkpoint: bool
    ) -> FBNetModule:
        """All that is learnt, with fresh weights."""
        multiplier = self.recipe.multiplier
        supernet = MixtureSupernet(space, build=build, checkpoint=checkpoint)
        return FBNetModule(legal_mask(space), supernet, ExpectedCosts(costs), multiplier=multiplier)

    def _sgd(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            self.module.supernet.parameters(),
            lr=self.recipe.weight_rate,
            momentum=self.recipe.weight_momentum,
            weight_decay=self.recipe.weight_decay,
        )

    def _adam(self) -> torch.optim.Optimizer:
        # torch's Adam adds the decay to the gradient: coupled, as in the paper.
        return torch.optim.Adam(
            [self.module.theta], lr=self.recipe.theta_rate, weight_decay=self.recipe.theta_decay
        )

    # --- training ------------------------------------------------------------

    @property
    def temperature(self) -> float:
        """tau of this epoch."""
        return self.recipe.temperature_at(self._epoch)

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        """Weights on the first split, then theta on the second, once it thaws."""
        weights, theta = Phase(name=WEIGHTS, split=0), Phase(name=THETA, split=1)
        return (weights,) if epoch < self.recipe.freeze_epochs else (weights, theta)

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        """SGD of the weights, or Adam of theta."""
        return self._optimizers[phase]

    def start_epoch(self, epoch: int) -> None:
        """Set the temperature; training mode."""
        self._epoch = epoch
        self.module.train()

    def backward(self, phase: str, batch: Batch) -> StepReport:
        """One batch; gradients reach the weights or theta, never both."""
        self._learn(phase, batch.fraction)
        with torch.set_grad_enabled(phase == THETA):
            weights = self.draw(batch.generator)
            latency_us = self.module.costs(weights)
        with batch.autocast():
            logits = self.module(batch.images, weights)
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        cross_entropy = nn.functional.cross_entropy(precise, batch.labels)
        plain = phase == WEIGHTS and not self.recipe.literal
        loss = cross_entropy if plain else self.loss(cross_entropy, latency_us)
        loss.backward()  # type: ignore[no-untyped-call]
        report = _report(loss, cross_entropy, latency_us, logits, batch.labels)
        return report if self._matrix.unit == "us" else replace(report, latency_us=None)

    def _learn(self, phase: str, fraction: float) -> None:
        """Prepare a step: rates, the multiplier, and whose gradients are wanted."""
        if phase == WEIGHTS:
            for group in self._optimizers[WEIGHTS].param_groups:
                group["lr"] = self.recipe.weight_rate_at(self._epoch + fraction)
        else:
            self._raise_multiplier()
        if phase != self._learning:
            # Without gradients of the weights a step of theta costs half.
            self.module.supernet.requires_grad_(phase == WEIGHTS)
            self._learning = phase

    @torch.no_grad()
    def _raise_multiplier(self) -> None:
        """One step of dual ascent on the exact expectation, equal in all processes."""
        if self.target_us is None:
            return
        latency_us = self._expected_us()
        excess = self.recipe.multiplier_rate * (latency_us / self.target_us - 1)
        self.module.multiplier.add_(excess).clamp_(min=0)

    def draw(self, generator: torch.Generator) -> Tensor:
        """(layers, widest) Gumbel softmax weights (equation 8): one draw a layer."""
        logits = self.module.logits
        noise = gumbel(logits.shape, generator).to(logits)
        noisy = (logits + noise) / self.temperature
        weights = noisy.softmax(1)
        if self.recipe.negligible:
            weights = noisy.masked_fill(weights < self.recipe.negligible, -math.inf).softmax(1)
        return weights

    def loss(self, cross_entropy: Tensor, latency_us: Tensor) -> Tensor:
        """The loss of theta: the paper's product, or the one with a target."""
        if self.target_us is None:
            return product_loss(
                cross_entropy, latency_us, alpha=self.recipe.alpha, beta=self.recipe.beta
            )
        return target_loss(
            cross_entropy,
            latency_us,
            target_us=self.target_us,
            multiplier=self.module.multiplier,
        )

    # --- results -------------------------------------------------------------

    def _expected_us(self) -> Tensor:
        """Mean latency of the distribution, where theta is."""
        latency_us: Tensor = self.module.costs(self.module.logits.detach().softmax(1))
        return latency_us

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its trained weights."""
        network: nn.Sequential = self.module.supernet.derive(choices)  # type: ignore[operator]
        return network

    def progress(self) -> Mapping[str, float]:
        """Mean entropy of the layers in nats, temperature, latencies, multiplier."""
        probabilities = self.probabilities()
        likely_us = self._matrix.price(np.array([self.argmax()]))[0]
        what = "latency_us" if self._matrix.unit == "us" else self._matrix.unit
        numbers = {
            f"expected_{what}": float(self._expected_us()),
            f"argmax_{what}": float(likely_us),
            "entropy": float(torch.special.entr(probabilities).sum(1).mean()),
            "temperature": self.temperature,
        }
        if self.target_us is not None:
            numbers["lambda"] = float(self.module.multiplier)
        return numbers


@torch.no_grad()
def _report(
    loss: Tensor, cross_entropy: Tensor, latency_us: Tensor, logits: Tensor, labels: Tensor
) -> StepReport:
    hits = (logits.argmax(1) == labels).sum()
    # One transfer from the device instead of four.
    numbers = torch.stack([part.double() for part in (loss, cross_entropy, latency_us, hits)])
    mean_loss, mean_entropy, latency, correct = numbers.tolist()
    return StepReport(
        loss=mean_loss,
        cross_entropy=mean_entropy,
        correct=int(correct),
        images=len(labels),
        latency_us=latency,
    )
