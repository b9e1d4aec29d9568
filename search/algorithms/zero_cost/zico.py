"""ZiCo: how steady a network's gradients are before it has learnt anything.

Li et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients"
(ICLR 2023, arXiv 2301.11300), equation 14: the sum over the layers of
ln sum_w E[|g_w|] / sqrt(Var(|g_w|)), where g_w is the gradient of a weight on one batch and
mean and variance are over the batches. The higher, the faster the network learns.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from search.errors import GateFailed, UsageError

Batch = tuple[Tensor, Tensor]


def zico(network: nn.Module, batches: Iterable[Batch]) -> float:
    """The score of a network with fresh weights, which stay what they are.

    Convolutions and linear layers count; a weight whose gradient does not vary, as that of a
    unit that never fires, is left out, and so is a layer of such weights alone.

    Args:
        network: From images to logits, where the batches are.
        batches: Images and labels, two batches or more.

    Raises:
        UsageError: Fewer than two batches.
        GateFailed: A gradient is not a number.
    """
    weights = [
        module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    was_training = network.training
    network.train()
    gradients = [_gradients(network, weights, batch) for batch in batches]
    network.train(was_training)
    if len(gradients) < 2:
        raise UsageError("A variance needs at least two batches.", "Set zero-cost.batches to 2.")
    score = math.fsum(_of_layer(torch.stack(layer)) for layer in zip(*gradients, strict=True))
    if not math.isfinite(score):
        raise GateFailed("A gradient of the untrained network is not a number.")
    return score


def _gradients(network: nn.Module, weights: Sequence[Tensor], batch: Batch) -> list[Tensor]:
    images, labels = batch
    loss = nn.functional.cross_entropy(network(images), labels)
    return [gradient.abs() for gradient in torch.autograd.grad(loss, weights)]


def _of_layer(gradients: Tensor) -> float:
    """ln of the sum of means over deviations; `gradients` is (batches, *weights)."""
    deviation, mean = torch.std_mean(gradients.flatten(1).double(), 0, correction=0)
    varies = deviation != 0  # not a number varies, so that it is found
    total = float((mean[varies] / deviation[varies]).sum())
    return 0.0 if total == 0 else math.log(total)
