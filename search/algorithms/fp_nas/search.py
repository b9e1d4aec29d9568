"""FP-NAS (arXiv 2011.10949, section 3) and PARSEC: search by sampled networks.

A categorical distribution P(A|alpha), layers independent. Each step draws K
whole networks, runs one at a time and weighs them by their likelihood, so the
search needs the memory of one network. PARSEC draws a fixed number; FP-NAS
draws as many as the entropy asks for, and may begin with independent
distributions over the variables of a candidate.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from search.algorithms.averages import average_weights
from search.algorithms.fp_nas.categorical import CategoricalModule
from search.algorithms.fp_nas.importance import GradientMean, alpha_weights, unique_rows
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.independent_layers import IndependentLayers, draw_choices, entropy
from search.algorithms.losses import require_costs, require_reachable
from search.algorithms.optimizers import weight_groups, weight_optimizer
from search.algorithms.path_sampling import learn_paths
from search.algorithms.recipe import MIXTURE
from search.costs.base import Costs, CostTarget
from search.errors import UsageError
from search.operators.modules import build_operator
from search.spaces.base import SearchSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.supernets.base import Build
from search.training.ingredients.lessons import lesson_loss
from search.training.protocol import Batch, Phase, StepReport

WEIGHTS, FACTORS, JOINT = "weights", "factors", "joint"


class CategoricalSearch(IndependentLayers):
    """Search by sampled networks; a `SearchAlgorithm`.

    With a target, networks above it are pushed away (equations 6 and 7); the
    recipe says whether that weight is fixed or rises until the mean cost
    meets the target. Without one, likelihood alone decides.

    Args:
        space: The space to search.
        costs: Of its networks.
        recipe: Hyperparameters; those of FP-NAS by default.
        target: The cost to meet, if any.
        build: Operator to module; for spaces of other operators than ours.
        recompute: Recompute activations of the searched layers.

    Raises:
        UsageError: Costs of another space; a target that no network reaches.
    """

    module: CategoricalModule
    name = "fp-nas"

    def __init__(
        self,
        space: SearchSpace,
        costs: Costs,
        *,
        recipe: CategoricalRecipe | None = None,
        target: CostTarget | None = None,
        build: Build = build_operator,
        recompute: bool = False,
    ) -> None:
        if recipe is None:
            raise UsageError("A search by samples needs a recipe.", "Give --recipe cpu or fp-nas.")
        require_costs(costs, space)
        if target is not None:
            require_reachable(costs, target)
        if recipe.sampling == MIXTURE and isinstance(space, SlicedSpace):
            raise UsageError(
                f"The weights of {space.spec} run one network at a time.",
                "Set weights.sampling to own, uniform or fair.",
            )
        self.recipe, self.target, self.epochs = recipe, target, recipe.epochs
        self.splits = (recipe.weight_share, 1 - recipe.weight_share)
        self._costs, self._epoch = costs, 0
        self.module = CategoricalModule(
            space,
            costs,
            beta=recipe.beta,
            joint=recipe.joint_at(0),
            build=build,
            recompute=recompute,
        )
        # One Adam for each form: moments of the factors mean nothing to the joint logits.
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            WEIGHTS: weight_optimizer(weight_groups(self.module.supernet, recipe), recipe),
            FACTORS: _adam(self.module.factors.parameters(), recipe),
            JOINT: _adam([self.module.theta], recipe),
        }
        average_weights(self.module, self._optimizers[WEIGHTS], recipe)

    # --- training ------------------------------------------------------------

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        """Weights on the first split, then the distribution on the second."""
        weights = Phase(name=WEIGHTS, split=0)
        if epoch < self.recipe.freeze_epochs:
            return (weights,)
        return (weights, Phase(name=JOINT if self.recipe.joint_at(epoch) else FACTORS, split=1))

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        """SGD of the weights, or Adam of the distribution's present form."""
        return self._optimizers[phase]

    def start_epoch(self, epoch: int) -> None:
        """Make the distribution joint when its epoch has come; training mode."""
        self._epoch = epoch
        if self.recipe.joint_at(epoch):
            self.module.join()
        self.module.train()

    def backward(self, phase: str, batch: Batch) -> StepReport:
        """One batch under K networks; gradients reach the weights or the distribution."""
        if phase == WEIGHTS:
            self._set_rate(batch)
            if self.recipe.samples_paths(self._epoch):
                return self._learn_paths(batch)
        choices, counts = unique_rows(self._draw(batch.generator))
        self.module.ran.add_(len(choices))
        if phase == WEIGHTS:
            return self._learn_weights(batch, choices, counts)
        self._raise_beta()
        return self._learn_distribution(batch, choices, counts)

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> Tensor:
        probabilities = self.probabilities()
        number = self.recipe.draws_at(self.module.nats(probabilities))
        self.module.drawn.add_(number)
        return draw_choices(probabilities, number, generator)

    def _set_rate(self, batch: Batch) -> None:
        for group in self._optimizers[WEIGHTS].param_groups:
            group["lr"] = self.recipe.weight_rate_at(self._epoch + batch.fraction)

    def _learn_paths(self, batch: Batch) -> StepReport:
        """One batch of the weights under networks that the distribution has no part in."""
        widths = self.module.legal.sum(1).tolist()
        smoothing = self.recipe.label_smoothing
        return learn_paths(self.module, batch, widths, self.recipe.sampling, smoothing)

    def _learn_weights(self, batch: Batch, choices: Tensor, counts: Tensor) -> StepReport:
        mean = GradientMean(self.module.supernet.parameters())
        results = []
        for row, count in zip(choices, counts.tolist(), strict=True):
            cross_entropy, hits = self._run(batch, row)
            log_likelihood = self._log_likelihood(batch.mean(cross_entropy.detach()), batch)
            mean.add(batch.scaled(cross_entropy), float(log_likelihood) + math.log(count))
            results.append((cross_entropy.detach(), hits))
        mean.finish()
        return self._report(batch, results, choices, counts)

    def _learn_distribution(self, batch: Batch, choices: Tensor, counts: Tensor) -> StepReport:
        with torch.no_grad():
            results = [self._run(batch, row) for row in choices]
        entropies = torch.stack([result[0] for result in results]).double()
        times = counts.to(entropies)
        likelihoods = self._log_likelihood(batch.mean(entropies), batch)
        surrogate = self.surrogate(
            choices.repeat_interleave(counts, 0), likelihoods.repeat_interleave(times.long(), 0)
        )
        batch.backward(surrogate)
        return self._report(batch, results, choices, counts)

    def surrogate(self, choices: Tensor, log_likelihoods: Tensor) -> Tensor:
        """sum_k m_k * (-ln P(A_k)), whose gradient is equation 7.

        Args:
            choices: (K, layers) networks drawn from the distribution.
            log_likelihoods: (K,) of the batch under each.
        """
        logits = self.module.logits.double().log_softmax(1)
        layers = torch.arange(choices.shape[1], device=logits.device)
        log_probabilities = logits[layers, choices.to(logits.device)].sum(1)
        excess = self._excess(choices).to(logits.device)
        weights = alpha_weights(log_likelihoods, excess, self._cost_weight())
        if self.recipe.baseline:
            weights = weights - weights.mean()
        return -(weights * log_probabilities).sum()

    def _excess(self, choices: Tensor) -> Tensor:
        """C = max(0, cost / target - 1) of networks (equation 6); 0 without a target."""
        if self.target is None:
            return torch.zeros(len(choices), dtype=torch.float64)
        costs = torch.from_numpy(self._costs.cost_of(choices.cpu().numpy()))
        return torch.relu(costs / self.target.value - 1)

    @torch.no_grad()
    def _raise_beta(self) -> None:
        """One step of dual ascent on the exact mean cost, equal in all processes."""
        if self.recipe.beta_rate:
            self.module.beta.add_(self.recipe.beta_rate * self._mean_excess()).clamp_(min=0)

    @torch.no_grad()
    def _cost_weight(self) -> Tensor:
        """Beta, and what damps its ascent while the mean cost is above the target."""
        beta = self.module.beta.double()
        if not self.recipe.beta_damping:
            return beta
        return beta + self.recipe.beta_damping * self._mean_excess().clamp(min=0)

    def _mean_excess(self) -> Tensor:
        """The excess of the exact mean cost over the share aimed at, relative to it."""
        if self.target is None:
            return self.module.beta.new_zeros(())
        return self._expected_cost() / (self.recipe.aim * self.target.value) - 1

    def _log_likelihood(self, cross_entropy: Tensor, batch: Batch) -> Tensor:
        number = self.recipe.likelihood_images or batch.whole or len(batch.labels)
        return -number * cross_entropy

    def _run(self, batch: Batch, row: Tensor) -> tuple[Tensor, int]:
        """Cross entropy and hits of one network."""
        weights = self.module.supernet.one_hot(row.tolist()).to(batch.images.device)
        with batch.autocast():
            logits = self.module(batch.images, weights)
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        cross_entropy = lesson_loss(batch, precise, self.recipe.label_smoothing)
        return cross_entropy, int((logits.argmax(1) == batch.labels).sum())

    def _report(
        self,
        batch: Batch,
        results: Sequence[tuple[Tensor, int]],
        choices: Tensor,
        counts: Tensor,
    ) -> StepReport:
        """The likeliest network's accuracy, means of the others."""
        entropies = torch.stack([result[0] for result in results]).double().cpu()
        shares = counts.double().cpu() / counts.sum()
        costs = torch.from_numpy(self._costs.cost_of(choices.cpu().numpy()))
        weights = (self._log_likelihood(entropies, batch) + shares.log()).softmax(0)
        mean = float((weights * entropies).sum())
        return StepReport(
            loss=mean,
            cross_entropy=mean,
            correct=results[int(weights.argmax())][1],
            images=len(batch.labels),
            latency_us=float((shares * costs).sum()) if self._costs.unit.is_time else None,
        )

    # --- results -------------------------------------------------------------

    def _expected_cost(self) -> Tensor:
        cost: Tensor = self.module.costs(self.module.logits.detach().softmax(1))
        return cost

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its trained weights."""
        return self.module.supernet.derive(choices)

    def progress(self) -> Mapping[str, float]:
        """Mean entropy of the layers in nats, latencies, networks drawn, weight of the cost."""
        probabilities = self.probabilities()
        likely = torch.tensor([self.argmax()]).numpy()
        column = self._costs.unit.column
        numbers = {
            f"expected_{column}": float(self._expected_cost()),
            f"argmax_{column}": float(self._costs.cost_of(likely)[0]),
            "entropy": float(entropy(probabilities).mean()),
            "draws": float(self.recipe.draws_at(self.module.nats(probabilities))),
            "networks_drawn": float(self.module.drawn),
            "networks_run": float(self.module.ran),
        }
        if self.target is not None:
            numbers["lambda"] = float(self.module.beta)
        return numbers


def _adam(parameters: Iterable[nn.Parameter], recipe: CategoricalRecipe) -> torch.optim.Adam:
    betas = recipe.alpha_beta1, recipe.alpha_beta2
    return torch.optim.Adam(parameters, lr=recipe.alpha_rate, betas=betas)


class Parsec(CategoricalSearch):
    """PARSEC, as FP-NAS describes it: the same with a recipe of fixed draws."""

    name = "parsec"
