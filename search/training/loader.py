"""The batches of a run: images and noise of each step, made ahead of time."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from search.data.base import ImageSet
from search.data.split import split_indices
from search.errors import UsageError
from search.training.batches import cut_batches, last_batch, load_ahead
from search.training.compute.distributed import ProcessGroup
from search.training.compute.seeds import derive_seed, generator_for
from search.training.protocol import Batch, Phase
from search.training.settings import TrainingSettings


class BatchLoader:
    """Makes the batches of this process; each depends on its place in the run alone.

    Raises:
        UsageError: Fewer images than two a process, in a batch or in a split.
    """

    def __init__(
        self,
        images: ImageSet,
        fractions: Sequence[float],
        settings: TrainingSettings,
        device: torch.device,
        processes: ProcessGroup,
    ) -> None:
        self._images, self._settings = images, settings
        self._device, self._processes = device, processes
        self._autocast = settings.compute.autocast(device)
        self._layout = settings.compute.memory_format
        self._least = 2 * processes.world
        # torch's batch norm for several GPUs wants equal shares of a batch.
        equal = settings.synchronous and device.type == "cuda"
        self._multiple = processes.world if equal else 1
        self._splits = split_indices(images.labels, tuple(fractions), settings.seed)
        if settings.batch < self._least:
            raise UsageError(
                f"A batch of {settings.batch} is too small for {processes.world} processes; "
                "batch norm needs two images in each."
            )
        if settings.batch % self._multiple:
            raise UsageError(
                f"A batch of {settings.batch} has no equal shares for {processes.world} GPUs."
            )
        for number, split in enumerate(self._splits):
            if len(split) < self._least:
                raise UsageError(
                    f"Split {number} has {len(split)} of {len(images)} images; "
                    f"training needs {self._least}.",
                    "Give more images.",
                )

    def steps(self, phase: Phase) -> int:
        """Batches in one walk of this phase."""
        images, size = len(self._splits[phase.split]), self._settings.batch
        last = last_batch(images, size, least=self._least, multiple=self._multiple)
        return images // size + (last > 0)

    def walk(self, epoch: int, phase: Phase, first: int = 0) -> Generator[Batch, None, None]:
        """The batches of a phase from step `first` on. Close it to stop early."""
        order = generator_for("order", self._settings.seed, epoch, phase.name)
        split = self._splits[phase.split]
        batches = cut_batches(
            split, self._settings.batch, order, least=self._least, multiple=self._multiple
        )
        load = partial(self._load, epoch, phase.name, batches)
        ahead = load_ahead(load, range(first, len(batches)), self._settings.loaders)
        with closing(ahead):
            for step, (images, labels) in enumerate(ahead, first):
                rank = 0 if self._settings.synchronous else self._processes.rank
                place = (self._settings.seed, epoch, phase.name, step, rank)
                self._seed_torch(derive_seed("torch", *place))
                shared = self._settings.synchronous and self._processes.world > 1
                own = Batch(
                    images=images.to(self._device, non_blocking=True),
                    labels=labels.to(self._device, non_blocking=True),
                    generator=generator_for("noise", *place),
                    autocast=self._autocast,
                    fraction=step / len(batches),
                )
                mean = partial(self._processes.mean, images=len(labels))
                yield replace(own, mean=mean, whole=len(batches[step])) if shared else own

    def _load(
        self, epoch: int, phase: str, batches: Sequence[Tensor], step: int
    ) -> tuple[Tensor, Tensor]:
        """This process's share of a batch; runs in a loader's thread."""
        place = (self._settings.seed, epoch, phase, step, self._processes.rank)
        share = self._processes.share(batches[step])
        images, labels = self._images.batch(share, generator_for("augment", *place))
        images = images.contiguous(memory_format=self._layout)
        if self._device.type == "cuda":
            return images.pin_memory(), labels.pin_memory()
        return images, labels

    def _seed_torch(self, seed: int) -> None:
        """For modules that draw from torch's own generators, such as nn.Dropout."""
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.default_generators[self._device.index].manual_seed(seed)
