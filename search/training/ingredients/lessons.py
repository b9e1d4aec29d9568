"""A batch as a recipe has it learnt: images blotted out and mixed, and what a teacher says."""

from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor, nn

from search.errors import UsageError
from search.training.ingredients.regularization import (
    Drawing,
    erase,
    last_linear,
    mix,
    residual_blocks,
)
from search.training.ingredients.teacher import Teacher, distillation_loss
from search.training.protocol import Batch, Taught


class LessonRecipe(Protocol):
    """What of a recipe, of a network's training or of a search, lessons follow."""

    @property
    def erasing(self) -> float: ...
    @property
    def mixup(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def drop_path(self) -> float: ...
    @property
    def teacher(self) -> str: ...
    @property
    def distillation(self) -> float: ...
    @property
    def distillation_temperature(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lessons:
    """Makes batches into lessons; all draws come from the batch's generator.

    Args:
        recipe: Says how.
        teacher: The network to learn from as well, where the recipe names one.

    Raises:
        UsageError: The recipe names a teacher, and none was read.
    """

    recipe: LessonRecipe
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        if self.recipe.teacher and self.teacher is None:
            raise UsageError(f"The recipe's teacher {self.recipe.teacher} was not read.")

    def lesson(self, batch: Batch) -> Batch:
        """The batch as it is learnt from."""
        images, recipe = batch.images, self.recipe
        if recipe.erasing:
            images = erase(images, recipe.erasing, batch.generator)
        if recipe.mixup:
            mixed = mix(images, recipe.mixup, batch.generator)
            other = batch.labels[mixed.other.to(batch.labels.device)]
            batch = replace(batch, other=other, kept=mixed.share)
            images = mixed.images
        return replace(batch, images=images, taught=self._taught(images, batch))

    def _taught(self, images: Tensor, batch: Batch) -> Taught | None:
        if self.teacher is None:
            return None
        with batch.autocast():
            logits = self.teacher.logits(images)
        return Taught(
            logits=logits.float(),
            share=self.recipe.distillation,
            temperature=self.recipe.distillation_temperature,
        )


def lesson_loss(batch: Batch, logits: Tensor, label_smoothing: float) -> Tensor:
    """Cross entropy with the labels of a batch, mixed ones and its teacher's part of the loss."""
    loss = nn.functional.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing)
    if batch.other is not None:
        rest = nn.functional.cross_entropy(logits, batch.other, label_smoothing=label_smoothing)
        loss = batch.kept * loss + (1 - batch.kept) * rest
    if batch.taught is None:
        return loss
    part = batch.taught.share
    taught = distillation_loss(logits, batch.taught.logits, batch.taught.temperature)
    return (1 - part) * loss + part * taught


def omissions(network: nn.Module, recipe: LessonRecipe, where: str) -> Drawing:
    """Hooks of what a recipe leaves out of a network at random: dropout, drop-path.

    Args:
        network: Ends in a linear classifier where the recipe has dropout.
        recipe: Says how much.
        where: The recipe's table, for messages.

    Raises:
        UsageError: Dropout without a linear layer, or drop-path without a block that adds its
            input.
    """
    drawing = Drawing()
    if recipe.dropout:
        classifier = last_linear(network)
        if classifier is None:
            raise UsageError("The recipe has dropout before a linear classifier; there is none.")
        drawing.dropout(classifier, recipe.dropout)
    if recipe.drop_path:
        blocks = residual_blocks(network)
        if not blocks:
            raise UsageError(
                "The recipe has drop_path; the network has no block that adds its input.",
                f"Set {where}.drop_path to 0.",
            )
        drawing.drop_path(blocks, recipe.drop_path)
    return drawing
