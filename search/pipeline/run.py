"""One search, from options to files."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search.architecture import Architecture, write_architecture
from search.console.messages import counted
from search.costs.base import slack_target
from search.data.base import Data
from search.files import write_text
from search.latency.trust import wide_rows, wide_rows_held
from search.pipeline.candidates import Candidate, candidate_row, candidates_at_chance
from search.pipeline.context import RunContext
from search.pipeline.images import RunImages, report_images
from search.pipeline.limits.most import weighed
from search.pipeline.live.note import write_note
from search.pipeline.live.page import PAGE, RunState, read_run, run_page
from search.pipeline.methods import SearchMethod, make_method
from search.pipeline.networks.class_counts import settle_classes
from search.pipeline.networks.truth import read_truth
from search.pipeline.options import SearchOptions
from search.pipeline.problem import SearchProblem
from search.pipeline.resources import ComputeOptions, joined_processes
from search.pipeline.result import SearchResult, TrainedRow, TruthRow, write_result
from search.pipeline.run_folder import RETRAIN
from search.pipeline.train import find_teacher, keep_weights, warn_of_chance
from search.spaces.classes import classes_of
from search.training.compute.distributed import ProcessGroup, peers
from search.training.evaluate import Accuracy
from search.training.progress import TrainingProgress
from search.training.recipe import TrainingRecipe
from search.training.retrain import TrainedNetwork, retrain
from search.training.run.run_control import Stopwatch

_MOST_WRITTEN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOutput:
    """The result of a search and the files it was written to.

    `test` and `weights` are those of the retrained network, None without one;
    `best_epoch` is where the test images chose its weights.
    """

    result: SearchResult
    architecture: Path
    test: Accuracy | None = None
    weights: Path | None = None
    best_epoch: int | None = None


def run_search(
    problem: SearchProblem, options: SearchOptions, compute: ComputeOptions
) -> SearchOutput | None:
    """Search, write the architecture and its result, retrain if asked.

    Returns:
        None in every process but the first.

    Raises:
        KitError: As the parts do.
    """
    stopwatch = Stopwatch()
    options.check(problem)
    method = make_method(options)
    retraining = options.retrain_recipe() if options.retrain else None
    with joined_processes(compute, quiet=options.quiet) as (processes, progress):
        context = RunContext(
            problem=problem,
            options=options,
            compute=compute,
            images=RunImages(options.images, options.seed),
            processes=processes,
            progress=progress,
            stopwatch=stopwatch,
        )
        if slack := slack_target(problem.costs, problem.target):
            progress.say(slack)
        if method.needs_images or options.retrain:
            context = _open_images(context)
        network, result = _search(method, context)
        trained = None if retraining is None else _retrain(network, retraining, context)
        if trained is not None:
            result = _with_accuracy(result, trained.test, context)
    return _output(result, trained, options) if processes.leads else None


def _open_images(context: RunContext) -> RunContext:
    """The context for the classes of its images, which are opened before any work."""
    data = context.data()
    report_images(data, context.progress.say)
    problem, note = settle_classes(context.problem, data, context.images)
    if note:
        context.progress.say(note)
    return replace(context, problem=problem)


def _search(method: SearchMethod, context: RunContext) -> tuple[Architecture, SearchResult]:
    """The chosen network and the result; the first process has written both."""
    options = context.options
    if method.needs_images and context.processes.leads:
        write_note(context.problem, options)
    chosen, candidates = method.run(context)
    if method.needs_images:
        poor = candidates_at_chance(candidates, context.data().train.labels)
        if poor:
            context.progress.say(poor)
    choices = _agreed(chosen.choices, context.processes)
    network = context.problem.network(choices, options.output.stem)
    result = _result(method, chosen, candidates, context)
    if context.processes.leads:
        write_architecture(network, options.output)
        write_result(result, options.result)
        _write_candidates(candidates, context)
        _write_page(context)
    return network, result


def _write_page(context: RunContext) -> None:
    """The run as a page, where its folder holds something to be drawn."""
    folder = context.options.folder
    state = RunState() if not folder.is_dir() else read_run(folder)
    if state.search or state.retraining:
        title = f"{context.options.algorithm} search, {context.images.describe()}"
        write_text(folder / PAGE, run_page(state, title))


def _with_accuracy(result: SearchResult, test: Accuracy, context: RunContext) -> SearchResult:
    """The result with the accuracy of the trained network; the first process writes it again."""
    (low, high), options = test.top1_interval, context.options
    trained = TrainedRow(
        top1=test.top1,
        top1_low=low,
        top1_high=high,
        top5=test.top5,
        images=test.images,
        weights=options.weights.name,
    )
    result = result.model_copy(update={"trained": trained})
    if context.processes.leads:
        write_result(result, options.result)
        _write_page(context)
    return result


def _agreed(choices: Sequence[int], processes: ProcessGroup) -> tuple[int, ...]:
    """The first process's network in every process."""
    if processes.world == 1:
        return tuple(choices)
    backend = torch.distributed.get_backend()
    device = torch.device("cuda", processes.local_rank) if backend == "nccl" else "cpu"
    shared = torch.tensor(np.asarray(choices), dtype=torch.int64, device=device)
    with peers():
        torch.distributed.broadcast(shared, src=0)
    return tuple(int(choice) for choice in shared.tolist())


