"""Training of one network from scratch, and the file of its weights."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from search.architecture import Architecture
from search.data.base import Data, ImageSet
from search.data.policies.images import PolicyImages
from search.data.policies.policy import make_policy
from search.errors import UsageError
from search.files import write_bytes
from search.operators.modules import build_network
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute
from search.training.compute.seeds import fresh_weights
from search.training.engine import train
from search.training.evaluate import Accuracy
from search.training.ingredients.teacher import Teacher
from search.training.progress import TrainingProgress
from search.training.recipe import TrainingRecipe
from search.training.settings import TrainingSettings, recipe_text
from search.training.single_network import SingleNetworkTraining
from search.training.validation import Validation, judge_together


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """A trained network and its accuracy on images that it never saw.

    `best_epoch` is the epoch, counted from 1, whose weights these are where the test
    images chose them: the accuracy is then a little too good. None for the last.
    """

    network: nn.Module
    test: Accuracy
    best_epoch: int | None = None


def check_network(architecture: Architecture) -> None:
    """Check that a network begins with an image and ends in classes.

    Raises:
        UsageError: It does not.
    """
    first, last = architecture.operators[0], architecture.operators[-1]
    if first.in_channels != 3 or last.kind != "classifier":
        raise UsageError(
            f"{architecture.name} is no whole network: it begins with {first.key} "
            f"and ends in {last.key}.",
            "Name an architecture that goes from an image to classes.",
        )


def check_fits(architecture: Architecture, data: Data) -> None:
    """Check that images and network agree.

    Raises:
        UsageError: Another resolution or number of classes.
    """
    if architecture.resolution != data.resolution:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution} px images, not "
            f"{data.resolution}.",
            f"Open the images at {architecture.resolution} px.",
        )
    if architecture.classes != len(data.classes):
        raise UsageError(
            f"{architecture.name} tells {architecture.classes} classes apart; "
            f"{data.name} has {len(data.classes)}.",
            "Name other images with --data, or choose that many classes with --classes.",
        )


def retrain(
    architecture: Architecture,
    data: Data,
    recipe: TrainingRecipe,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    progress: TrainingProgress | None = None,
    processes: ProcessGroup | None = None,
    teacher: Teacher | None = None,
) -> TrainedNetwork:
    """Train from fresh weights that depend on the seed alone; then evaluate on the test images.

    Raises:
        UsageError: No whole network, images that do not fit it, or as
            `search.training.engine.train`.
        GateFailed: The loss is not a number.
    """
    check_network(architecture)
    check_fits(architecture, data)
    processes = processes or ProcessGroup()
    with fresh_weights(settings.seed):
        network = build_network(architecture.operators)
    method = SingleNetworkTraining(network, recipe, teacher=teacher)
    validation = _validation(method, data, folder, resume)
    train(
        method,
        with_policy(data, recipe).train,
        settings,
        space=" ".join(operator.key for operator in architecture.operators),
        recipe=json.dumps(recorded_recipe(recipe, teacher), sort_keys=True),
        folder=folder,
        resume=resume,
        accept_changes=accept_changes,
        progress=progress,
        processes=processes,
        validation=validation,
    )
    best = validation.best if validation and recipe.keep == "best" else None
    if best is not None:
        best.put_into(method.result)
        processes.agree_on(method.result)
    return TrainedNetwork(
        network=method.result,
        test=_judged(method.result, data.test, processes),
        best_epoch=best.epoch if best else None,
    )


def _judged(network: nn.Module, images: ImageSet, processes: ProcessGroup) -> Accuracy:
    every = torch.arange(len(images))
    return judge_together(network, images, every, Compute(), processes)


def _validation(
    method: SingleNetworkTraining, data: Data, folder: Path | None, resume: bool
) -> Validation | None:
    recipe = method.recipe
    if not recipe.validate_every:
        return None
    return Validation(
        method.result,
        data.test,
        every=recipe.validate_every,
        most=recipe.validate_images,
        folder=folder,
        resume=resume,
    )


def recorded_recipe(recipe: object, teacher: Teacher | None) -> dict[str, object]:
    """A recipe's values as checkpoints record them; a teacher by its weights, wherever they lie."""
    values: dict[str, object] = json.loads(recipe_text(recipe))
    if teacher is not None:
        values |= {"teacher": teacher.identity, "teacher_weights": ""}
    return values


class ChangesImages(Protocol):
    """What of a recipe, of a network's training or of a search, its policy is made of."""

    @property
    def policy(self) -> str: ...
    @property
    def operations(self) -> int: ...
    @property
    def magnitude(self) -> float: ...


def with_policy(data: Data, recipe: ChangesImages) -> Data:
    """Images whose training set is changed at random as the recipe says."""
    if recipe.policy == "none":
        return data
    policy = make_policy(recipe.policy, recipe.operations, recipe.magnitude)
    return replace(data, train=PolicyImages(data.train, data.normalisation, policy))


def write_weights(network: nn.Module, path: Path) -> None:
    """The state dict as a file that loads with `weights_only`; atomic."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())
