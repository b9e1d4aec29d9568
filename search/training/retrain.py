"""Training of one network from scratch, and the file of its weights."""

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from search.architecture import Architecture
from search.data.base import Data
from search.errors import UsageError
from search.files import write_bytes
from search.operators.modules import build_network
from search.training.compute.distributed import ProcessGroup
from search.training.compute.seeds import fresh_weights
from search.training.engine import train
from search.training.evaluate import Accuracy, evaluate
from search.training.progress import TrainingProgress
from search.training.recipe import TrainingRecipe
from search.training.settings import TrainingSettings, recipe_text
from search.training.single_network import SingleNetworkTraining


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """A trained network and its accuracy on images that it never saw."""

    network: nn.Sequential
    test: Accuracy


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
) -> TrainedNetwork:
    """Train from fresh weights that depend on the seed alone; then evaluate on the test images.

    Raises:
        UsageError: No whole network, images that do not fit it, or as
            `search.training.engine.train`.
        GateFailed: The loss is not a number.
    """
    check_network(architecture)
    check_fits(architecture, data)
    with fresh_weights(settings.seed):
        network = build_network(architecture.operators)
    train(
        SingleNetworkTraining(network, recipe),
        data.train,
        settings,
        space=" ".join(operator.key for operator in architecture.operators),
        recipe=recipe_text(recipe),
        folder=folder,
        resume=resume,
        accept_changes=accept_changes,
        progress=progress,
        processes=processes or ProcessGroup(),
    )
    return TrainedNetwork(network=network, test=evaluate(network, data.test))


def write_weights(network: nn.Module, path: Path) -> None:
    """The state dict as a file that loads with `weights_only`; atomic."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())