def _result(
    method: SearchMethod,
    chosen: Candidate,
    candidates: Sequence[Candidate],
    context: RunContext,
) -> SearchResult:
    """The result, with all that it rests on."""
    problem, options = context.problem, context.options
    network = problem.network(chosen.choices, options.output.stem)
    cost = float(problem.costs.cost_of([chosen.choices])[0])
    return SearchResult(
        architecture=options.output.name,
        algorithm=options.algorithm,
        chosen=candidate_row(chosen, problem),
        candidates=tuple(candidate_row(candidate, problem) for candidate in candidates),
        cost=problem.costs.unit.cost,
        target_us=problem.target_us,
        most=problem.counted_target,
        target_used=None if problem.target is None else cost / problem.target.value,
        probability=problem.probability,
        **_table_of(problem, network),
        space=problem.space.spec,
        classes=network.classes,
        batch=network.batch,
        priced_classes=classes_of(problem.space) if problem.prices_other_classes else None,
        data=context.images.describe(),
        recipe=method.hyperparameters(),
        seed=options.seed,
        seconds=round(context.stopwatch.seconds(), 1),
        waivers=problem.waivers.as_flags(),
        command=shlex.join(["python", "-m", "search", *sys.argv[1:]]),
        truth=_truth_of(chosen, context),
    )


def _truth_of(chosen: Candidate, context: RunContext) -> TruthRow | None:
    """What the benchmark of `--truth` knows of the network chosen."""
    problem, path = context.problem, context.options.truth
    if path is None:
        return None
    most = None if problem.target is None else problem.target.value
    return read_truth(path, problem.space).of(chosen.choices, weighed(problem), most)


def _table_of(problem: SearchProblem, network: Architecture) -> dict[str, Any]:
    """The fields of a result that its table gives; those of no table without one."""
    if problem.priced is None:
        return {"table_id": "", "table": "", "device": "", "table_source": "none"}
    table = problem.table
    return {
        "table_id": table.manifest.table_id,
        "table": table.label,
        "device": table.manifest.device.id,
        "table_source": table.manifest.source,
        "wide_rows": len(wide_rows(table)),
        "wide_rows_used": wide_rows_held(table, network.operators),
    }


def _write_candidates(candidates: Sequence[Candidate], context: RunContext) -> None:
    """Write candidates, where there is a choice, as architecture files in the run's folder.

    Those whose trial failed are left out; they come last.
    """
    if len(candidates) < 2:
        return
    sound = [candidate for candidate in candidates if candidate.failed is None]
    for number, candidate in enumerate(sound[:_MOST_WRITTEN], 1):
        name = f"candidate-{number}"
        write_architecture(
            context.problem.network(candidate.choices, name),
            context.options.folder / "candidates" / f"{name}.json",
        )


def _retrain(network: Architecture, recipe: TrainingRecipe, context: RunContext) -> TrainedNetwork:
    """Train the chosen network from scratch; the first process writes its weights."""
    options = context.options
    context.progress.say(f"training {network.name} for {counted(recipe.epochs, 'epoch')}")
    data = _images_of(network, context)
    trained = retrain(
        network,
        data,
        recipe,
        context.settings(recipe),
        folder=options.folder / RETRAIN,
        resume=options.resume,
        accept_changes=options.accept_changes,
        progress=TrainingProgress(context.progress),
        processes=context.processes,
        teacher=find_teacher(recipe, data),
    )
    if context.processes.leads:
        keep_weights(trained, data, options.weights)
        warn_of_chance(trained.test, data, context.progress)
    return trained


def _images_of(network: Architecture, context: RunContext) -> Data:
    """Images to train the network on: at its own resolution, and of all its classes.

    A search may choose a smaller input, and may itself use some of the classes.
    """
    data = context.images.at(network.resolution)
    if len(data.classes) == network.classes:
        return data
    data = context.images.of_all_classes().at(network.resolution)
    report_images(data, context.progress.say)
    return data


def _output(
    result: SearchResult, trained: TrainedNetwork | None, options: SearchOptions
) -> SearchOutput:
    if trained is None:
        return SearchOutput(result=result, architecture=options.output)
    return SearchOutput(
        result=result,
        architecture=options.output,
        test=trained.test,
        weights=options.weights,
        best_epoch=trained.best_epoch,
    )
