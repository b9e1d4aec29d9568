"""Accuracy of given weights on given images, from options to numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from search.architecture import Architecture, write_architecture
from search.console.progress import Progress, make_progress
from search.data.base import Data, ImageSet, PixelScaling
from search.data.open import open_data
from search.data.preprocessing import Preparation, read_preparation
from search.errors import UsageError
from search.files import check_file
from search.pipeline.images import report_images
from search.pipeline.options import DataOptions
from search.pipeline.resources import ComputeOptions, compute_resources
from search.pipeline.train import keep_weights, warn_of_chance
from search.spaces.classes import network_with_classes
from search.training.evaluate import Accuracy, evaluate
from search.training.retrain import TrainedNetwork, check_network
from search.training.weights.layouts import KIT
from search.training.weights.load import Weights, build_weighted, classes_in, read_weights
from search.zoo.resolve import NamedNetwork, find_network

SPLITS = ("test", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Options of `python -m search evaluate` other than those of its compute resources.

    `images.limit` is the most images of the split that is judged. `crop` is the side of
    the square that the network sees, `resize` the shorter side that it is cut from.
    """

    network: str
    weights: Path
    images: DataOptions
    split: str
    crop: int | None
    resize: int | None
    batch: int
    seed: int
    output: Path | None
    quiet: bool

    def check(self) -> None:
        """Refuse what would fail later.

        Raises:
            UsageError: No such file of weights or split, or a file that cannot be written.
        """
        if not self.weights.is_file():
            raise UsageError(
                f"There are no weights at {self.weights}.", "Give --weights a file of them."
            )
        if self.split not in SPLITS:
            raise UsageError(f"Unknown --split {self.split!r}.", f"Known: {', '.join(SPLITS)}.")
        if self.output is not None:
            check_file(self.output, "--output", (".pt", ".pth"))
            check_file(self.output.with_suffix(".json"), "--output", (".json",))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOutput:
    """The accuracy of a network, and where its weights were written, if anywhere."""

    network: Architecture
    layout: str
    accuracy: Accuracy
    data: str
    split: str
    weights: Path
    output: Path | None = None


def run_evaluation(options: EvaluateOptions, compute: ComputeOptions) -> EvaluateOutput:
    """Judge weights on images; write them in the kit's layout where that is asked for.

    Raises:
        UsageError: Weights of another network, or images that do not fit them.
    """
    options.check()
    with compute_resources(compute), make_progress(options.quiet) as progress:
        network, weights = _read(find_network(options.network), options.weights, progress)
        check_network(network)
        if options.output is not None and weights.squeezes_activated:
            raise UsageError(
                "These weights activate inside squeeze-excite as no operator of the kit does.",
                "Leave --output out.",
            )
        data = _open(options, network)
        report_images(data, progress.say)
        module = build_weighted(network.operators, weights)
        accuracy = _judge(module, data, options, compute, progress)
        if options.split == "test":
            warn_of_chance(accuracy, data, progress)
        if options.output is not None:
            keep_weights(TrainedNetwork(network=module, test=accuracy), data, options.output)
            write_architecture(network, options.output.with_suffix(".json"))
    return EvaluateOutput(
        network=network,
        layout=weights.layout,
        accuracy=accuracy,
        data=data.name,
        split=options.split,
        weights=options.weights,
        output=options.output,
    )


def _read(named: NamedNetwork, path: Path, progress: Progress) -> tuple[Architecture, Weights]:
    """The weights, and the network for as many classes as they have.

    A published network is tried with the other convention for its first 1x1 too.
    """
    classes = classes_in(path)
    reasons: list[UsageError] = []
    for network, note in _conventions(named):
        fitted = network_with_classes(network, classes or network.classes)
        try:
            weights = read_weights(path, fitted.operators, fitted.name)
        except UsageError as error:
            reasons.append(error)
            continue
        if fitted is not network:
            progress.say(
                f"{named.name} has {network.classes} classes, its weights {fitted.classes}: "
                f"it gets a classifier for {fitted.classes}."
            )
        if weights.layout != KIT:
            progress.say(f"{path} has {weights.layout}'s names: they are read as ours.")
        if note:
            progress.say(note)
        return fitted, weights
    raise reasons[0]


def _conventions(named: NamedNetwork) -> Iterator[tuple[Architecture, str]]:
    yield named.architecture, ""
    other = named.other_convention()
    if other is not None and named.published is not None:
        how = "drop" if named.published.always_pointwise else "keep"
        yield other.architecture, f"The weights {how} the first 1x1 at expansion 1."


def _open(options: EvaluateOptions, network: Architecture) -> Data:
    """The images, prepared as the note beside the weights says, or as is usual."""
    note = read_preparation(options.weights)
    most, judges_test = options.images.limit, options.split == "test"
    data = open_data(
        options.images.source,
        resolution=options.crop or network.resolution,
        resize=options.resize,
        seed=options.seed,
        train_folder=options.images.train_folder,
        val_folder=options.images.val_folder,
        normalisation=PixelScaling(mean=note.mean, std=note.std) if note else None,
        limit=None if judges_test else most,
        test_limit=most if judges_test else None,
    )
    _check_classes(options.weights, network, data, note)
    return data


def _check_classes(
    weights: Path, network: Architecture, data: Data, note: Preparation | None
) -> None:
    if len(data.classes) != network.classes:
        raise UsageError(
            f"The weights in {weights} tell {network.classes} classes apart; {data.name} has "
            f"{len(data.classes)}.",
            "Give images of the classes that they were trained on.",
        )
    if note is not None and note.classes != data.classes:
        raise UsageError(
            f"{weights} was trained on {note.data}; the classes of {data.name} are others.",
            "Give images of the classes that it was trained on.",
        )


def _judge(
    module: nn.Module,
    data: Data,
    options: EvaluateOptions,
    compute: ComputeOptions,
    progress: Progress,
) -> Accuracy:
    images: ImageSet = data.test if options.split == "test" else data.train
    settings = compute.to_compute()
    settings.place(module, settings.torch_device())
    if compute.compile:
        module.compile()
    progress.stage("images", len(images))
    accuracy = evaluate(
        module, images, options.batch, compute=settings, on_progress=progress.advance
    )
    progress.end_stage()
    return accuracy
