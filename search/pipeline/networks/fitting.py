"""A given network, fitted to the classes of the images that it is trained on."""

from pathlib import Path

from search.architecture import Architecture, read_architecture, write_architecture
from search.console.progress import Progress
from search.data.base import Data
from search.errors import UsageError
from search.spaces.classes import network_with_classes


def fit_classes(network: Architecture, data: Data, progress: Progress) -> Architecture:
    """The network with a classifier for the classes of the images; says so where it is new."""
    fitted = network_with_classes(network, len(data.classes))
    if fitted is not network:
        progress.say(
            f"{network.name} tells {network.classes} classes apart, {data.name} has "
            f"{fitted.classes}: it gets a classifier for {fitted.classes}."
        )
    return fitted


def keep_architecture(fitted: Architecture, named: Architecture, weights: Path) -> Path | None:
    """Write the file of a network whose classifier is new; None where it is as it was named.

    It lies beside the weights. A file of another network there is left alone: the class
    count then joins the name.
    """
    if fitted == named:
        return None
    path = weights.with_suffix(".json")
    if path.exists() and not _holds(path, fitted):
        path = weights.with_name(f"{weights.stem}-c{fitted.classes}.json")
    write_architecture(fitted, path)
    return path


def _holds(path: Path, network: Architecture) -> bool:
    try:
        return read_architecture(path).operators == network.operators
    except UsageError:
        return False
