"""Training of all networks of a folder; the best by images held out is kept.

FBNet (arXiv 1812.03443, Appendix A) trains every sampled network from scratch and
keeps the best. Its test images would flatter the choice, so a part of the training
images decides here, and the test images judge the one that was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.algorithms.baselines.trials import Subset
from search.architecture import Architecture, read_architecture, write_architecture
from search.console.progress import Progress
from search.data.base import Data
from search.data.split import split_indices
from search.errors import GateFailed, UsageError
from search.files import check_file
from search.pipeline.images import RunImages, report_images
from search.pipeline.networks.fitting import fit_classes
from search.pipeline.options import TrainOptions
from search.pipeline.resources import ComputeOptions, joined_processes
from search.pipeline.train import (
    engine_settings,
    find_teacher,
    keep_weights,
    warn_of_chance,
)
from search.training.compute.distributed import ProcessGroup
from search.training.evaluate import Accuracy, evaluate
from search.training.progress import TrainingProgress
from search.training.retrain import TrainedNetwork, check_network, retrain


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One network of the folder: its accuracy on the images held out, or why it has none."""

    file: str
    network: Architecture
    accuracy: Accuracy | None
    failed: str = ""

    @property
    def rank(self) -> float:
        """For sorting: the best first, failed ones last."""
        return -1.0 if self.accuracy is None else self.accuracy.top1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAllOutput:
    """All networks, the best first; the accuracy of that one on the test images, its files."""

    trained: tuple[Trained, ...]
    test: Accuracy
    weights: Path
    architecture: Path


def hold_out(data: Data, share: float, seed: int) -> Data:
    """The data with this share of the training images in place of the test images.

    Raises:
        UsageError: A share that leaves nothing to train on, or nothing to judge on.
    """
    if not 0 < share < 1:
        raise UsageError(f"A share of {share:g} cannot be held out.", "Give --held-out 0.1.")
    train, held = split_indices(data.train.labels, (1 - share, share), seed)
    if not len(held):
        raise UsageError(
            f"{share:g} of {len(data.train)} images is none.", "Hold out more, with --held-out."
        )
    return replace(data, train=Subset(data.train, train), test=Subset(data.train, held))


def networks_in(folder: Path) -> list[tuple[str, Architecture]]:
    """The networks of a folder by file name, in the order of their numbers.

    Raises:
        UsageError: There is none, or a file is no whole network.
    """
    paths = sorted(folder.glob("*.json"), key=lambda path: (len(path.stem), path.stem))
    if not paths:
        raise UsageError(
            f"There are no networks in {folder}.",
            "Name the candidates of a search (<output>.run/candidates).",
        )
    networks = [(path.stem, read_architecture(path)) for path in paths]
    for _, network in networks:
        check_network(network)
    return networks


def run_training_of_all(
    options: TrainOptions, compute: ComputeOptions, held_out: float
) -> TrainAllOutput | None:
    """Train every network of a folder, and write the best with its weights.

    A training that was finished before an interruption is not repeated.

    Returns:
        None in every process but the first.

    Raises:
        KitError: As the parts do.
        GateFailed: No training gave a network.
    """
    networks = networks_in(Path(options.network))
    options.check()
    check_file(options.output.with_suffix(".json"), "--output", (".json",))
    with joined_processes(compute, quiet=options.quiet) as (processes, progress):
        all_images = RunImages(options.images, options.seed)
        trainings = _Trainings(options, compute, held_out, all_images, processes, progress)
        ranked = trainings.run(networks)
        best = ranked[0]
        if best.accuracy is None:
            raise GateFailed(
                f"None of {len(ranked)} trainings gave a network; the first: {best.failed}",
                "Lower the learning rate (--learning-rate), and choose another folder with --run.",
            )
        if not processes.leads:
            return None
        return trainings.keep(best, ranked)


class _Trainings:
    """The trainings of one command."""

    def __init__(
        self,
        options: TrainOptions,
        compute: ComputeOptions,
        held_out: float,
        images: RunImages,
        processes: ProcessGroup,
        progress: Progress,
    ) -> None:
        self._options, self._compute, self._held_out = options, compute, held_out
        self._images, self._processes, self._progress = images, processes, progress
        self._recipe = options.train_recipe()
        self._best: TrainedNetwork | None = None

    def run(self, networks: Sequence[tuple[str, Architecture]]) -> list[Trained]:
        """Train all; the best first."""
        report_images(self._images.at(networks[0][1].resolution), self._progress.say)
        trained = []
        for number, (file, network) in enumerate(networks, 1):
            self._progress.say(f"network {number} of {len(networks)}: {file}")
            trained.append(self._train(file, network))
            if trained[-1].accuracy is not None:
                said = f"{file}: top-1 {trained[-1].accuracy.top1:.2%}"
                self._progress.say(f"{said} on {trained[-1].accuracy.images} images held out")
        return sorted(trained, key=lambda one: -one.rank)

    def _train(self, file: str, network: Architecture) -> Trained:
        options, recipe = self._options, self._recipe
        data = self._images.at(network.resolution)
        fitted = fit_classes(network, data, self._progress)
        try:
            result = retrain(
                fitted,
                hold_out(data, self._held_out, options.seed),
                recipe,
                engine_settings(recipe, options.seed, self._compute),
                folder=options.folder / file,
                resume=options.resume,
                accept_changes=options.accept_changes,
                progress=TrainingProgress(self._progress),
                processes=self._processes,
                teacher=find_teacher(recipe, data),
            )
        except GateFailed as error:
            self._progress.say(f"{file} failed: {error.message}")
            return Trained(file=file, network=fitted, accuracy=None, failed=error.message)
        if self._best is None or result.test.top1 > self._best.test.top1:
            self._best = result
        return Trained(file=file, network=fitted, accuracy=result.test)

    def keep(self, best: Trained, ranked: list[Trained]) -> TrainAllOutput:
        """Judge the best on the test images, and write it as a single training would."""
        assert self._best is not None
        data, output = self._images.at(best.network.resolution), self._options.output
        test = evaluate(self._best.network, data.test)
        keep_weights(replace(self._best, test=test), data, output)
        warn_of_chance(test, data, self._progress)
        architecture = output.with_suffix(".json")
        write_architecture(replace(best.network, name=output.stem), architecture)
        return TrainAllOutput(
            trained=tuple(ranked), test=test, weights=output, architecture=architecture
        )
