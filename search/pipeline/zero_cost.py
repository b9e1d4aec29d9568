"""Selection by a score that needs no training: ZiCo, or a count."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from search.algorithms.baselines.search import BaselineResult, Choices, Evaluate, evolve
from search.algorithms.baselines.trials import TrialFile
from search.algorithms.zero_cost.recipe import ZeroCostRecipe
from search.algorithms.zero_cost.zico import Batch, zico
from search.costs.base import Unit
from search.costs.matrix import CostMatrix
from search.errors import GateFailed, UsageError
from search.files import sha256_bytes
from search.latency.space_costs import counted_costs
from search.operators.modules import build_network
from search.pipeline.candidates import Candidate, exact_selection
from search.pipeline.context import RunContext
from search.pipeline.limits.most import weighed
from search.pipeline.run_folder import TRIALS
from search.selection.exact import network_of
from search.selection.scores import Scores
from search.training.compute.precision import configured
from search.training.compute.seeds import fresh_weights, generator_for

# Counting is free: where no exact selection knows how, this many networks are tried.
_COUNTED = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCostSelection:
    """The network of the highest score within the target, without training.

    Counts are selected exactly where they are sums over independent layers. Elsewhere, and for
    ZiCo, evolution proposes the networks, and the best of them is taken.
    """

    recipe: ZeroCostRecipe

    @property
    def needs_images(self) -> bool:
        """Counts need none."""
        return not self.recipe.counts

    def hyperparameters(self) -> dict[str, object]:
        """The recipe as the result records it."""
        return asdict(self.recipe)

    def run(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        """Select; see `search.pipeline.methods.SearchMethod`."""
        return self._most(context) if self.recipe.counts else self._steadiest(context)

    def _most(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        """The network with the most parameters or multiply-adds."""
        problem = context.problem
        counted = counted_costs(problem.space, self.recipe.score)
        noun = Unit(self.recipe.score).noun
        if isinstance(counted, CostMatrix):
            scores = Scores(
                values=np.where(counted.legal, counted.costs, -np.inf),
                space=problem.space.spec,
                origin=noun,
            )
            choices, tried = exact_selection(scores, problem).choices, "exact selection"
        else:
            found = _evolved(lambda networks: counted.cost_of(networks).tolist(), _COUNTED, context)
            choices, tried = found.best.choices, f"of {len(found.history)} networks"
        candidate = Candidate(
            origin=f"most {noun}, {tried}",
            choices=choices,
            score=float(counted.cost_of([choices])[0]),
            scored_by=f"number of {noun}",
        )
        return candidate, [candidate]

    def _steadiest(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        """The network of the highest ZiCo."""
        if context.processes.world > 1:
            raise UsageError("zico is computed in one process.", "Start it without torchrun.")
        scorer = ZicoScorer(self.recipe, context)
        with configured(context.compute.to_compute(), scorer.device):
            found = _evolved(scorer, self.recipe.networks, context)
        failures = scorer.kept.failures
        if found.best.choices in failures:
            raise GateFailed(f"No network has a score. {failures[found.best.choices]}")
        candidates = [
            Candidate(
                origin=f"network {trial.number}",
                choices=trial.choices,
                score=None if trial.choices in failures else trial.score,
                scored_by=f"zico on {self.recipe.batches} batches of {self.recipe.batch} images",
                failed=failures.get(trial.choices),
            )
            for trial in sorted(found.history, key=lambda trial: (-trial.score, trial.cost))
        ]
        return candidates[0], candidates


def _evolved(evaluate: Evaluate, budget: int, context: RunContext) -> BaselineResult:
    target = context.problem.target
    assert target is not None  # the options were checked
    costs, seed = weighed(context.problem), context.options.seed
    return evolve(evaluate, costs, target.value, budget=budget, seed=seed)


class ZicoScorer:
    """ZiCo of networks, each with the fresh weights of the seed; an `Evaluate`.

    Attributes:
        device: Where networks and images are.
        kept: What was computed already; a resumed run repeats none of it.
    """

    def __init__(self, recipe: ZeroCostRecipe, context: RunContext) -> None:
        self._context, self._space = context, context.searched_space()
        self.device = context.compute.to_compute().torch_device()
        images = context.data().train
        number = recipe.batches * recipe.batch
        if len(images) < number:
            raise UsageError(
                f"zico wants {number} images, and there are {len(images)}.",
                "Give a smaller --batch, or more images.",
            )
        order = torch.randperm(len(images), generator=generator_for("zico", context.options.seed))
        self._batches: list[Batch] = []
        for part in order[:number].split(recipe.batch):  # type: ignore[no-untyped-call]
            pixels, labels = images.batch(part, None)
            self._batches.append((pixels.to(self.device), labels.to(self.device)))
        context.progress.stage("networks scored", recipe.networks)
        self.kept = TrialFile(
            context.options.folder / TRIALS,
            self._identity(recipe),
            context.options.resume,
            context.stopwatch,
            shares=False,
        )

    def _identity(self, recipe: ZeroCostRecipe) -> str:
        """Hash of everything that a score depends on."""
        context = self._context
        parts = (
            self._space.spec,
            context.data().identity,
            f"{recipe.score} {recipe.batches} {recipe.batch} {context.options.seed}",
        )
        return sha256_bytes("\n".join(parts).encode())

    def __call__(self, networks: Sequence[Choices]) -> list[float]:
        """Scores, one a network; minus infinity where a gradient is not a number."""
        return [self._one(choices) for choices in networks]

    def _one(self, choices: Choices) -> float:
        self._context.progress.advance()
        known = self.kept.scores.get(choices)
        if known is not None:
            return known
        architecture = network_of(self._space, choices, "scored")
        with fresh_weights(self._context.options.seed):
            network = build_network(architecture.operators)
        self._context.compute.to_compute().place(network, self.device)
        try:
            score = zico(network, self._batches)
        except GateFailed as error:
            self.kept.add_failed(choices, error.message)
            return -math.inf
        self.kept.add(choices, score)
        return score
