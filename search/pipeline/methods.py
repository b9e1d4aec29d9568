"""One search from a task to an outcome, by each of the methods."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from search.algorithms.baselines.search import Outcome as Trials
from search.algorithms.baselines.search import evolve, random_search
from search.algorithms.baselines.trials import ShortTraining, TrialFile
from search.algorithms.recipe import SearchRecipe
from search.algorithms.registry import load_method
from search.architecture import write_architecture
from search.costs.matrix import LATENCY
from search.data.base import Data
from search.data.split import split_indices
from search.errors import GateFailed, UsageError
from search.files import sha256_bytes, write_text
from search.pipeline.candidates import Found, candidates_of, choose, describe, exact_choice, rank
from search.pipeline.problem import Task, check_classes
from search.pipeline.result import Outcome
from search.selection.exact import network_of
from search.selection.scores import Scores, dump_scores, from_probabilities
from search.training.distributed import Processes, peers
from search.training.engine import train
from search.training.plot import write_plot
from search.training.progress import Observer
from search.training.recipe import RetrainRecipe
from search.training.seeds import fresh_weights
from search.training.settings import Settings, Subject
from search.training.stopwatch import Stopwatch

SCORES = "scores.json"
TRIALS = "trials.jsonl"
PLOT = "trace.html"
_HELD = 0.2
_MOST_WRITTEN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every method is given besides its own hyperparameters.

    `folder` keeps checkpoints, trace, scores and trials, for `resume`.
    """

    task: Task
    settings: Settings
    folder: Path
    resume: bool = False
    accept_changes: bool = False
    observers: Sequence[Observer] = ()
    processes: Processes = field(default_factory=Processes)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def say(self, text: str) -> None:
        """Tell the user."""
        if self.processes.leads:
            for observer in self.observers:
                observer.notice(text)

    def outcome(
        self,
        algorithm: str,
        chosen: Found,
        found: Sequence[Found],
        *,
        architecture: Path,
        data: str,
        recipe: dict[str, object],
        command: str,
    ) -> Outcome:
        """The result, with all that it rests on."""
        task, manifest = self.task, self.task.table.manifest
        return Outcome(
            architecture=architecture.name,
            algorithm=algorithm,
            chosen=describe(chosen, task),
            candidates=tuple(describe(one, task) for one in found),
            cost=LATENCY if task.costs.unit == "us" else task.costs.unit,
            target_us=task.target_us,
            most=task.most,
            probability=task.probability,
            table_id=manifest.table_id,
            table=task.table.label,
            device=manifest.device.id,
            table_source=manifest.source,
            space=task.space.spec,
            data=data,
            recipe=recipe,
            seed=self.settings.seed,
            seconds=round(self.stopwatch.seconds(), 1),
            waivers=task.waivers.as_words(),
            command=command,
        )


def search_shared(
    session: Session,
    data: Data,
    recipe: SearchRecipe,
    *,
    algorithm: str,
    checkpoint: bool = False,
) -> tuple[Found, list[Found]]:
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
        subject=Subject(
            space=task.space.spec,
            recipe=json.dumps({**asdict(recipe), **_target(task)}, sort_keys=True),
            table_id=task.table.manifest.table_id,
        ),
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
    ranked = rank(found, method, data.train, learnt, held)
    return choose(ranked, task), ranked


def _target(task: Task) -> dict[str, object]:
    """What besides the recipe decides a search with shared weights."""
    if task.costs.unit == "us":
        return {"target_us": task.target_us}
    return {"cost": task.costs.unit, "most": task.most}


def search_exact(session: Session, scores: Scores) -> tuple[Found, list[Found]]:
    """The best network by given scores within the target: no training at all.

    Raises:
        UsageError: No target, scores of another space, an infeasible target.
    """
    if session.task.target_us is None:
        raise UsageError("The exact selection needs a latency target.", "Give --target-ms.")
    choices = exact_choice(scores, session.task)
    total = float(sum(scores.values[layer, choice] for layer, choice in enumerate(choices)))
    found = Found(origin=f"exact selection by {scores.origin}", choices=choices)
    return replace(found, log_probability=total), [found]


def search_baseline(
    session: Session, data: Data, recipe: RetrainRecipe, *, algorithm: str, budget: int
) -> tuple[Found, list[Found]]:
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
    run: Callable[..., Trials] = random_search if algorithm == "random" else evolve
    tried = run(scorer, task.costs, task.target_us, budget=budget, seed=settings.seed)
    _check_some_succeeded(tried, trials)
    found = [
        Found(
            origin=f"trial {trial.number}",
            choices=trial.choices,
            accuracy=None if trial.choices in trials.failures else trial.score,
            scored_by=f"{recipe.epochs} epochs of training",
            failed=trials.failures.get(trial.choices),
        )
        for trial in sorted(tried.history, key=lambda trial: (-trial.score, trial.latency_us))
    ]
    return found[0], found


def _check_some_succeeded(tried: Trials, trials: TrialFile) -> None:
    if tried.best.choices not in trials.failures:
        return
    raise GateFailed(
        f"All {len(tried.history)} trials failed; the best of them: "
        f"{trials.failures[tried.best.choices]}",
        "Lower the learning rate (--learning-rate), and choose another folder with --run.",
    )


def _identity(session: Session, data: Data, recipe: RetrainRecipe) -> str:
    parts = (
        session.task.table.manifest.table_id,
        session.task.space.spec,
        data.identity,
        repr(sorted(asdict(recipe).items())),
        session.settings.fixed,
    )
    return sha256_bytes("\n".join(parts).encode())


def share_choices(choices: Sequence[int], processes: Processes) -> tuple[int, ...]:
    """The first process's network in every process."""
    if processes.world == 1:
        return tuple(choices)
    backend = torch.distributed.get_backend()
    device = torch.device("cuda", processes.local_rank) if backend == "nccl" else "cpu"
    shared = torch.tensor(np.asarray(choices), dtype=torch.int64, device=device)
    with peers():
        torch.distributed.broadcast(shared, src=0)
    return tuple(int(choice) for choice in shared.tolist())


def write_candidates(session: Session, found: Sequence[Found]) -> None:
    """Candidates, where there is a choice, as architecture files in the session's folder.

    Those whose trial failed are left out; they come last.
    """
    if len(found) < 2:
        return
    sound = [one for one in found if one.failed is None]
    for number, one in enumerate(sound[:_MOST_WRITTEN], 1):
        name = f"candidate-{number}"
        write_architecture(
            network_of(session.task.space, one.choices, name),
            session.folder / "candidates" / f"{name}.json",
        )
