"""Networks that train shared weights while the architecture rests.

Until theta or alpha moves, nothing tells good networks from others, and what the weights
should be ready for is any network of the space.

`uniform`: one network a step, each as likely as any other (Guo et al., Single Path One-Shot,
arXiv 1904.00420, section 3.3). `fair`: as many networks a step as the widest layer has
candidates, and every candidate in equally many of them, to one (Chu et al., FairNAS, arXiv
1907.01845, section 3.2). `mixture`: all candidates of every layer, mixed at random as FBNet does
before theta moves (arXiv 1812.03443, equation 8): every step trains every weight, which is
the fastest where steps are few, and takes the memory of all candidates.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search.supernets.base import one_hot
from search.training.ingredients.lessons import lesson_loss
from search.training.protocol import Batch, StepReport

# Of the Gumbel softmax of `mixture`: hot enough that no candidate is left out.
TEMPERATURE = 2.0


def draw_uniform(widths: Sequence[int], generator: torch.Generator) -> Tensor:
    """(1, layers) choices."""
    return torch.stack([torch.randint(0, width, (1,), generator=generator) for width in widths], 1)


def draw_fair(widths: Sequence[int], generator: torch.Generator) -> Tensor:
    """(widest, layers) choices; a layer's candidates appear equally often, to one."""
    return torch.stack([_turns(width, max(widths), generator) for width in widths], 1)


def _turns(width: int, number: int, generator: torch.Generator) -> Tensor:
    """A number of turns among candidates, in random order; who has one more is random too."""
    rounds = [torch.randperm(width, generator=generator) for _ in range(-(-number // width))]
    turns = torch.cat(rounds)[:number]
    return turns[torch.randperm(number, generator=generator)]


def draw_mixture(widths: Sequence[int], generator: torch.Generator) -> Tensor:
    """(1, layers, widest) weights of all candidates: a Gumbel softmax that prefers none."""
    noise = torch.empty(len(widths), max(widths)).exponential_(generator=generator)
    legal = torch.arange(max(widths)) < torch.tensor(widths)[:, None]
    return (-noise.log() / TEMPERATURE).masked_fill(~legal, -math.inf).softmax(1)[None]


def _weights_of(paths: Tensor, widths: Sequence[int]) -> Tensor:
    return torch.stack([one_hot(path, widths) for path in paths.tolist()])


_DRAWS: dict[str, Callable[[Sequence[int], torch.Generator], Tensor]] = {
    "uniform": lambda widths, generator: _weights_of(draw_uniform(widths, generator), widths),
    "fair": lambda widths, generator: _weights_of(draw_fair(widths, generator), widths),
    "mixture": draw_mixture,
}


def learn_paths(
    module: nn.Module, batch: Batch, widths: Sequence[int], sampling: str, label_smoothing: float
) -> StepReport:
    """Leave the mean gradient of the networks drawn in the weights.

    Args:
        module: From images and (layers, widest) weights of the candidates to logits.
        batch: Of a phase of the weights.
        widths: Candidates of each layer.
        sampling: `uniform`, `fair` or `mixture`.
        label_smoothing: Share of the target spread over all classes.

    Returns:
        Means over the networks, hits rounded; without a latency, which is none of theirs.
    """
    networks = _DRAWS[sampling](widths, batch.generator)
    entropy, hits = 0.0, 0.0
    for weights in networks:
        with batch.autocast():
            logits = module(batch.images, weights.to(batch.images.device))
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = lesson_loss(batch, precise, label_smoothing)
        batch.backward(loss / len(networks))
        entropy += float(loss.detach()) / len(networks)
        hits += float((logits.argmax(1) == batch.labels).sum()) / len(networks)
    return StepReport(
        loss=entropy, cross_entropy=entropy, correct=round(hits), images=len(batch.labels)
    )
