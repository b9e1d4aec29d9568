"""Activations of an operator inside a network, as far as they decide the peak of its memory.

Runtimes compute in one region whose tensors share the space as soon as they are done with it.
Two counts describe what an operator asks of it, in bytes at its own batch size:

  * `live_bytes`: the most that its tensors hold at one time, the region's size if a planner
    wasted nothing (the "breadth" of Pisarchyk and Lee, "Efficient Memory Management for Deep
    Neural Net Inference", arXiv 2001.03288);
  * `chained_bytes`: its tensors that are no larger than those before them. Greedy planners place
    tensors by falling size (the same paper, section 5), and stack such ones on top of the
    larger one that they follow.
"""

from itertools import pairwise, takewhile

from search.operators.counts import BYTES, convolutions, count
from search.operators.spec import OperatorSpec

_SHUFFLE = 3


def live_bytes(spec: OperatorSpec) -> int:
    """The most bytes of activations that the operator needs at one time, its input included."""
    sizes = _tensors(spec)
    most = 0
    for step, (read, written) in enumerate(pairwise(sizes)):
        # The input of a residual block is kept until it is added.
        kept = sizes[0] if spec.residual and step else 0
        most = max(most, kept + read + written)
    return most


def chained_bytes(spec: OperatorSpec) -> int:
    """Bytes of the operator's first tensors, as long as none is larger than the one before it."""
    falling = takewhile(lambda pair: pair[1] <= pair[0], pairwise(_tensors(spec)))
    return sum(written for _, written in falling)


def _tensors(spec: OperatorSpec) -> list[int]:
    """Bytes of the input and of each tensor that the operator computes, in order."""
    if spec.kind in ("skip", "empty"):
        return []
    counts, size = count(spec), BYTES[spec.dtype] * spec.batch
    sizes = [size * conv.out_channels * conv.out_pixels for conv in convolutions(spec)]
    if spec.kind == "ir" and spec.groups > 1 and spec.first_pointwise:
        # The channel shuffle behind the first 1x1: a view, a transpose and a view, each written.
        sizes[:1] *= 1 + _SHUFFLE
    if spec.squeeze_channels:  # the gated copy of what the last 1x1 reads
        sizes.insert(-1, size * spec.mid_channels * spec.out_height * spec.out_width)
    if spec.kind == "classifier":
        sizes = [size * spec.in_channels]
        sizes += [size * spec.mid_channels] if spec.mid_channels else []
        sizes.append(counts.output_bytes)
    return [counts.input_bytes, *(sizes or [counts.output_bytes])]
