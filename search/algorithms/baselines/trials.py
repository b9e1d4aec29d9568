"""Scores of networks by short training, for the baselines.

Trials are expensive, so every finished trial is a line of a file, and a
resumed run does not train it again.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from torch import Tensor

from search.algorithms.baselines.search import Choices
from search.data.base import ImageSet
from search.documents import validate_json
from search.errors import GateFailed, StorageError, UsageError
from search.files import write_bytes
from search.operators.modules import build_network
from search.selection.exact import network_of
from search.spaces.base import LayeredSpace
from search.table.values import Finite, Share
from search.training.compute.seeds import fresh_weights
from search.training.engine import train
from search.training.evaluate import evaluate
from search.training.recipe import TrainingRecipe
from search.training.run.run_control import Stopwatch
from search.training.settings import TrainingSettings
from search.training.single_network import SingleNetworkTraining


class Subset:
    """Some images of a set, numbered from 0; an `ImageSet`."""

    def __init__(self, images: ImageSet, indices: Tensor) -> None:
        self._images, self._indices = images, indices
        self.labels = images.labels[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Images by their number in the subset."""
        return self._images.batch(self._indices[indices], generator)


class _Begin(BaseModel):
    """The first line: what the trials were made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str


class _Row(BaseModel):
    """One finished trial: a score, or the reason why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: Choices
    score: Finite | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    failed: str | None = None

    @model_validator(mode="after")
    def _check_either(self) -> Self:
        if (self.score is None) != bool(self.failed):
            raise ValueError("a trial has either a score or a reason why it failed")
        return self


class _ShareRow(_Row):
    """The same of an accuracy."""

    score: Share | None = None


_BEGIN, _ROW = TypeAdapter(_Begin), TypeAdapter(_Row)
_SHARE_ROW: TypeAdapter[_Row] = TypeAdapter(_ShareRow)


class TrialFile:
    """Finished trials, one JSON line each, after one that names the settings.

    Args:
        path: The file; None keeps nothing.
        identity: Of everything that a score depends on.
        resume: Go on with a file that is there.
        stopwatch: Of the run, kept with each trial; None starts one here.
        shares: Scores are accuracies: one that is no share is none of ours.

    Attributes:
        scores: Of all finished trials; minus infinity where one failed.
        failures: Why, of those that failed.

    Raises:
        UsageError: There is one and `resume` was not asked for, or it was
            begun with other settings, or is not such a file.
        StorageError: The disk is full or cannot be written.
    """

    def __init__(
        self,
        path: Path | None,
        identity: str,
        resume: bool,
        stopwatch: Stopwatch | None = None,
        *,
        shares: bool = True,
    ) -> None:
        self._path, self._stopwatch = path, stopwatch or Stopwatch()
        self._rows = _SHARE_ROW if shares else _ROW
        self.scores: dict[Choices, float] = {}
        self.failures: dict[Choices, str] = {}
        if path is None:
            return
        if path.exists() and not resume:
            raise UsageError(
                f"{path.parent} holds a run already.",
                "Use --resume to go on with it, or choose another folder.",
            )
        content = _read_bytes(path)
        begin = _line({"identity": identity})
        if begin.startswith(content):  # nothing yet, or cut off in the first line
            write_bytes(path, begin)
        else:
            self._take_up(path, content, identity)

    def _take_up(self, path: Path, content: bytes, identity: str) -> None:
        """Read whole lines; remove one that was cut off at the end."""
        whole = content[: content.rfind(b"\n") + 1]
        try:
            lines = whole.decode().split("\n")[:-1]
            begun_with = validate_json(lines[0] if lines else "", _BEGIN).identity
            rows = [validate_json(line, self._rows) for line in lines[1:]]
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise UsageError(
                f"{path} is not a file of trials: {reason}.", "Choose another folder with --run."
            ) from error
        if begun_with != identity:
            raise UsageError(
                f"{path} was begun with other settings.",
                "Repeat the options it was made with, or choose another folder with --run.",
            )
        for row in rows:
            self._remember(row)
            self._stopwatch.resume_from(row.seconds)
        if whole != content:
            os.truncate(path, len(whole))

    def add(self, choices: Choices, score: float) -> None:
        """Keep one finished trial."""
        self._keep(_Row(choices=choices, score=score, seconds=self._stopwatch.seconds()))

    def add_failed(self, choices: Choices, reason: str) -> None:
        """Keep one trial that gave no score; a resumed run does not repeat it."""
        seconds = self._stopwatch.seconds()
        self._keep(_Row(choices=choices, score=None, seconds=seconds, failed=reason))

    def _remember(self, row: "_Row") -> None:
        self.scores[row.choices] = -math.inf if row.score is None else row.score
        if row.failed:
            self.failures[row.choices] = row.failed

    def _keep(self, row: "_Row") -> None:
        self._remember(row)
        if self._path is None:
            return
        try:
            with self._path.open("ab") as stream:
                stream.write(_line(row.model_dump(exclude_none=True)))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise StorageError(
                f"Cannot write {self._path}: {error.strerror or error}.",
                "Finished trials are kept; make room and use --resume.",
            ) from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"


class ShortTraining:
    """Scores a network by its accuracy after a short training; for `Evaluate`.

    Args:
        space: Of the networks.
        images: Training images of the task.
        train_indices: Those to train on.
        validation_indices: Those to judge on.
        recipe: The short recipe.
        settings: Of the engine.
        trials: Where finished trials are kept.
        notice: Called with a message after each trial.
    """

    def __init__(
        self,
        space: LayeredSpace,
        images: ImageSet,
        train_indices: Tensor,
        validation_indices: Tensor,
        recipe: TrainingRecipe,
        settings: TrainingSettings,
        trials: TrialFile,
        notice: Callable[[str], None],
    ) -> None:
        self._space, self._images, self._validation_indices = space, images, validation_indices
        self._train_images, self._recipe = Subset(images, train_indices), recipe
        self._settings, self._trials, self._notice = settings, trials, notice

    def __call__(self, networks: Sequence[Choices]) -> list[float]:
        """Accuracies, one a network; minus infinity where the trial failed."""
        return [self._one(choices) for choices in networks]

    def _one(self, choices: Choices) -> float:
        known = self._trials.scores.get(choices)
        if known is not None:
            return known
        number = len(self._trials.scores) + 1
        try:
            score = self._accuracy(choices)
        except GateFailed as error:
            self._trials.add_failed(choices, error.message)
            self._notice(f"trial {number}: failed: {error.message}")
            return -math.inf
        self._trials.add(choices, score)
        self._notice(f"trial {number}: accuracy {100 * score:.1f} %")
        return score

    def _accuracy(self, choices: Choices) -> float:
        """After a short training.

        Raises:
            GateFailed: The network learnt no numbers.
        """
        architecture = network_of(self._space, choices, "trial")
        with fresh_weights(self._settings.seed):
            network = build_network(architecture.operators)
        train(
            SingleNetworkTraining(network, self._recipe),
            self._train_images,
            self._settings,
            space=self._space.spec,
        )
        accuracy = evaluate(network, self._images, indices=self._validation_indices)
        # The last step of the training may be the one that breaks the weights.
        if not math.isfinite(accuracy.loss):
            raise GateFailed(f"The loss on the images held back is {accuracy.loss}.")
        return accuracy.top1
