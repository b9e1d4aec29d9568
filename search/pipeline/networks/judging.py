"""Candidates judged with inherited weights: each process its share, kept as they are done.

Judging takes about a tenth of the search at most. What decides is the number of images
that pass a network, and how large it is, not the clock, so that equal seeds judge equally
on any machine.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from search.algorithms.baselines.search import Choices
from search.algorithms.baselines.trials import TrialFile
from search.console.progress import Progress, Silent
from search.data.base import ImageSet
from search.pipeline.candidates import Candidate
from search.pipeline.networks.inherited import (
    CALIBRATION_IMAGES,
    Shared,
    inherited_accuracy,
    inherited_entropy,
)
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute
from search.training.compute.seeds import generator_for

JUDGED = "judged"
# Of the work of a search.
_SHARE = 0.1
# Fewer images tell no two networks apart.
_LEAST = 500
_REMEMBERED_BYTES = 2**30
# Turns between two lines of a log.
_MILESTONE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingImages:
    """Images to judge on: those that batch norm is estimated on, and those that count."""

    calibration: int
    validation: Tensor


def choose_images(
    candidates: float, train: Tensor, validation: Tensor, search_passes: float
) -> JudgingImages:
    """As many images as a tenth of the search allows, and 500 of each kind at least.

    Args:
        candidates: How many are to be judged, in networks of mean size.
        train: Images that trained the weights.
        validation: Images that trained none; a part of them is drawn evenly.
        search_passes: Of the search, from `search.pipeline.networks.search_work`.
    """
    calibration = min(CALIBRATION_IMAGES, len(train))
    wanted = candidates * (calibration + len(validation))
    share = min(1.0, _SHARE * search_passes / max(wanted, 1))
    number = max(round(share * len(validation)), min(_LEAST, len(validation)))
    if number < len(validation):
        order = torch.randperm(len(validation), generator=generator_for("judging"))
        validation = validation[order[:number].sort().values]
    return JudgingImages(
        calibration=max(round(share * calibration), min(_LEAST, calibration)),
        validation=validation,
    )


class Remembered:
    """An `ImageSet` whose batches without augmentation are decoded once, as memory allows."""

    def __init__(self, images: ImageSet, most_bytes: int = _REMEMBERED_BYTES) -> None:
        self.labels = images.labels
        self._images, self._left = images, most_bytes
        self._known: dict[bytes, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """See `ImageSet.batch`."""
        key = indices.numpy().tobytes()
        if generator is None and key in self._known:
            return self._known[key]
        batch = self._images.batch(indices, generator)
        size = batch[0].nbytes
        if generator is None and size <= self._left:
            self._left -= size
            self._known[key] = batch
        return batch


def rank_candidates(
    candidates: Sequence[Candidate],
    weights: Shared,
    images: ImageSet,
    train_indices: Tensor,
    validation_indices: Tensor,
) -> list[Candidate]:
    """Judge all by inherited weights, in this process, on all of the images.

    Args:
        candidates: Of one space.
        weights: Trained, shared by all networks of the space.
        images: Training images.
        train_indices: Those that trained the weights.
        validation_indices: Those to judge on.

    Returns:
        Candidates with their accuracies, the best first.
    """
    chosen = JudgingImages(calibration=CALIBRATION_IMAGES, validation=validation_indices)
    judge = Judge(
        weights=weights,
        module=nn.Identity(),
        images=images,
        train=train_indices,
        chosen=chosen,
        folder=None,
        compute=Compute(),
        processes=ProcessGroup(),
        progress=Silent(),
    )
    return judge.rank(candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges networks of one search with the weights that they share.

    Attributes:
        weights: Trained, shared by all networks of the space, and in `module`.
        images: Training images of the search.
        train: Those that trained the weights.
        chosen: Those that are judged on.
        folder: Of the run; accuracies are kept there one by one. None keeps none.
        compute: Precision of the run.
    """

    weights: Shared
    module: nn.Module
    images: ImageSet
    train: Tensor
    chosen: JudgingImages
    folder: Path | None
    compute: Compute
    processes: ProcessGroup
    progress: Progress

    def rank(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with their accuracies, the best first.

        Raises:
            Transient: Another process went away.
            StorageError: The disk is full.
        """
        networks = [candidate.choices for candidate in candidates]
        accuracies = self._judged(networks, inherited_accuracy, "candidates", shares=True)
        judged = [
            replace(
                candidate,
                accuracy=accuracy,
                scored_by="inherited weights, batch norm recalibrated",
                images=len(self.chosen.validation),
            )
            for candidate, accuracy in zip(candidates, accuracies, strict=True)
        ]
        return sorted(judged, key=lambda candidate: -(candidate.accuracy or 0.0))

    def entropies(self, networks: Sequence[Choices]) -> list[float]:
        """Mean cross entropies of networks, in their order; they tell networks apart sooner.

        Raises:
            Transient, StorageError: As `rank`.
        """
        return self._judged(networks, inherited_entropy, "networks", shares=False)

    def _judged(
        self, networks: Sequence[Choices], measure: Callable[..., float], noun: str, *, shares: bool
    ) -> list[float]:
        """A number of 0 or more for each network, by all processes together."""
        identity = self._identity(noun)
        known = self._known(networks, identity, shares)
        left = [number for number, value in enumerate(known) if value < 0]
        own = left[self.processes.rank :: self.processes.world]
        self._announce(noun, len(networks), len(left))
        kept = TrialFile(self._file(identity), identity, resume=True, shares=shares)
        images, found = Remembered(self.images), [0.0] * len(networks)
        for turn, number in enumerate(own):
            found[number] = measure(
                self.weights,
                networks[number],
                images,
                self.train,
                self.chosen.validation,
                compute=self.compute,
                calibration=self.chosen.calibration,
            )
            kept.add(networks[number], found[number])
            self._report(noun, turn, len(left), len(networks))
        sums = self._sum(found)
        self.progress.end_stage()
        return [new if old < 0 else old for old, new in zip(known, sums, strict=True)]

    def _announce(self, noun: str, networks: int, left: int) -> None:
        opening = f"judging {networks} {noun} on {len(self.chosen.validation)} images each"
        if left < networks:
            opening += f", {networks - left} of them judged before"
        self.progress.stage(f"{noun} judged", networks, networks - left, opening=opening)

    def _report(self, noun: str, turn: int, left: int, networks: int) -> None:
        """One more turn is done, in which each process judged one network."""
        world = self.processes.world
        self.progress.advance(min(world, left - turn * world))
        done = min((turn + 1) * world, left)
        if (turn + 1) % _MILESTONE == 0 or done == left:
            self.progress.milestone(f"{networks - left + done} of {networks} {noun} judged")

    # --- what is known already, and what the processes tell each other

    def _identity(self, noun: str) -> str:
        """Hash of the weights and of all else that a number depends on."""
        digest = hashlib.sha256()
        if self.folder is None:
            return ""  # nothing is kept, so nothing must be recognised
        for name, tensor in self.module.state_dict().items():
            digest.update(name.encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        digest.update(self.chosen.validation.numpy().tobytes())
        digest.update(f"{noun} {self.chosen.calibration} {self.compute.dtype}".encode())
        return digest.hexdigest()

    def _file(self, identity: str) -> Path | None:
        """This process's own; other weights have another."""
        name = f"{JUDGED}-{identity[:12]}-{self.processes.rank}.jsonl"
        return None if self.folder is None else self.folder / name

    def _known(self, networks: Sequence[Choices], identity: str, shares: bool) -> list[float]:
        """Numbers that an interrupted run found, the same in every process; -1 if not known."""
        known: dict[Choices, float] = {}
        if self.processes.leads and self.folder is not None:
            for path in sorted(self.folder.glob(f"{JUDGED}-{identity[:12]}-*.jsonl")):
                known |= TrialFile(path, identity, resume=True, shares=shares).scores
        found = [known.get(choices, -1.0) for choices in networks]
        return self._sum(found if self.processes.leads else [0.0] * len(found))

    def _sum(self, numbers: Sequence[float]) -> list[float]:
        """Sums over the processes."""
        if self.processes.world == 1:
            return list(numbers)
        device = next(self.module.parameters()).device
        own = torch.tensor(numbers, dtype=torch.float64, device=device)
        sums: list[float] = (self.processes.mean(own, 1) * self.processes.world).tolist()
        return sums
