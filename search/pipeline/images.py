"""Images of a run."""

from collections.abc import Callable
from dataclasses import replace

from search.data.base import Data
from search.data.open import class_names, open_data
from search.pipeline.options import DataOptions


class RunImages:
    """The images that the options name, opened once for each resolution.

    Args:
        options: Source, and how much of it.
        seed: Fixes which classes and images are drawn.
    """

    def __init__(self, options: DataOptions, seed: int) -> None:
        self._options, self._seed = options, seed
        self._opened: dict[int, Data] = {}

    def at(self, resolution: int) -> Data:
        """The images at this many pixels a side.

        Raises:
            UsageError: As `search.data.open.open_data`.
        """
        if resolution not in self._opened:
            self._opened[resolution] = open_data(
                self._options.source,
                resolution=resolution,
                classes=self._options.classes,
                limit=self._options.limit,
                seed=self._seed,
                train_folder=self._options.train_folder,
                val_folder=self._options.val_folder,
            )
        return self._opened[resolution]

    def classes_in_all(self) -> int:
        """How many classes the source has, whatever part of them is used.

        Raises:
            UsageError: As `search.data.open.open_data`.
        """
        options = self._options
        names = class_names(
            options.source, train_folder=options.train_folder, val_folder=options.val_folder
        )
        return len(names)

    def of_all_classes(self) -> "RunImages":
        """The same images without the choice of classes."""
        return RunImages(replace(self._options, classes=None), self._seed)

    def describe(self) -> str:
        """The images opened first as text; "none" where nothing was opened."""
        return next((data.describe() for data in self._opened.values()), "none")


def report_images(data: Data, say: Callable[[str], None]) -> None:
    """Report which images are used, and what is doubtful about them."""
    say(data.describe())
    for note in data.notes:
        say(note)
    if data.warning():
        say(data.warning())
