"""Images of a run."""

from collections.abc import Callable

from search.data.base import Data
from search.data.open import open_data
from search.pipeline.context import RunContext
from search.pipeline.options import DataOptions, SearchOptions
from search.pipeline.problem import check_classes


def images_for(request: SearchOptions, session: RunContext) -> Data | None:
    """What the search learns from; None where nothing is trained."""
    if request.algorithm == "exact" and not request.retrain:
        return None
    space = session.task.space
    data = open_images(request.images, space.before[0].height, request.seed)
    report_images(data, session.say)
    check_classes(space, len(data.classes), session.task.table)
    return data


def open_images(images: DataOptions, resolution: int, seed: int) -> Data:
    """The images that were asked for, at this resolution."""
    return open_data(
        images.source,
        resolution=resolution,
        classes=images.classes,
        limit=images.limit,
        seed=seed,
    )


def report_images(data: Data, say: Callable[[str], None]) -> None:
    """Tell which images are used, and what is doubtful about them."""
    say(data.describe())
    if data.warning():
        say(data.warning())
