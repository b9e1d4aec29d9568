"""The class counts of a search: of its images, of its table, and of the network it finds.

FBNet (arXiv 1812.03443, section 4.1) searches on 100 classes and trains the network
found on 1,000. The shared weights therefore have the classes of the search's images,
and the network has those of the problem that it ships for.
"""

from search.data.base import Data
from search.pipeline.images import RunImages
from search.pipeline.problem import SearchProblem
from search.spaces.classes import classes_of, space_with_classes
from search.table.store import profile_command


def settle_classes(
    problem: SearchProblem, data: Data, images: RunImages
) -> tuple[SearchProblem, str]:
    """The problem for as many classes as its networks are to tell apart, and a sentence on it.

    Where a search uses some of the classes and its table is for all of them, the
    network is for all. Otherwise it is for those of the images.

    Args:
        problem: Of a table, or of a space without one.
        data: The images of the search.
        images: Where they come from; knows how many classes there are in all.

    Returns:
        The problem; the sentence is empty where all counts are equal, or the table has the
        row of a classifier of the images' classes.

    Raises:
        UsageError: The space cannot be made for that many classes.
    """
    own, searched = classes_of(problem.space), len(data.classes)
    if searched == own:
        return problem, ""
    if problem.priced is None:
        note = f"{data.name} has {searched} classes: so have the networks, instead of {own}."
        return problem.with_classes(searched), note
    if images.classes_in_all() == own:
        note = (
            f"The search uses {searched} of {own} classes; the network found is for all {own}, as "
            "the table is."
        )
        return problem, note
    other = problem.with_classes(searched)
    return other, priced_otherwise(problem, searched) if other.prices_other_classes else ""


def priced_otherwise(problem: SearchProblem, classes: int) -> str:
    """A sentence: the table has no row for a classifier of these classes, and what to do."""
    manifest, own = problem.table.manifest, classes_of(problem.space)
    spec = space_with_classes(problem.space, classes).spec
    info = manifest.space.model_copy(update={"spec": spec})
    command = profile_command(manifest.model_copy(update={"space": info}))
    return (
        f"The images have {classes} classes, and the table no classifier of as many: latencies are "
        f"those of networks with its classifier of {own}. Measure its one row once the network is "
        f"found (python -m profiler refine TABLE --from NET), or a table of their own: {command}"
    )
