"""One search from a task to an outcome, by each of the methods."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

from search.algorithms.baselines.search import BaselineResult, evolve, random_search
from search.algorithms.baselines.trials import ShortTraining, TrialFile
from search.algorithms.recipe import SearchRecipe
from search.algorithms.registry import load_method
from search.data.base import Data
from search.data.split import split_indices
from search.errors import GateFailed, UsageError
from search.files import sha256_bytes, write_text
from search.pipeline.candidates import (
    Candidate,
    candidates_of,
    choose_candidate,
    exact_choice,
    rank_candidates,
)
from search.pipeline.context import RunContext
from search.pipeline.problem import SearchProblem, check_classes
from search.selection.scores import Scores, dump_scores, from_probabilities
from search.training.engine import train
from search.training.plot import write_plot
from search.training.recipe import TrainingRecipe
from search.training.seeds import fresh_weights

SCORES = "scores.json"
TRIALS = "trials.jsonl"
PLOT = "trace.html"
_HELD = 0.2


def search_shared(
    session: RunContext,
    data: Data,
    recipe: SearchRecipe,
    *,
    algorithm: str,
    checkpoint: bool = False,
) -> tuple[Candidate, list[Candidate]]:
    """A search with shared weights, then its candidates ranked by them.

    Writes scores.json (for exact selection under other targets and tables of
    the same space) and trace.html into the session's folder.

    Returns:
        The chosen network, and all candidates, the best first.

    Raises:
        UsageError: Data and table do not fit, or the run cannot be resumed.
        GateFailed: The loss is not a number.
    """
    task, settings = session.task, session.settings
    check_classes(task.space, len(data.classes), task.table)
    with fresh_weights(settings.seed):
        method = load_method(algorithm)(
            task.space, task.costs, recipe=recipe, target_us=task.limit, checkpoint=checkpoint
        )
    lines = train(
        method,
        data.train,
        settings,
        space=task.space.spec,
        recipe=json.dumps({**asdict(recipe), **_target(task)}, sort_keys=True),
        table_id=task.table.manifest.table_id,
        folder=session.folder,
        resume=session.resume,
        accept_changes=session.accept_changes,
        observers=session.observers,
        processes=session.processes,
        stopwatch=session.stopwatch,
    )
    if session.processes.leads:
        scores = from_probabilities(
            method.probabilities().numpy(), task.space, f"{method.name} on {task.table.label}"
        )
        write_text(session.folder / SCORES, dump_scores(scores))
        write_plot(lines, session.folder / PLOT, f"{method.name} search, {data.name}")
    found = candidates_of(method, task, seed=settings.seed, samples=recipe.samples)
    learnt, held = split_indices(data.train.labels, method.splits, settings.seed)
    ranked = rank_candidates(found, method, data.train, learnt, held)
    return choose_candidate(ranked, task), ranked


def _target(task: SearchProblem) -> dict[str, object]:
    """What besides the recipe decides a search with shared weights."""
    if task.costs.unit == "us":
        return {"target_us": task.target_us}
    return {"cost": task.costs.unit, "most": task.most}


def search_exact(session: RunContext, scores: Scores) -> tuple[Candidate, list[Candidate]]:
    """The best network by given scores within the target: no training at all.

    Raises:
        UsageError: No target, scores of another space, an infeasible target.
    """
    if session.task.target_us is None:
        raise UsageError("The exact selection needs a latency target.", "Give --target-ms.")
    choices = exact_choice(scores, session.task)
    total = float(sum(scores.values[layer, choice] for layer, choice in enumerate(choices)))
    found = Candidate(origin=f"exact selection by {scores.origin}", choices=choices)
    return replace(found, log_probability=total), [found]


def search_baseline(
    session: RunContext, data: Data, recipe: TrainingRecipe, *, algorithm: str, budget: int
) -> tuple[Candidate, list[Candidate]]:
    """Random search or evolution, each network scored by a short training.

    Raises:
        UsageError: No target, or data that do not fit the table.
        GateFailed: Every trial failed.
    """
    task, settings = session.task, session.settings
    if task.target_us is None:
        raise UsageError(f"The {algorithm} search needs a latency target.", "Give --target-ms.")
    if session.processes.world > 1:
        raise UsageError(
            f"The {algorithm} search runs in one process.", "Start it without torchrun."
        )
    check_classes(task.space, len(data.classes), task.table)
    learnt, held = split_indices(data.train.labels, (1 - _HELD, _HELD), settings.seed)
    trials = TrialFile(
        session.folder / TRIALS,
        _identity(session, data, recipe),
        session.resume,
        session.stopwatch,
    )
    scorer = ShortTraining(
        task.space,
        data.train,
        learnt,
        held,
        recipe,
        settings,
        trials,
        session.say,
    )
    run: Callable[..., BaselineResult] = random_search if algorithm == "random" else evolve
    tried = run(scorer, task.costs, task.target_us, budget=budget, seed=settings.seed)
    _check_some_succeeded(tried, trials)
    found = [
        Candidate(
            origin=f"trial {trial.number}",
            choices=trial.choices,
            accuracy=None if trial.choices in trials.failures else trial.score,
            scored_by=f"{recipe.epochs} epochs of training",
            failed=trials.failures.get(trial.choices),
        )
        for trial in sorted(tried.history, key=lambda trial: (-trial.score, trial.latency_us))
    ]
    return found[0], found


def _check_some_succeeded(tried: BaselineResult, trials: TrialFile) -> None:
    if tried.best.choices not in trials.failures:
        return
    raise GateFailed(
        f"All {len(tried.history)} trials failed; the best of them: "
        f"{trials.failures[tried.best.choices]}",
        "Lower the learning rate (--learning-rate), and choose another folder with --run.",
    )


def _identity(session: RunContext, data: Data, recipe: TrainingRecipe) -> str:
    parts = (
        session.task.table.manifest.table_id,
        session.task.space.spec,
        data.identity,
        repr(sorted(asdict(recipe).items())),
        session.settings.fixed,
    )
    return sha256_bytes("\n".join(parts).encode())
