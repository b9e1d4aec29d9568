"""A trained network that another one learns from as well (arXiv 1503.02531)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search.architecture import Architecture
from search.data.base import Data, PixelScaling
from search.data.preprocessing import read_preparation
from search.errors import UsageError
from search.files import sha256_file
from search.training.weights.load import build_weighted, read_weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teacher:
    """A network in evaluation mode, and how its images differ from the pupil's.

    Attributes:
        network: Trained; learns nothing here.
        resolution: Of the images that it takes.
        scale, shift: From the pupil's normalised pixels to its own, (1, 3, 1, 1) each.
        identity: Of architecture and weights, for the recipe that a run records.
    """

    network: nn.Module
    resolution: int
    scale: Tensor
    shift: Tensor
    identity: str

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """What it says of the pupil's images, where they are."""
        self.network.to(images.device).eval()
        images = images * self.scale.to(images) + self.shift.to(images)
        if images.shape[-1] != self.resolution:
            size = (self.resolution, self.resolution)
            images = nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
        logits: Tensor = self.network(images)
        return logits


def read_teacher(architecture: Architecture, weights: Path, data: Data) -> Teacher:
    """A teacher for a network that learns from these images.

    Raises:
        UsageError: It tells other classes apart, or the file holds no weights of it.
    """
    if architecture.classes != len(data.classes):
        raise UsageError(
            f"The teacher {architecture.name} tells {architecture.classes} classes apart; "
            f"{data.name} has {len(data.classes)}.",
            "Give distillation.teacher a network that was trained on these classes.",
        )
    scaling = _scaling(weights, data)
    operators, name = architecture.operators, f"the teacher {architecture.name}"
    network = build_weighted(operators, read_weights(weights, operators, name))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in data.normalisation)
    own_mean, own_std = (torch.tensor(each).view(1, 3, 1, 1) for each in scaling)
    return Teacher(
        network=network.requires_grad_(False),
        resolution=architecture.resolution,
        scale=std / own_std,
        shift=(mean - own_mean) / own_std,
        identity=f"{architecture.name} {sha256_file(weights)[:16]}",
    )


def _scaling(weights: Path, data: Data) -> PixelScaling:
    """How the teacher's pixels were scaled, by the note beside its weights."""
    note = read_preparation(weights)
    if note is None:
        return data.normalisation
    if note.classes != data.classes:
        raise UsageError(
            f"The teacher's weights {weights} were trained on other classes than "
            f"{data.name}'s: {', '.join(note.classes[:3])}, ...",
            "Give distillation.weights of a network that was trained on these classes.",
        )
    return PixelScaling(mean=note.mean, std=note.std)


def distillation_loss(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || pupil) of both softmaxes at temperature T (section 2), a mean."""
    pupil = (logits / temperature).log_softmax(1)
    teacher = (taught / temperature).log_softmax(1)
    divergence = nn.functional.kl_div(pupil, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2
