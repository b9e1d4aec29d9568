"""State of one search that every method is given."""

from dataclasses import dataclass

from search.algorithms.recipe import SearchRecipe
from search.console.progress import Progress
from search.data.base import Data
from search.pipeline.images import RunImages
from search.pipeline.options import SearchOptions
from search.pipeline.problem import SearchProblem
from search.pipeline.resources import ComputeOptions
from search.spaces.base import LayeredSpace
from search.spaces.classes import space_with_classes
from search.training.compute.distributed import ProcessGroup
from search.training.recipe import TrainingRecipe
from search.training.run.run_control import Stopwatch
from search.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """One search: its problem, its options, and what it computes and reports with."""

    problem: SearchProblem
    options: SearchOptions
    compute: ComputeOptions
    images: RunImages
    processes: ProcessGroup
    progress: Progress
    stopwatch: Stopwatch

    def data(self) -> Data:
        """Labelled images at the resolution of the space.

        Raises:
            UsageError: As `search.data.open.open_data`.
        """
        return self.images.at(self.problem.space.before[0].height)

    def searched_space(self) -> LayeredSpace:
        """The space with as many classes as the images of the search have.

        Raises:
            UsageError: As `data`.
        """
        return space_with_classes(self.problem.space, len(self.data().classes))

    def settings(self, recipe: SearchRecipe | TrainingRecipe) -> TrainingSettings:
        """Settings of the engine, as far as a recipe decides them."""
        return TrainingSettings(
            batch=recipe.batch,
            seed=self.options.seed,
            clip_norm=recipe.clip_norm,
            synchronous=recipe.sync_batch_norm,
            compute=self.compute.to_compute(),
        )
