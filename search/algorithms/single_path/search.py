"""Single-Path NAS (arXiv 1904.02877): one path of superkernels, with trained indicators.

Weights and thresholds learn together, by CE + lambda ln R (equation 3) or
towards a target; each indicator's gradient passes straight through its step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from search.algorithms.averages import average_weights
from search.algorithms.independent_layers import IndependentLayers, entropy
from search.algorithms.losses import require_costs, require_reachable
from search.algorithms.optimizers import weight_groups, weight_optimizer
from search.algorithms.single_path.indicators import (
    candidates_of_gates,
    gates_of_candidate,
    runtime_model_of,
)
from search.algorithms.single_path.recipe import SinglePathRecipe
from search.costs.base import Costs, CostTarget
from search.errors import UsageError
from search.operators.modules import build_operator
from search.spaces.base import SearchSpace
from search.supernets.base import Build, legal_mask
from search.supernets.superkernel import (
    INDICATORS,
    SuperBlock,
    SuperkernelSupernet,
    straight_through_step,
)
from search.training.ingredients.lessons import lesson_loss
from search.training.protocol import Batch, Phase, StepReport

WEIGHTS = "weights"


class SinglePathModule(nn.Module):
    """All that the search learns.

    Attributes:
        supernet: Superkernels and their thresholds.
        multiplier: Weight of the excess over the target; a buffer, so that
            checkpoints hold it.
    """

    codes: Tensor
    legal: Tensor
    multiplier: Tensor

    def __init__(
        self,
        space: SearchSpace,
        supernet: SuperkernelSupernet,
        runtime: nn.Module,
        multiplier: float,
    ) -> None:
        super().__init__()
        self.supernet, self.runtime = supernet, runtime
        legal = legal_mask(space)
        codes = torch.zeros(*legal.shape, INDICATORS)
        for number, layer in enumerate(space.layers):
            codes[number, : len(layer.choices)] = torch.tensor(gates_of_candidate(layer)).float()
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("legal", legal, persistent=False)
        self.register_buffer("multiplier", torch.tensor(multiplier))

    @property
    def logits(self) -> Tensor:
        """(layers, widest) log-probabilities, reading each margin as the logit of its indicator.

        A skip depends on its own indicator alone.
        """
        margins = self.supernet.margins()[:, None].clamp(-30, 30)
        parts = nn.functional.logsigmoid(torch.where(self.codes > 0, margins, -margins))
        skip_gate = parts[..., 1]
        is_block = self.codes[..., 1] > 0
        return torch.where(is_block, parts.sum(2), skip_gate).masked_fill(~self.legal, -torch.inf)

    def forward(self, images: Tensor, gates: Tensor) -> Tensor:
        """Images to logits under (layers, 3) indicators."""
        logits: Tensor = self.supernet(images, gates)
        return logits


class SinglePathSearch(IndependentLayers):
    """Search by trained thresholds; a `SearchAlgorithm`.

    Args:
        space: Of layers whose candidates are parts of one block.
        costs: Of its networks; layers are independent.
        recipe: Hyperparameters.
        target: The cost to meet; None means CE + lambda ln R.
        build: Operator to module, for the fixed parts.
        layer: Layer to superkernel; for spaces of other operators than ours.
        recompute: Not offered: one path keeps as much as one network.

    Raises:
        UsageError: Costs of another space; a target that no network reaches;
            candidates that are not parts of one block.
    """

    module: SinglePathModule
    name = "single-path"

    def __init__(
        self,
        space: SearchSpace,
        costs: Costs,
        *,
        recipe: SinglePathRecipe,
        target: CostTarget | None = None,
        build: Build = build_operator,
        layer: Any = SuperBlock,
        recompute: bool = False,
    ) -> None:
        if recompute:
            raise UsageError(
                "--algorithm single-path keeps no more than one network's activations.",
                "Leave out --recompute.",
            )
        require_costs(costs, space)
        if target is not None:
            require_reachable(costs, target)
        self.recipe, self.target, self.epochs = recipe, target, recipe.epochs
        self.splits = (recipe.weight_share, 1 - recipe.weight_share)
        self._space, self._costs, self._epoch = space, costs, 0
        self.module = SinglePathModule(
            space,
            SuperkernelSupernet(space, norm=recipe.norm, build=build, layer=layer),
            runtime_model_of(space, costs, recipe.formula),
            recipe.multiplier,
        )
        self._optimizer = self._make_optimizer()
        thresholds = self.module.supernet.thresholds()
        average_weights(self.module, self._optimizer, recipe, thresholds)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        recipe, supernet = self.recipe, self.module.supernet
        thresholds = supernet.thresholds()
        groups = [
            {**group, "relative": 1.0} for group in weight_groups(supernet, recipe, thresholds)
        ]
        trained = {"params": thresholds, "weight_decay": recipe.weight_decay}
        return weight_optimizer([*groups, {**trained, "relative": recipe.threshold_rate}], recipe)

    # --- training ------------------------------------------------------------

    def phases(self, epoch: int) -> tuple[Phase, ...]:  # noqa: ARG002
        """Weights and thresholds together, on the first split."""
        return (Phase(name=WEIGHTS, split=0),)

    def optimizer(self, phase: str) -> torch.optim.Optimizer:  # noqa: ARG002
        """The one optimiser."""
        return self._optimizer

    def start_epoch(self, epoch: int) -> None:
        """Set whether this epoch is warm-up; training mode."""
        self._epoch = epoch
        self.module.train()

    @property
    def warming(self) -> bool:
        """True while the cost has no weight and indicators drop out."""
        return self._epoch < self.recipe.freeze_epochs

    def backward(self, phase: str, batch: Batch) -> StepReport:  # noqa: ARG002
        """One batch; gradients reach weights and thresholds."""
        rate = self.recipe.weight_rate_at(self._epoch + batch.fraction)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["relative"]
        gates = straight_through_step(self.module.supernet.margins())
        runtime = self.module.runtime(gates)
        used = gates * self._dropout(gates, batch.generator) if self.warming else gates
        with batch.autocast():
            logits = self.module(batch.images, used)
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        cross_entropy = lesson_loss(batch, precise, self.recipe.label_smoothing)
        loss = cross_entropy if self.warming else self._loss(cross_entropy, runtime)
        batch.backward(loss)
        return StepReport(
            loss=float(loss.detach()),
            cross_entropy=float(cross_entropy.detach()),
            correct=int((logits.argmax(1) == batch.labels).sum()),
            images=len(batch.labels),
            latency_us=float(runtime.detach()) if self._costs.unit.is_time else None,
        )

    def _dropout(self, gates: Tensor, generator: torch.Generator) -> Tensor:
        """Inverted dropout of the indicators that the candidates leave open."""
        draws = torch.rand(gates.shape, generator=generator).to(gates)
        kept = (draws < self.recipe.keep).to(gates) / self.recipe.keep
        layers = self.module.supernet.layers
        open_choices = torch.stack([layer.open_choices for layer in layers])  # type: ignore[misc]
        return torch.where(open_choices, kept, 1.0)

    def _loss(self, cross_entropy: Tensor, runtime: Tensor) -> Tensor:
        """Equation 3 (in any unit: ln R differs by a constant), or the one with a target."""
        if self.target is None:
            return cross_entropy + self.recipe.latency_weight * runtime.log().to(cross_entropy)
        excess = runtime / self.target.value - 1
        with torch.no_grad():
            step = self.recipe.multiplier_rate * excess.to(self.module.multiplier)
            self.module.multiplier.add_(step).clamp_(min=0)
        return cross_entropy + (self.module.multiplier * excess.relu()).to(cross_entropy)

    # --- results -------------------------------------------------------------

    def argmax(self) -> tuple[int, ...]:
        """The network that the indicators decode to."""
        gates = (self.module.supernet.margins().detach() > 0).float()
        return candidates_of_gates(self._space, gates.cpu().tolist())

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its trained weights."""
        return self.module.supernet.derive(choices)

    def progress(self) -> Mapping[str, float]:
        """Runtime of the indicators by the search's formula and by the table, entropy."""
        gates = (self.module.supernet.margins().detach() > 0).float()
        chosen = torch.tensor([self.argmax()]).numpy()
        column = self._costs.unit.column
        numbers = {
            f"expected_{column}": float(self.module.runtime(gates)),
            f"argmax_{column}": float(self._costs.cost_of(chosen)[0]),
            "entropy": float(entropy(self.probabilities()).mean()),
        }
        if self.target is not None:
            numbers["lambda"] = float(self.module.multiplier)
        return numbers
