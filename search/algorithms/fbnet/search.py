"""FBNet's search (arXiv 1812.03443, section 3): one stochastic supernet.

Each layer holds a distribution over its candidates, softmax(theta). Weights
and theta take turns on two parts of the images; the Gumbel softmax makes the
choice differentiable, and the same draw m gives the cost of the network that it mixes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.algorithms.averages import average_weights
from search.algorithms.expected_cost import expected_cost_of
from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.independent_layers import IndependentLayers
from search.algorithms.losses import (
    product_loss,
    require_costs,
    require_microseconds,
    require_reachable,
    target_loss,
)
from search.algorithms.optimizers import weight_groups, weight_optimizer
from search.algorithms.path_sampling import learn_paths
from search.costs.base import Costs, CostTarget
from search.errors import UsageError
from search.operators.modules import build_operator
from search.spaces.base import SearchSpace
from search.supernets.base import Build, legal_mask
from search.supernets.mixture import MixtureSupernet
from search.training.ingredients.lessons import lesson_loss
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
        costs: Weights of the candidates to an expected cost.
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
        """Images to logits under weights of the candidates."""
        logits: Tensor = self.supernet(images, weights)
        return logits

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the supernet alone, its layers one by one."""
        self.supernet.compile(*args, **kwargs)


class FBNetSearch(IndependentLayers):
    """FBNet's differentiable architecture search; a `SearchAlgorithm`.

    Without a target the loss is the paper's product, which has no target:
    beta alone decides how fast the network becomes. With one it is
    CE + multiplier * max(0, cost / target - 1), the multiplier rising while
    the expected cost is above the target and falling below it (dual
    ascent). The distribution then gathers about the target; a network that
    meets it for certain is selected from `scores` (`search.selection.by_costs`).

    Args:
        space: The space to search.
        costs: Of its networks.
        recipe: Hyperparameters; the paper's by default.
        target: The cost to meet; None means the product loss.
        build: Operator to module; for spaces of other operators than ours.
        recompute: Recompute activations of the searched layers.

    Raises:
        UsageError: Costs of another space; a target that no network reaches;
            a product loss over latencies of 1,000 us or less.
    """

    module: FBNetModule
    name = "fbnet"

    def __init__(
        self,
        space: SearchSpace,
        costs: Costs,
        *,
        recipe: FBNetRecipe | None = None,
        target: CostTarget | None = None,
        build: Build = build_operator,
        recompute: bool = False,
    ) -> None:
        self.recipe = recipe = recipe or FBNetRecipe()
        self.require(space, costs)
        if target is None:
            require_microseconds(costs)
        else:
            require_reachable(costs, target)
        self.target, self.epochs = target, recipe.epochs
        self.splits = (recipe.weight_share, 1 - recipe.weight_share)
        self._costs, self._epoch = costs, 0
        self.module = self.make_module(space, costs, build, recompute)
        if recipe.negligible * self.module.legal.shape[1] >= 1:
            raise UsageError(
                f"A negligible weight of {recipe.negligible} could hide a whole layer."
            )
        self._optimizers = {WEIGHTS: self._of_weights(), THETA: self._adam()}
        average_weights(self.module, self._optimizers[WEIGHTS], recipe)
        self._learning: str | None = None

    def require(self, space: SearchSpace, costs: Costs) -> None:
        """Refuse costs that are not of this space.

        Raises:
            UsageError: They are not.
        """
        require_costs(costs, space)

    def make_module(
        self, space: SearchSpace, costs: Costs, build: Build, recompute: bool
    ) -> FBNetModule:
        """All that is learnt, with fresh weights."""
        multiplier = self.recipe.multiplier
        supernet = self.make_supernet(space, build, recompute)
        expected_cost = expected_cost_of(costs)
        return FBNetModule(legal_mask(space), supernet, expected_cost, multiplier=multiplier)

    def make_supernet(self, space: SearchSpace, build: Build, recompute: bool) -> nn.Module:
        """The shared weights, fresh."""
        return MixtureSupernet(space, build=build, recompute=recompute)

    def _of_weights(self) -> torch.optim.Optimizer:
        return weight_optimizer(weight_groups(self.module.supernet, self.recipe), self.recipe)

    def _adam(self) -> torch.optim.Optimizer:
        # torch's Adam adds the decay to the gradient: coupled, as in the paper.
        return torch.optim.Adam(
            [self.module.theta],
            lr=self.recipe.theta_rate,
            betas=(self.recipe.theta_beta1, self.recipe.theta_beta2),
            weight_decay=self.recipe.theta_decay,
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
        if phase == WEIGHTS and self.recipe.samples_paths(self._epoch):
            return self._learn_paths(batch)
        with torch.set_grad_enabled(phase == THETA):
            weights = self.draw(batch.generator)
            cost = self.module.costs(weights)
        with batch.autocast():
            logits = self.module(batch.images, weights)
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        cross_entropy = lesson_loss(batch, precise, self.recipe.label_smoothing)
        plain = phase == WEIGHTS and not self.recipe.literal
        loss = cross_entropy if plain else self.loss(cross_entropy, cost)
        batch.backward(loss)
        return self._report(loss, cross_entropy, cost, logits, batch.labels)

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

    def _learn_paths(self, batch: Batch) -> StepReport:
        """One batch of the weights under single networks, whatever theta says."""
        widths = self.module.legal.sum(1).tolist()
        smoothing = self.recipe.label_smoothing
        return learn_paths(self.module, batch, widths, self.recipe.sampling, smoothing)

    @torch.no_grad()
    def _raise_multiplier(self) -> None:
        """One step of dual ascent on the exact expectation, equal in all processes."""
        if self.target is None:
            return
        excess = self.recipe.multiplier_rate * (self._expected_cost() / self.target.value - 1)
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

    def loss(self, cross_entropy: Tensor, cost: Tensor) -> Tensor:
        """The loss of theta: the paper's product, or the one with a target."""
        if self.target is None:
            return product_loss(cross_entropy, cost, alpha=self.recipe.alpha, beta=self.recipe.beta)
        return target_loss(
            cross_entropy, cost, target=self.target.value, multiplier=self.module.multiplier
        )

    @torch.no_grad()
    def _report(
        self, loss: Tensor, cross_entropy: Tensor, cost: Tensor, logits: Tensor, labels: Tensor
    ) -> StepReport:
        hits = (logits.argmax(1) == labels).sum()
        # One transfer from the device instead of four.
        numbers = torch.stack([part.double() for part in (loss, cross_entropy, cost, hits)])
        mean_loss, mean_entropy, mean_cost, correct = numbers.tolist()
        return StepReport(
            loss=mean_loss,
            cross_entropy=mean_entropy,
            correct=int(correct),
            images=len(labels),
            latency_us=mean_cost if self._costs.unit.is_time else None,
        )

    # --- results -------------------------------------------------------------

    def _expected_cost(self) -> Tensor:
        """Mean cost of the distribution, where theta is."""
        cost: Tensor = self.module.costs(self.module.logits.detach().softmax(1))
        return cost

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its trained weights."""
        network: nn.Sequential = self.module.supernet.derive(choices)  # type: ignore[operator]
        return network

    def progress(self) -> Mapping[str, float]:
        """Mean entropy of the layers in nats, temperature, costs, multiplier."""
        probabilities = self.probabilities()
        argmax_cost = self._costs.cost_of(np.array([self.argmax()]))[0]
        column = self._costs.unit.column
        numbers = {
            f"expected_{column}": float(self._expected_cost()),
            f"argmax_{column}": float(argmax_cost),
            "entropy": float(torch.special.entr(probabilities).sum(1).mean()),
            "temperature": self.temperature,
        }
        if self.target is not None:
            numbers["lambda"] = float(self.module.multiplier)
        return numbers
