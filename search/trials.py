"""Scores of networks by short training, for the baselines.

What is expensive is kept: every finished trial is a line of a file, and a
resumed run does not train it again.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from search.baselines import Choices
from search.blocks import build_network
from search.data.base import ImageSet
from search.errors import StorageError, UsageError
from search.exact import network_of
from search.files import write_bytes
from search.spaces.base import LayeredSpace
from search.training.engine import train
from search.training.evaluate import evaluate
from search.training.fixed import FixedNetwork
from search.training.recipes import RetrainRecipe
from search.training.seeds import fresh_weights
from search.training.settings import Settings, Subject


class Subset:
    """Some images of a set, numbered anew; an `ImageSet`."""

    def __init__(self, images: ImageSet, indices: Tensor) -> None:
        self._images, self._indices = images, indices
        self.labels = images.labels[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """As of the whole set."""
        return self._images.batch(self._indices[indices], generator)


class TrialFile:
    """Finished trials, one JSON line each, behind one that names the settings.

    Args:
        path: The file; None keeps nothing.
        identity: Of everything that a score depends on.
        resume: Go on with a file that is there.

    Raises:
        UsageError: There is one and `resume` was not asked for, or it was
            begun with other settings, or is no such file.
        StorageError: The disk is full or cannot be written.
    """

    def __init__(self, path: Path | None, identity: str, resume: bool) -> None:
        self._path = path
        self.scores: dict[Choices, float] = {}
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
            lines = whole.decode().splitlines()
            found = json.loads(lines[0])["identity"]
            self.scores = dict(_row(line) for line in lines[1:])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UsageError(
                f"{path} is not a file of trials: {error}.", "Choose another folder with --run."
            ) from error
        if found != identity:
            raise UsageError(
                f"{path} was begun with other settings.",
                "Repeat the options it was made with, or choose another folder with --run.",
            )
        if whole != content:
            os.truncate(path, len(whole))

    def add(self, choices: Choices, score: float) -> None:
        """Keep one finished trial."""
        self.scores[choices] = score
        if self._path is None:
            return
        try:
            with self._path.open("ab") as stream:
                stream.write(_line({"choices": list(choices), "score": score}))
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


def _row(line: str) -> tuple[Choices, float]:
    """One trial."""
    row = json.loads(line)
    score = float(row["score"])
    if not math.isfinite(score):
        raise ValueError(f"a score of {score}")
    return tuple(int(choice) for choice in row["choices"]), score


class ShortTraining:
    """Scores a network by its accuracy after a short training; for `Evaluate`.

    Args:
        space: Of the networks.
        images: Training images of the task.
        learnt: Those to train on.
        held: Those to judge on.
        recipe: The short recipe.
        settings: Of the engine.
        trials: Where finished trials are kept.
        say: Told after each trial.
    """

    def __init__(
        self,
        space: LayeredSpace,
        images: ImageSet,
        learnt: Tensor,
        held: Tensor,
        recipe: RetrainRecipe,
        settings: Settings,
        trials: TrialFile,
        say: Callable[[str], None],
    ) -> None:
        self._space, self._images, self._held = space, images, held
        self._learnt, self._recipe, self._settings = Subset(images, learnt), recipe, settings
        self._trials, self._say = trials, say

    def __call__(self, networks: Sequence[Choices]) -> list[float]:
        """Accuracies, one a network."""
        return [self._one(choices) for choices in networks]

    def _one(self, choices: Choices) -> float:
        known = self._trials.scores.get(choices)
        if known is not None:
            return known
        architecture = network_of(self._space, choices, "trial")
        with fresh_weights(self._settings.seed):
            network = build_network(architecture.operators)
        train(
            FixedNetwork(network, self._recipe),
            self._learnt,
            self._settings,
            subject=Subject(space=self._space.spec),
        )
        score = evaluate(network, self._images, indices=self._held).top1
        self._trials.add(choices, score)
        self._say(f"trial {len(self._trials.scores)}: accuracy {100 * score:.1f} %")
        return score
