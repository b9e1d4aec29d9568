"""A search whose weights learn from lessons: images and networks changed as its recipe says."""

from collections.abc import Mapping

import torch
from torch import nn

from search.algorithms.recipe import SearchRecipe
from search.errors import UsageError
from search.supernets.mixture import MixtureSupernet
from search.supernets.sliced import SlicedSupernet
from search.training.ingredients.lessons import Lessons, omissions
from search.training.ingredients.teacher import Teacher
from search.training.protocol import Batch, Phase, StepReport, TrainingMethod

# The phase of every method in which weights learn.
WEIGHTS = "weights"


class TaughtSearch:
    """A `TrainingMethod`: another one, whose batches of weights are lessons.

    The architecture learns from images and networks as they are, for it judges them.

    Args:
        method: The search.
        recipe: Its recipe, as far as images, dropout, drop-path and a teacher are concerned.
        teacher: The network to learn from as well, where the recipe names one.
        recompute: Whether activations are computed twice.

    Raises:
        UsageError: The supernet has nothing that the recipe could leave out, or what is left
            out would not be the same when activations are computed again.
    """

    def __init__(
        self,
        method: TrainingMethod,
        recipe: SearchRecipe,
        teacher: Teacher | None,
        *,
        recompute: bool,
    ) -> None:
        if recompute and (recipe.drop_path or recipe.dropout):
            raise UsageError(
                "--recompute computes activations twice, with other omissions each time.",
                "Leave it out, or set dropout and drop_path to 0.",
            )
        _require_whole_blocks(method, recipe)
        self._method = method
        self._lessons = Lessons(recipe=recipe, teacher=teacher)
        self._drawing = omissions(method.module, recipe, method.name)

    @property
    def name(self) -> str:
        return self._method.name

    @property
    def epochs(self) -> int:
        return self._method.epochs

    @property
    def splits(self) -> tuple[float, ...]:
        return self._method.splits

    @property
    def module(self) -> nn.Module:
        return self._method.module

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        return self._method.phases(epoch)

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        return self._method.optimizer(phase)

    def start_epoch(self, epoch: int) -> None:
        self._method.start_epoch(epoch)

    def backward(self, phase: str, batch: Batch) -> StepReport:
        """As the search does, on a lesson where weights learn."""
        if phase != WEIGHTS:
            return self._method.backward(phase, batch)
        lesson = self._lessons.lesson(batch)
        with self._drawing.drawing_from(batch.generator):
            return self._method.backward(phase, lesson)

    def progress(self) -> Mapping[str, float]:
        return self._method.progress()


def _require_whole_blocks(method: TrainingMethod, recipe: SearchRecipe) -> None:
    """Refuse omissions that a supernet could not carry out: it never calls what is left out."""
    supernet = getattr(method.module, "supernet", None)
    mixes, slices = isinstance(supernet, MixtureSupernet), isinstance(supernet, SlicedSupernet)
    for key, is_wanted in (
        ("drop_path", bool(recipe.drop_path) and not mixes),
        ("dropout", bool(recipe.dropout) and slices),
    ):
        if is_wanted:
            raise UsageError(
                f"The shared weights of {method.name} run blocks in parts on this space, so that "
                f"{key} has nothing to leave out.",
                f"Set {method.name}.{key} to 0.",
            )
