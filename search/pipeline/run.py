"""From a request of the command line to a search or a training run, and its files."""

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from search.algorithms.recipe import SearchRecipe
from search.architecture import Architecture, write_architecture
from search.cli.output import show_result
from search.data.base import Data
from search.data.preprocessing import Preparation, write_preparation
from search.pipeline.candidates import Candidate
from search.pipeline.context import RunContext, share_choices, write_candidates
from search.pipeline.images import images_for, open_images
from search.pipeline.methods import search_baseline, search_exact, search_shared
from search.pipeline.options import SearchOptions
from search.pipeline.problem import SearchProblem
from search.pipeline.resources import ComputeOptions, compute_resources
from search.pipeline.result import SearchResult, write_result
from search.pipeline.run_folder import RETRAIN
from search.selection.exact import network_of
from search.selection.scores import read_scores
from search.training.distributed import ProcessGroup, join
from search.training.progress import Observer, make_observer
from search.training.recipe import TrainingRecipe
from search.training.retrain import TrainedNetwork, retrain, write_weights
from search.training.run_control import Stopwatch
from search.training.settings import TrainingSettings

# Images a step where a search trains nothing itself.
_BATCH = 64


def run_search(
    task: SearchProblem, request: SearchOptions, resources: ComputeOptions, form: str
) -> None:
    """Search, write the architecture and its outcome, retrain if asked, print.

    Raises:
        KitError: As the parts do.
    """
    stopwatch = Stopwatch()
    request.check(task)
    recipe, retraining = request.search_recipe(), request.retrain_recipe()
    observer = make_observer(request.quiet)
    with compute_resources(resources), join(resources.device) as processes:
        resources.compute.torch_device(processes.local_rank)  # refuses what is not there
        session = _session(task, request, resources, recipe, observer, processes, stopwatch)
        data = images_for(request, session)
        chosen, found = _search(session, data, request, resources, recipe)
        network = network_of(
            task.space, share_choices(chosen.choices, processes), request.output.stem
        )
        outcome = session.outcome(
            request.algorithm,
            chosen,
            found,
            architecture=request.output,
            data=data.describe() if data else "none",
            recipe=asdict(recipe) if recipe else {},
            command=_command(),
        )
        if processes.leads:
            write_architecture(network, request.output)
            write_result(outcome, request.result)
            write_candidates(session, found)
        trained = None
        if request.retrain and data is not None:
            trained, data = _retrain(network, data, retraining, request, session)
        if processes.leads:
            _finish(outcome, request, trained, data, form)


def _session(
    task: SearchProblem,
    request: SearchOptions,
    resources: ComputeOptions,
    recipe: SearchRecipe | TrainingRecipe | None,
    observer: Observer,
    processes: ProcessGroup,
    stopwatch: Stopwatch,
) -> RunContext:
    return RunContext(
        task=task,
        settings=TrainingSettings(
            batch=recipe.batch if recipe else _BATCH,
            seed=request.seed,
            compute=resources.compute,
        ),
        folder=request.folder,
        resume=request.resume,
        accept_changes=request.accept_changes,
        observers=(observer,),
        processes=processes,
        stopwatch=stopwatch,
    )


def _search(
    session: RunContext,
    data: Data | None,
    request: SearchOptions,
    resources: ComputeOptions,
    recipe: SearchRecipe | TrainingRecipe | None,
) -> tuple[Candidate, list[Candidate]]:
    if request.algorithm == "exact":
        assert request.scores is not None
        return search_exact(session, read_scores(request.scores, session.task.space))
    assert data is not None
    if isinstance(recipe, SearchRecipe):
        return search_shared(
            session,
            data,
            recipe,
            algorithm=request.algorithm,
            checkpoint=resources.recompute,
        )
    return search_baseline(
        session,
        data,
        cast(TrainingRecipe, recipe),
        algorithm=request.algorithm,
        budget=request.budget,
    )


def _retrain(
    network: Architecture,
    data: Data,
    recipe: TrainingRecipe,
    request: SearchOptions,
    session: RunContext,
) -> tuple[TrainedNetwork, Data]:
    """The trained network, and the images at its resolution."""
    session.say(f"training {network.name} for {recipe.epochs} epochs")
    if network.resolution != data.resolution:  # the search chose a smaller input
        data = open_images(request.images, network.resolution, request.seed)
    trained = retrain(
        network,
        data,
        recipe,
        replace(session.settings, batch=recipe.batch),
        folder=request.folder / RETRAIN,
        resume=request.resume,
        accept_changes=request.accept_changes,
        observers=session.observers,
        processes=session.processes,
    )
    return trained, data


def keep_weights(trained: TrainedNetwork, data: Data, weights: Path) -> None:
    """Weights, and how images must be prepared for them."""
    note = Preparation(
        data=data.name,
        classes=data.classes,
        resolution=data.resolution,
        mean=data.normalisation.mean,
        std=data.normalisation.std,
        test_top1=trained.test.top1,
    )
    write_weights(trained.network, weights)
    write_preparation(note, weights)


def _finish(
    outcome: SearchResult,
    request: SearchOptions,
    trained: TrainedNetwork | None,
    data: Data | None,
    form: str,
) -> None:
    if trained is None or data is None:
        show_result(outcome, request.output, form)
        return
    keep_weights(trained, data, request.weights)
    show_result(outcome, request.output, form, trained.test, request.weights)


def _command() -> str:
    return shlex.join(["python", "-m", "search", *sys.argv[1:]])
