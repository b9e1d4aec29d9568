"""Weights, biases and scales of a program: their bytes, named by content."""

import hashlib

import torch
from torch import Tensor

from deploy.xnnpack.nodes import Node


class Constants:
    """What the delegate reads by name, in the order in which it was first needed."""

    def __init__(self) -> None:
        # Number 0 stands for "no constant".
        self.listed: list[dict[str, object]] = [{"offset": 0, "size": 0, "named_key": ""}]
        self.named: dict[str, bytes] = {}

    def add(self, x: Tensor, prefix: str = "") -> int:
        """Keep a tensor's bytes as they lie in memory; its number in the list."""
        content = x.contiguous().numpy().tobytes()
        name = prefix + hashlib.sha256(content).hexdigest()
        self.listed.append({"offset": 2**64 - 1, "size": len(content), "named_key": name})
        self.named.setdefault(name, content)
        return len(self.listed) - 1


def filter_as_stored(weight: Tensor, *, depthwise: bool) -> Tensor:
    """A convolution's weights: outputs, height, width, inputs; depthwise ones 1, h, w, channels."""
    if depthwise:
        weight = weight.transpose(0, 1)
    return weight.permute(0, 2, 3, 1).contiguous()


def bias_as_stored(node: Node, scale: float | None) -> tuple[Tensor, Tensor | None]:
    """A bias and, in int8, its scales: those of the weights times that of the input."""
    bias = node.inputs[2].content
    assert bias is not None
    if scale is None:
        return bias, None
    scales = node.inputs[1].settings["scales"] * scale
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    int32 = torch.iinfo(torch.int32)
    stored = torch.ops.quantized_decomposed.quantize_per_channel(
        bias, scales, zeros, 0, int32.min, int32.max, torch.int32
    )
    return stored, scales
