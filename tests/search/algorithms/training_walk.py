"""The shortest loop that can drive a search method."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from search.training.protocol import Batch, TrainingMethod

Images = tuple[Tensor, Tensor]
EachEpoch = Callable[[int], None]


def walk(
    method: TrainingMethod,
    splits: list[Images],
    batch: int,
    *,
    seed: int = 0,
    epochs: int | None = None,
) -> None:
    """Train; everything random is drawn from one generator."""
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(method.epochs if epochs is None else epochs):
        method.start_epoch(epoch)
        for phase in method.phases(epoch):
            images, labels = splits[phase.split]
            chunks = torch.randperm(len(labels), generator=generator).split(batch)
            for number, chosen in enumerate(chunks):
                step = Batch(
                    images=images[chosen],
                    labels=labels[chosen],
                    generator=generator,
                    autocast=nullcontext,
                    fraction=number / len(chunks),
                )
                method.module.zero_grad(set_to_none=True)
                method.backward(phase.name, step)
                method.optimizer(phase.name).step()
