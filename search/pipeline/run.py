"""From a request of the command line to a search or a training run, and its files."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch

from search.algorithms.recipe import SearchRecipe
from search.architecture import Architecture, write_architecture
from search.cli.output import show_outcome, show_trained
from search.data.base import Data
from search.data.open import open_data
from search.data.preprocessing import Preparation, write_preparation
from search.errors import UsageError
from search.pipeline.candidates import Found
from search.pipeline.methods import (
    Session,
    search_baseline,
    search_exact,
    search_shared,
    share_choices,
    write_candidates,
)
from search.pipeline.options import Images, Request, Resources, TrainRequest
from search.pipeline.problem import Task, check_classes
from search.pipeline.result import Outcome, write_outcome
from search.places import RETRAIN
from search.selection.exact import network_of
from search.selection.scores import read_scores
from search.training.distributed import Processes, join
from search.training.progress import Observer, make_observer
from search.training.recipe import RetrainRecipe
from search.training.retrain import Trained, check_network, retrain, write_weights
from search.training.settings import Settings
from search.training.stopwatch import Stopwatch
from search.zoo.resolve import find_network

# Images a step where a search trains nothing itself.
_BATCH = 64


def run_search(task: Task, request: Request, resources: Resources, form: str) -> None:
    """Search, write the architecture and its outcome, retrain if asked, print.

    Raises:
        KitError: As the parts do.
    """
    stopwatch = Stopwatch()
    request.check(task)
    recipe, retraining = request.search_recipe(), request.retrain_recipe()
    observer = make_observer(request.quiet)
    with using(resources), join(resources.device) as processes:
        resources.compute.torch_device(processes.local_rank)  # refuses what is not there
        session = _session(task, request, resources, recipe, observer, processes, stopwatch)
        data = _images_for(request, session)
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
            write_outcome(outcome, request.result)
            write_candidates(session, found)
        trained = None
        if request.retrain and data is not None:
            trained, data = _retrain(network, data, retraining, request, session)
        if processes.leads:
            _finish(outcome, request, trained, data, form)


@contextmanager
def using(resources: Resources) -> Iterator[None]:
    """Threads for all that is computed; memory that runs out is told in a sentence."""
    before = torch.get_num_threads()
    try:
        threads = resources.compute.threads
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_little_memory() from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise _too_little_memory() from error
    finally:
        torch.set_num_threads(before)


def _too_little_memory() -> UsageError:
    return UsageError(
        "There is too little memory for this run.",
        "Give a smaller --batch (or a search --recompute), and go on with --resume if "
        "there is a checkpoint.",
    )


def _session(
    task: Task,
    request: Request,
    resources: Resources,
    recipe: SearchRecipe | RetrainRecipe | None,
    observer: Observer,
    processes: Processes,
    stopwatch: Stopwatch,
) -> Session:
    return Session(
        task=task,
        settings=Settings(
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


def _images_for(request: Request, session: Session) -> Data | None:
    """What the search learns from; None where nothing is trained."""
    if request.algorithm == "exact" and not request.retrain:
        return None
    space = session.task.space
    data = _open(request.images, space.before[0].height, request.seed)
    _tell(data, session.say)
    check_classes(space, len(data.classes), session.task.table)
    return data


def _open(images: Images, resolution: int, seed: int) -> Data:
    return open_data(
        images.source,
        resolution=resolution,
        classes=images.classes,
        limit=images.limit,
        seed=seed,
    )


def _tell(data: Data, say: Callable[[str], None]) -> None:
    say(data.describe())
    if data.warning():
        say(data.warning())


def _search(
    session: Session,
    data: Data | None,
    request: Request,
    resources: Resources,
    recipe: SearchRecipe | RetrainRecipe | None,
) -> tuple[Found, list[Found]]:
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
        cast(RetrainRecipe, recipe),
        algorithm=request.algorithm,
        budget=request.budget,
    )


def _retrain(
    network: Architecture, data: Data, recipe: RetrainRecipe, request: Request, session: Session
) -> tuple[Trained, Data]:
    """The trained network, and the images at its resolution."""
    session.say(f"training {network.name} for {recipe.epochs} epochs")
    if network.resolution != data.resolution:  # the search chose a smaller input
        data = _open(request.images, network.resolution, request.seed)
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


def _keep(trained: Trained, data: Data, weights: Path) -> None:
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
    outcome: Outcome, request: Request, trained: Trained | None, data: Data | None, form: str
) -> None:
    if trained is None or data is None:
        show_outcome(outcome, request.output, form)
        return
    _keep(trained, data, request.weights)
    show_outcome(outcome, request.output, form, trained.test, request.weights)


def run_training(request: TrainRequest, resources: Resources, form: str) -> None:
    """Train a named network, write its weights, print its accuracy.

    Raises:
        KitError: As the parts do.
    """
    network = find_network(request.network).architecture
    check_network(network)
    request.check()
    recipe = request.train_recipe()
    settings = Settings(batch=recipe.batch, seed=request.seed, compute=resources.compute)
    observer = make_observer(request.quiet)
    with using(resources), join(resources.device) as processes:
        resources.compute.torch_device(processes.local_rank)
        data = _open(request.images, network.resolution, request.seed)
        if processes.leads:
            _tell(data, observer.notice)
        trained = retrain(
            network,
            data,
            recipe,
            settings,
            folder=request.folder,
            resume=request.resume,
            accept_changes=request.accept_changes,
            observers=(observer,),
            processes=processes,
        )
        if processes.leads:
            _keep(trained, data, request.output)
            show_trained(network, trained.test, request.output, form)


def _command() -> str:
    return shlex.join(["python", "-m", "search", *sys.argv[1:]])
