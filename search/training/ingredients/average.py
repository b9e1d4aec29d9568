"""The average of a network's weights over its training."""

import copy

import torch
from torch import Tensor, nn


def share_of(decay: float, step: int) -> float:
    """How far the average moves after a step, counted from 1: more at first."""
    return 1 - min(decay, (1 + step) / (10 + step))


class AveragedNetwork(nn.Module):
    """A network and the exponential moving average of its weights and statistics.

    After step t the average moves by 1 - min(decay, (1 + t) / (10 + t)) towards the
    network, as TensorFlow's does when it knows the step: a short training is not
    stuck at its first weights.

    Args:
        network: Trained; the average begins as a copy of it.
        decay: Of a long training, such as 0.9999.
    """

    updates: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network, self.average = network, copy.deepcopy(network).requires_grad_(False)
        self._decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        """Images to logits of the network in training."""
        logits: Tensor = self.network(images)
        return logits

    @torch.no_grad()
    def update(self, *_: object) -> None:
        """Move the average; for a hook after the optimiser's step."""
        step = int(self.updates) + 1
        self.updates.fill_(step)
        share = share_of(self._decay, step)
        moving: tuple[list[Tensor], list[Tensor]] = ([], [])
        for mean, value in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                moving[0].append(mean)
                moving[1].append(value)
            else:
                mean.copy_(value)
        torch._foreach_lerp_(moving[0], moving[1], share)
