"""Batch norm statistics of networks whose weights were inherited.

While a supernet learns, a layer's input is a mixture that no single network
ever sees, so running statistics gathered then fit none of them. Before a
sub-network with inherited weights is judged, its statistics are estimated
again on about 2,000 training images (the practice of Once-for-All,
arXiv 1908.09791, section 4).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.errors import UsageError


def batch_norms(modules: Iterable[nn.Module]) -> list[_BatchNorm]:
    """Every batch norm inside these modules, in order."""
    return [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]


def freeze_statistics(norms: Iterable[_BatchNorm]) -> None:
    """In training mode: normalise by the batch and leave running statistics alone.

    So forward passes have no side effects: one that activation checkpointing
    repeats changes nothing. Buffers stay in the state dict, and evaluation
    mode uses them.
    """
    for norm in norms:
        norm.track_running_stats = False


@contextmanager
def fresh_statistics(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Forget these statistics and average them over the forward passes made here."""
    before = [(norm.training, norm.momentum, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.track_running_stats, norm.momentum = True, None
        norm.reset_running_stats()
        norm.train()
    try:
        with torch.no_grad():
            yield
    finally:
        for norm, (training, momentum, track) in zip(norms, before, strict=True):
            norm.training, norm.momentum, norm.track_running_stats = training, momentum, track


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Estimate all batch norm statistics of a network again; weights stay.

    Statistics are the plain average over the batches, so let the batches be
    of one size. The modes of all modules are put back.

    Args:
        network: From images to logits.
        batches: Images, (batch, channels, height, width); about 2,000 in all.

    Returns:
        How many images were seen.

    Raises:
        UsageError: There was no batch.
    """
    modes = [(module, module.training) for module in network.modules()]
    norms = batch_norms([network])
    network.eval()
    try:
        with fresh_statistics(norms):
            seen = sum(len(network(images)) for images in batches)
    finally:
        for module, mode in modes:
            module.training = mode
    require_images(seen)
    return seen


def require_images(seen: int) -> None:
    """Refuse statistics of nothing.

    Raises:
        UsageError: No image was seen.
    """
    if not seen:
        raise UsageError(
            "Batch norm statistics were to be estimated from no images.",
            "Give at least one batch of training images.",
        )
