"""A look at images that are not learnt from, after an epoch, by all processes together."""

import math
import time
from pathlib import Path

import torch
from torch import nn

from search.data.base import ImageSet
from search.errors import GateFailed
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute, peak_memory_mb
from search.training.evaluate import Accuracy, evaluate
from search.training.run.best import BestWeights
from search.training.run.trace import TraceLine

PHASE = "validation"


class Validation:
    """Judges a network every few epochs, and keeps its best weights.

    Args:
        network: Judged; where it is when it is judged.
        images: Judged on.
        every: Epochs between two looks; the last epoch has one too.
        most: At most so many images, evenly from all; None takes all.
        folder: Of the run, for the best weights.
        resume: Go on with the best weights of an interrupted run.

    Raises:
        UsageError: The best weights of the interrupted run cannot be read, or are of
            another network.
    """

    def __init__(
        self,
        network: nn.Module,
        images: ImageSet,
        *,
        every: int = 1,
        most: int | None = None,
        folder: Path | None = None,
        resume: bool = False,
    ) -> None:
        self._network, self._images, self._every = network, images, every
        number = min(most or len(images), len(images))
        self._indices = torch.linspace(0, len(images) - 1, number).round().long()
        self.best = BestWeights(folder, resume=resume)
        self.best.check(network)

    def look(
        self, epoch: int, epochs: int, compute: Compute, processes: ProcessGroup
    ) -> TraceLine | None:
        """The line of the trace after an epoch counted from 0; None where none is due.

        Every process must come here; the first keeps the best weights.

        Raises:
            GateFailed: The network says what is no number.
        """
        done = epoch + 1
        if done % self._every and done != epochs:
            return None
        began = time.monotonic()
        found = judge_together(self._network, self._images, self._indices, compute, processes)
        if not math.isfinite(found.loss):
            raise GateFailed(
                f"The loss on the test images is {found.loss} after epoch {done}.",
                "Lower the learning rate (--learning-rate) or clip the gradient "
                "(--set optimizer.clip_norm=5).",
            )
        if processes.leads:
            self.best.offer(self._network, done, found.top1)
        seconds = time.monotonic() - began
        device = next(self._network.parameters()).device
        return TraceLine(
            epoch=epoch,
            phase=PHASE,
            loss=found.loss,
            cross_entropy=found.loss,
            accuracy=found.top1,
            images=found.images,
            images_per_s=found.images / seconds if seconds else 0.0,
            seconds=seconds,
            memory_mb=peak_memory_mb(device),
        )


def judge_together(
    network: nn.Module,
    images: ImageSet,
    indices: torch.Tensor,
    compute: Compute,
    processes: ProcessGroup,
) -> Accuracy:
    """Accuracy on some images, each process judging its share of them."""
    alone = processes.world == 1 or len(indices) < processes.world
    own = indices if alone else processes.share(indices)
    found = evaluate(network, images, indices=own, compute=compute)
    if alone:
        return found
    device = next(network.parameters()).device
    numbers = torch.tensor([found.top1, found.top5, found.loss], device=device).double()
    top1, top5, loss = processes.mean(numbers, found.images).tolist()
    return Accuracy(top1=top1, top5=top5, images=len(indices), loss=loss)
