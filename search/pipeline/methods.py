"""Search methods: by shared weights, by exact selection, by trials, by scores without training."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

from search.algorithms.averages import settle_averages
from search.algorithms.base import SearchAlgorithm
from search.algorithms.baselines.search import BaselineResult, evolve, random_search
from search.algorithms.baselines.trials import ShortTraining, TrialFile
from search.algorithms.recipe import SearchRecipe
from search.algorithms.registry import METHODS, load_method
from search.algorithms.taught import TaughtSearch
from search.algorithms.zero_cost.recipe import ZERO_COST
from search.costs.base import CostTarget
from search.costs.joint import labels_of
from search.data.base import Data
from search.data.split import split_indices
from search.errors import GateFailed, UsageError
from search.files import sha256_bytes, write_text
from search.pipeline.candidates import (
    JUDGED_SELECTION,
    Candidate,
    candidates_of,
    choose_candidate,
    exact_selection,
)
from search.pipeline.context import RunContext
from search.pipeline.limits.most import weighed
from search.pipeline.networks.judged_scores import judged_scores, networks_to_judge
from search.pipeline.networks.judging import Judge, choose_images
from search.pipeline.networks.search_work import SpaceWork, search_passes
from search.pipeline.options import SearchOptions
from search.pipeline.problem import SearchProblem
from search.pipeline.run_folder import TRIALS
from search.pipeline.train import find_teacher
from search.pipeline.zero_cost import ZeroCostSelection
from search.selection.scores import Scores, dump_scores, from_probabilities, read_scores_for
from search.training.compute.seeds import fresh_weights
from search.training.engine import train
from search.training.progress import TrainingProgress
from search.training.recipe import TrainingRecipe
from search.training.retrain import recorded_recipe, with_policy
from search.training.run.trace import TraceLine

SCORES = "scores.json"
# Candidates of a search that are selected, not sampled.
_SELECTED = 3
# Networks that random search and evolution train.
TRIAL_BUDGET = 8
_BASELINES: dict[str, Callable[..., BaselineResult]] = {
    "random": random_search,
    "evolution": evolve,
}


class SearchMethod(Protocol):
    """A way from a problem to a network."""

    @property
    def needs_images(self) -> bool:
        """False where nothing is trained and nothing is judged."""
        ...

    def hyperparameters(self) -> dict[str, object]:
        """The recipe as the result records it."""
        ...

    def run(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        """Search.

        Returns:
            The chosen network, and all candidates, the best first.

        Raises:
            UsageError: The problem does not suit the method, or the run cannot
                be resumed.
            GateFailed: Nothing could be trained to numbers.
        """
        ...


def make_method(options: SearchOptions) -> SearchMethod:
    """The method that the options name.

    Raises:
        UsageError: Unknown recipe, or values out of range.
    """
    options.open_recipe()  # refuses an unknown one, needed or not
    if options.scores is not None:
        return ExactSelection(scores=options.scores)
    if options.algorithm in METHODS:
        return SharedWeightsSearch(algorithm=options.algorithm, recipe=options.search_recipe())
    if options.algorithm == ZERO_COST:
        return ZeroCostSelection(recipe=options.zero_cost_recipe())
    budget = TRIAL_BUDGET if options.budget is None else options.budget
    return TrialSearch(algorithm=options.algorithm, recipe=options.trial_recipe(), budget=budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWeightsSearch:
    """A search with shared weights, whose candidates are then ranked by them.

    Writes scores.json (for exact selection under other targets and tables of
    the same space) into the folder of the run.
    """

    algorithm: str
    recipe: SearchRecipe
    needs_images: ClassVar[bool] = True

    def hyperparameters(self) -> dict[str, object]:
        return asdict(self.recipe)

    def run(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        problem, data, seed = context.problem, context.data(), context.options.seed
        with fresh_weights(seed):
            algorithm = load_method(self.algorithm)(
                context.searched_space(),
                weighed(problem),
                recipe=self.recipe,
                target=problem.target,
                recompute=context.compute.recompute,
            )
        self._train(algorithm, data, context)
        settle_averages(algorithm.module)
        scores = self._scores(algorithm, data, context)
        if context.processes.leads:
            write_text(context.options.folder / SCORES, dump_scores(scores))
        judged = scores if self.recipe.judges_networks else None
        samples = self.recipe.samples
        found = candidates_of(algorithm, problem, seed=seed, samples=samples, judged=judged)
        # Networks judged for the scores have used a part of what judging may take.
        flops = [problem.network(one.choices, one.origin).flops for one in found]
        work = SpaceWork.of(problem.space)
        number = networks_to_judge(self.recipe, problem.space) + work.networks(flops)
        ranked = self._judge(algorithm, data, context, number).rank(found)
        # The judged selection stays first: more networks spoke for it than for any accuracy.
        ranked.sort(key=lambda candidate: not candidate.origin.startswith(JUDGED_SELECTION))
        return choose_candidate(ranked, problem), ranked

    def _scores(self, algorithm: SearchAlgorithm, data: Data, context: RunContext) -> Scores:
        """Of the distribution that was learnt, or of networks judged with the weights."""
        problem = context.problem
        origin = f"{algorithm.name} on {problem.origin}"
        number = networks_to_judge(self.recipe, problem.space)
        if not number:
            probabilities = algorithm.probabilities().numpy()
            return from_probabilities(probabilities, problem.space, origin)
        # The candidates that are judged later have their part of what judging may take.
        judge = self._judge(algorithm, data, context, number + self.recipe.samples + _SELECTED)
        scores = judged_scores(judge, problem.space, self.recipe, context.options.seed, origin)
        context.progress.say(scores.origin)
        return scores

    def _judge(
        self, algorithm: SearchAlgorithm, data: Data, context: RunContext, candidates: float
    ) -> Judge:
        train_indices, validation_indices = split_indices(
            data.train.labels, algorithm.splits, context.options.seed
        )
        work = SpaceWork.of(context.problem.space)
        passes = search_passes(self.algorithm, self.recipe, work, len(data.train))
        return Judge(
            weights=algorithm,
            module=algorithm.module,
            images=data.train,
            train=train_indices,
            chosen=choose_images(candidates, train_indices, validation_indices, passes),
            folder=context.options.folder,
            compute=context.compute.to_compute(),
            processes=context.processes,
            progress=context.progress,
        )

    def _train(
        self, algorithm: SearchAlgorithm, data: Data, context: RunContext
    ) -> tuple[TraceLine, ...]:
        problem, options = context.problem, context.options
        teacher = find_teacher(self.recipe, data)
        values = recorded_recipe(self.recipe, teacher)
        return train(
            TaughtSearch(algorithm, self.recipe, teacher, recompute=context.compute.recompute),
            with_policy(data, self.recipe).train,
            context.settings(self.recipe),
            space=context.searched_space().spec,
            recipe=json.dumps({**values, **_target(problem)}, sort_keys=True),
            table_id=problem.table_id,
            folder=options.folder,
            resume=options.resume,
            accept_changes=options.accept_changes,
            progress=TrainingProgress(context.progress),
            processes=context.processes,
            stopwatch=context.stopwatch,
        )


def _target(problem: SearchProblem) -> dict[str, object]:
    """The target, which with the recipe decides a search with shared weights."""
    limits = {"limits": list(labels_of(problem.limits))} if problem.limits else {}
    if problem.weighs_latency:
        return {"target_us": problem.target_us, **limits}
    return {"cost": problem.costs.unit.cost, "most": problem.counted_target, **limits}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSelection:
    """The best network by the scores in a file within the target: no training at all."""

    scores: Path
    needs_images: ClassVar[bool] = False

    def hyperparameters(self) -> dict[str, object]:
        return {}

    def run(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        scores = read_scores_for(self.scores, context.problem.space)
        selection = exact_selection(scores, context.problem)
        # Where a proof was too long, what another network might score above this one.
        gap = f", at most {selection.gap:.4g} below the best" if selection.gap else ""
        candidate = Candidate(
            origin=f"exact selection by {scores.origin}{gap}", choices=selection.choices
        )
        return replace(candidate, log_probability=selection.score), [candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSearch:
    """Random search or evolution, each network scored by a short training."""

    algorithm: str
    recipe: TrainingRecipe
    budget: int
    needs_images: ClassVar[bool] = True

    def hyperparameters(self) -> dict[str, object]:
        return asdict(self.recipe)

    def run(self, context: RunContext) -> tuple[Candidate, list[Candidate]]:
        target = self._check(context)
        trials = TrialFile(
            context.options.folder / TRIALS,
            self._identity(context),
            context.options.resume,
            context.stopwatch,
        )
        result = _BASELINES[self.algorithm](
            self._scorer(trials, context),
            weighed(context.problem),
            target.value,
            budget=self.budget,
            seed=context.options.seed,
        )
        _check_some_succeeded(result, trials)
        labels = context.data().train.labels
        judged_on = len(split_indices(labels, self._shares, context.options.seed)[1])
        candidates = self._candidates(result, trials, judged_on)
        return candidates[0], candidates

    @property
    def _shares(self) -> tuple[float, float]:
        """Of the training images: those that train a trial, and those that judge it."""
        return 1 - self.recipe.held_back, self.recipe.held_back

    def _check(self, context: RunContext) -> CostTarget:
        target = context.problem.target
        assert target is not None  # the options were checked
        if context.processes.world > 1:
            raise UsageError(
                f"The {self.algorithm} search runs in one process.", "Start it without torchrun."
            )
        return target

    def _identity(self, context: RunContext) -> str:
        """Hash of everything that the score of a trial depends on."""
        parts = (
            context.problem.table_id,
            context.searched_space().spec,
            context.data().identity,
            repr(sorted(asdict(self.recipe).items())),
            context.settings(self.recipe).fixed,
        )
        return sha256_bytes("\n".join(parts).encode())

    def _scorer(self, trials: TrialFile, context: RunContext) -> ShortTraining:
        images = with_policy(context.data(), self.recipe).train
        train_indices, validation_indices = split_indices(
            images.labels, self._shares, context.options.seed
        )
        return ShortTraining(
            context.searched_space(),
            images,
            train_indices,
            validation_indices,
            self.recipe,
            context.settings(self.recipe),
            trials,
            context.progress.say,
        )

    def _candidates(
        self, result: BaselineResult, trials: TrialFile, images: int
    ) -> list[Candidate]:
        """All trials, the best first; of equal accuracies the fastest."""
        return [
            Candidate(
                origin=f"trial {trial.number}",
                choices=trial.choices,
                accuracy=None if trial.choices in trials.failures else trial.score,
                scored_by=f"{self.recipe.epochs} epochs of training",
                failed=trials.failures.get(trial.choices),
                images=images,
            )
            for trial in sorted(result.history, key=lambda trial: (-trial.score, trial.cost))
        ]


def _check_some_succeeded(result: BaselineResult, trials: TrialFile) -> None:
    if result.best.choices not in trials.failures:
        return
    raise GateFailed(
        f"All {len(result.history)} trials failed; the best of them: "
        f"{trials.failures[result.best.choices]}",
        "Lower the learning rate (--learning-rate), and choose another folder with --run.",
    )
