"""Accuracy of a network on a set of images."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search.data.base import ImageSet
from search.errors import UsageError
from search.training.batches import load_ahead
from search.training.compute.precision import Compute

_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Shares of images whose label is the first guess (`top1`), or among five.

    `loss` is the mean cross entropy; `top5` is 1 with five classes or fewer.
    """

    top1: float
    top5: float
    images: int
    loss: float

    @property
    def top1_interval(self) -> tuple[float, float]:
        """The 95 % interval of `top1`."""
        return wilson_interval(self.top1, self.images)

    @property
    def top5_interval(self) -> tuple[float, float]:
        """The 95 % interval of `top5`."""
        return wilson_interval(self.top5, self.images)


def wilson_interval(share: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a probability, of whose `number` trials this share came true.

    Wilson's score interval (Journal of the American Statistical Association 22, 1927),
    which holds for few images and near 0 and 1 too.
    """
    centre = share + _Z**2 / (2 * number)
    reach = _Z * math.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    scale = 1 + _Z**2 / number
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def evaluate(
    network: nn.Module,
    images: ImageSet,
    batch: int = 256,
    *,
    indices: Tensor | None = None,
    compute: Compute | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """Run a network in evaluation mode, on the device where it is.

    The modes of its modules are put back. The batch size has no influence
    beyond rounding.

    Args:
        network: From a batch of images to logits.
        images: What to judge it on; not augmented.
        batch: Images a forward pass.
        indices: Only these images; None means all.
        compute: Precision and layout; None means float32 as the images come.
        on_progress: Called with the number of images of every batch that is judged.

    Raises:
        UsageError: There are no images.
    """
    chosen = torch.arange(len(images)) if indices is None else indices
    if not len(chosen):
        raise UsageError("There are no images to judge the network on.")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with evaluating(network), torch.inference_mode():
        batches: tuple[Tensor, ...] = chosen.split(batch)  # type: ignore[no-untyped-call]
        sums = _sums(network, images, batches, device, compute or Compute(), on_progress)
    top1, top5, loss = (value / len(chosen) for value in sums)
    return Accuracy(top1=top1, top5=top5, images=len(chosen), loss=loss)


def _sums(
    network: nn.Module,
    images: ImageSet,
    batches: Sequence[Tensor],
    device: torch.device,
    compute: Compute,
    on_progress: Callable[[int], None] | None,
) -> list[float]:
    """First guesses, guesses among five, and loss, summed over the images."""
    layout, autocast = compute.memory_format, compute.autocast(device)
    total = torch.zeros(3, dtype=torch.float64, device=device)
    with closing(load_ahead(lambda part: images.batch(part, None), batches)) as loaded:
        for pixels, labels in loaded:
            pixels = pixels.to(device).contiguous(memory_format=layout)
            labels = labels.to(device)
            with autocast():
                logits = network(pixels)
            logits = logits.float()
            hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
            total += torch.stack([hits[:, 0].sum().double(), hits.sum().double(), loss.double()])
            if on_progress is not None:
                on_progress(len(labels))
    sums: list[float] = total.tolist()
    return sums


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module gets its own mode back."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
