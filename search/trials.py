"""Scores of networks by short training, for the baselines.

What is expensive is kept: every finished trial is a line of a file, and a
resumed run does not train it again.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from search.baselines import Choices
from search.blocks import build_network
from search.data.base import ImageSet
from search.errors import StorageError, UsageError
from search.exact import network_of
from search.spaces.base import LayeredSpace
from search.training.engine import train
from search.training.evaluate import evaluate
from search.training.fixed import FixedNetwork
from search.training.recipes import RetrainRecipe
from search.training.seeds import derive_seed
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
    """Finished trials, one JSON line each; None keeps nothing.

    Raises:
        UsageError: The file was begun with other settings.
    """

    def __init__(self, path: Path | None, identity: str, resume: bool) -> None:
        self._path = path
        self.scores: dict[Choices, float] = {}
        if path is None:
            return
        if path.exists():
            if not resume:
                raise UsageError(
                    f"{path.parent} holds a run already.",
                    "Use --resume to go on with it, or choose another folder.",
                )
            self._read(path, identity)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append({"identity": identity})

    def _read(self, path: Path, identity: str) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        try:
            if json.loads(lines[0])["identity"] != identity:
                raise UsageError(
                    f"{path} was begun with other settings.",
                    "Repeat the options it was made with, or choose another folder.",
                )
            for line in lines[1:]:
                row = _row(line)
                if row is not None:
                    self.scores[row[0]] = row[1]
        except (json.JSONDecodeError, KeyError, IndexError, TypeError) as error:
            raise UsageError(f"{path} is not a file of trials: {error}") from error

    def add(self, choices: Choices, score: float) -> None:
        """Keep one finished trial."""
        self.scores[choices] = score
        self._append({"choices": list(choices), "score": score})

    def _append(self, content: dict[str, object]) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(content) + "\n")
        except OSError as error:
            raise StorageError(f"Cannot write {self._path}: {error}", "Make room.") from error


def _row(line: str) -> tuple[Choices, float] | None:
    """One trial; None for a line that was cut off."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return tuple(int(choice) for choice in row["choices"]), float(row["score"])


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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("weights", self._settings.seed) % 2**31)
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
