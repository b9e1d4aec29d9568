"""Training of one network, from options to files."""

from dataclasses import dataclass
from pathlib import Path

from search.algorithms.recipe import SearchRecipe
from search.architecture import Architecture
from search.console.progress import Progress
from search.data.base import Data
from search.data.preprocessing import Preparation, write_preparation
from search.pipeline.images import RunImages, report_images
from search.pipeline.networks.fitting import fit_classes, keep_architecture
from search.pipeline.options import TrainOptions
from search.pipeline.resources import ComputeOptions, joined_processes
from search.training.chance import chance_warning
from search.training.evaluate import Accuracy
from search.training.ingredients.teacher import Teacher, read_teacher
from search.training.progress import TrainingProgress
from search.training.recipe import TrainingRecipe
from search.training.retrain import TrainedNetwork, check_network, retrain, write_weights
from search.training.settings import TrainingSettings
from search.zoo.resolve import find_network


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutput:
    """A trained network, its accuracy on the test images and its file of weights.

    `architecture` is the file of the network where it has other classes than the one named;
    `best_epoch` is where the test images chose the weights, None for the last epoch's.
    """

    network: Architecture
    test: Accuracy
    weights: Path
    architecture: Path | None = None
    best_epoch: int | None = None


def run_training(options: TrainOptions, compute: ComputeOptions) -> TrainOutput | None:
    """Train a named network and write its weights.

    Where the images have another number of classes, the network gets a classifier for
    them, and its file is written beside the weights.

    Returns:
        None in every process but the first.

    Raises:
        KitError: As the parts do.
    """
    network = find_network(options.network).architecture
    check_network(network)
    options.check()
    recipe = options.train_recipe()
    with joined_processes(compute, quiet=options.quiet) as (processes, progress):
        data = RunImages(options.images, options.seed).at(network.resolution)
        report_images(data, progress.say)
        fitted = fit_classes(network, data, progress)
        trained = retrain(
            fitted,
            data,
            recipe,
            engine_settings(recipe, options.seed, compute),
            folder=options.folder,
            resume=options.resume,
            accept_changes=options.accept_changes,
            progress=TrainingProgress(progress),
            processes=processes,
            teacher=find_teacher(recipe, data),
        )
        if not processes.leads:
            return None
        keep_weights(trained, data, options.output)
        warn_of_chance(trained.test, data, progress)
    return TrainOutput(
        network=fitted,
        test=trained.test,
        weights=options.output,
        architecture=keep_architecture(fitted, network, options.output),
        best_epoch=trained.best_epoch,
    )


def engine_settings(recipe: TrainingRecipe, seed: int, compute: ComputeOptions) -> TrainingSettings:
    """Settings of the engine, as far as a recipe decides them."""
    return TrainingSettings(
        batch=recipe.batch,
        seed=seed,
        clip_norm=recipe.clip_norm,
        synchronous=recipe.sync_batch_norm,
        compute=compute.to_compute(),
    )


def warn_of_chance(accuracy: Accuracy, data: Data, progress: Progress) -> None:
    """Say that a network is no better than chance on the test images, if so."""
    warning = chance_warning(accuracy, data.test.labels)
    if warning:
        progress.say(warning)


def find_teacher(recipe: TrainingRecipe | SearchRecipe, data: Data) -> Teacher | None:
    """The recipe's teacher, read; None where it names none.

    Raises:
        UsageError: There is no such network, it tells other classes apart, or its
            weights cannot be read.
    """
    if not recipe.teacher:
        return None
    architecture = find_network(recipe.teacher).architecture
    return read_teacher(architecture, Path(recipe.teacher_weights), data)


def keep_weights(trained: TrainedNetwork, data: Data, weights: Path) -> None:
    """Write weights, and beside them how images must be prepared for them."""
    note = Preparation(
        data=data.name,
        classes=data.classes,
        resolution=data.resolution,
        mean=data.normalisation.mean,
        std=data.normalisation.std,
        test_top1=trained.test.top1,
    )
    write_weights(trained.network, weights)
    write_preparation(note, weights)
