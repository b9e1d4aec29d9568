"""From the words of the command line to a search or a training run, and its files."""

import shlex
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from search.algorithms.fbnet_recipe import RECIPES as SEARCH_RECIPES
from search.algorithms.fbnet_recipe import FBNetRecipe
from search.algorithms.fbnet_recipe import make_recipe as make_search_recipe
from search.architecture import Architecture, write_architecture
from search.candidates import Found
from search.data.base import Data
from search.data.open import open_data
from search.errors import UsageError
from search.exact import network_of
from search.named import find_network
from search.outcome import Outcome, write_outcome
from search.preparation import Preparation, write_preparation
from search.report import show_outcome, show_trained
from search.retrain import Trained, retrain, write_weights
from search.scores import read_scores
from search.session import (
    Session,
    search_baseline,
    search_exact,
    search_fbnet,
    share_choices,
    write_candidates,
)
from search.task import Task, check_classes
from search.training.observer import Observer, make_observer
from search.training.parallel import Processes, join
from search.training.precision import Compute
from search.training.recipes import RetrainRecipe, make_recipe
from search.training.settings import Settings

# A trial of the baselines is a short training.
TRIAL_EPOCHS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where and how to compute."""

    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    recompute: bool = False
    threads: int | None = None

    @property
    def compute(self) -> Compute:
        """For the engine."""
        return Compute(
            device=self.device,
            dtype=self.precision,
            compile=self.compile,
            threads=self.threads,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `python -m search` is asked for besides table and target."""

    algorithm: str
    data: str
    classes: int | None
    limit: int | None
    recipe: str
    epochs: int | None
    batch: int | None
    budget: int
    scores: Path | None
    seed: int
    probability: float | None
    output: Path
    folder: Path
    retrain: bool
    retrain_epochs: int | None
    resume: bool
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What `python -m search train` is asked for."""

    network: str
    data: str
    classes: int | None
    limit: int | None
    recipe: str
    epochs: int | None
    batch: int | None
    seed: int
    output: Path
    folder: Path
    resume: bool
    quiet: bool


def run_search(task: Task, request: Request, resources: Resources, form: str) -> None:
    """Search, write the architecture and its outcome, retrain if asked, print.

    Raises:
        KitError: As the parts do.
    """
    started = time.monotonic()
    if request.output.suffix != ".json":
        raise UsageError(f"An architecture file ends in .json, not {request.output.name}.")
    observer = make_observer(request.quiet)
    with join(resources.device) as processes:
        data = None if request.algorithm == "exact" else _open(request, task, observer)
        session, recipe = _session(task, request, resources, observer, processes)
        chosen, found = _search(session, data, request, resources, recipe)
        choices = share_choices(chosen.choices, processes)
        network = network_of(task.space, choices, request.output.stem)
        outcome = session.outcome(
            request.algorithm,
            chosen,
            found,
            architecture=request.output,
            data=data.describe() if data else "none",
            recipe=asdict(recipe) if recipe else {},
            started=started,
            command=_command(),
        )
        if processes.leads:
            write_architecture(network, request.output)
            write_outcome(outcome, request.output.with_suffix(".result.json"))
            write_candidates(session, found)
        trained = _retrain(network, data, request, session) if request.retrain and data else None
        if processes.leads:
            _finish(outcome, request.output, trained, data, form)


def _session(
    task: Task, request: Request, resources: Resources, observer: Observer, processes: Processes
) -> tuple[Session, FBNetRecipe | RetrainRecipe | None]:
    recipe = _recipe(request)
    settings = Settings(
        batch=request.batch or (recipe.batch if recipe else 64),
        seed=request.seed,
        compute=resources.compute,
    )
    session = Session(
        task=task,
        settings=settings,
        folder=request.folder,
        resume=request.resume,
        probability=request.probability,
        observers=(observer,),
        processes=processes,
    )
    return session, recipe


def _open(request: Request | TrainRequest, task: Task, observer: Observer) -> Data:
    if request.data == "digits" or Path(request.data).exists():
        classes = request.classes
    else:
        raise UsageError(f"There are no images at {request.data}.", "Name a folder, or digits.")
    data = open_data(
        request.data,
        resolution=task.space.before[0].height,
        classes=classes,
        limit=request.limit,
        seed=request.seed,
    )
    _tell(data, observer)
    check_classes(task.space, len(data.classes), task.table)
    return data


def _tell(data: Data, observer: Observer) -> None:
    observer.notice(data.describe())
    if data.warning():
        observer.notice(data.warning())


def _recipe(request: Request) -> FBNetRecipe | RetrainRecipe | None:
    if request.recipe not in SEARCH_RECIPES:
        known = ", ".join(SEARCH_RECIPES)
        raise UsageError(f"Unknown --recipe {request.recipe!r}.", f"Known: {known}.")
    if request.algorithm == "exact":
        return None
    if request.algorithm == "fbnet":
        recipe = make_search_recipe(request.recipe)
        if request.epochs is None:
            return recipe
        return replace(
            recipe,
            epochs=request.epochs,
            freeze_epochs=min(recipe.freeze_epochs, request.epochs - 1),
        )
    return replace(
        make_recipe(request.recipe), epochs=request.epochs or TRIAL_EPOCHS, warmup_epochs=0.5
    )


def _search(
    session: Session,
    data: Data | None,
    request: Request,
    resources: Resources,
    recipe: FBNetRecipe | RetrainRecipe | None,
) -> tuple[Found, list[Found]]:
    if data is None:
        assert request.scores is not None
        return search_exact(session, read_scores(request.scores, session.task.space))
    if isinstance(recipe, FBNetRecipe):
        return search_fbnet(session, data, recipe, checkpoint=resources.recompute)
    return search_baseline(
        session,
        data,
        cast(RetrainRecipe, recipe),
        algorithm=request.algorithm,
        budget=request.budget,
    )


def _retrain(network: Architecture, data: Data, request: Request, session: Session) -> Trained:
    recipe = make_recipe(request.recipe)
    if request.retrain_epochs is not None:
        recipe = replace(recipe, epochs=request.retrain_epochs)
    session.say(f"training {network.name} for {recipe.epochs} epochs")
    return retrain(
        network,
        data,
        recipe,
        replace(session.settings, batch=recipe.batch),
        folder=request.folder / "retrain",
        resume=request.resume,
        observers=session.observers,
        processes=session.processes,
    )


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
    outcome: Outcome, output: Path, trained: Trained | None, data: Data | None, form: str
) -> None:
    weights = None
    if trained is not None and data is not None:
        weights = output.with_suffix(".pt")
        _keep(trained, data, weights)
    show_outcome(outcome, output, form, trained.test if trained else None, weights)


def run_training(request: TrainRequest, resources: Resources, form: str) -> None:
    """Train a named network, write its weights, print its accuracy.

    Raises:
        KitError: As the parts do.
    """
    network = find_network(request.network).architecture
    recipe = make_recipe(request.recipe)
    if request.epochs is not None:
        recipe = replace(recipe, epochs=request.epochs)
    if request.batch is not None:
        recipe = replace(recipe, batch=request.batch)
    observer = make_observer(request.quiet)
    with join(resources.device) as processes:
        data = open_data(
            request.data,
            resolution=network.resolution,
            classes=request.classes,
            limit=request.limit,
            seed=request.seed,
        )
        if processes.leads:
            _tell(data, observer)
        trained = retrain(
            network,
            data,
            recipe,
            Settings(batch=recipe.batch, seed=request.seed, compute=resources.compute),
            folder=request.folder,
            resume=request.resume,
            observers=(observer,),
            processes=processes,
        )
        if processes.leads:
            _keep(trained, data, request.output)
            show_trained(network, trained.test, request.output, form)


def _command() -> str:
    return shlex.join(["python", "-m", "search", *sys.argv[1:]])
