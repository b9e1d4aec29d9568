"""The delegate's part of a program: XNNPACK's nodes and values, and their constants.

Numbers are given in the order in which ExecuTorch's node visitors give them, so that a file
written here and a lowered one differ in nothing that the runtime reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deploy.xnnpack.arrange import bounds
from deploy.xnnpack.constants import Constants, bias_as_stored, filter_as_stored
from deploy.xnnpack.nodes import Graph, Node, NotCovered

_NO_VALUE = 2**32 - 1
# Numbers of XNNPACK's schema.
_FP32, _QINT8, _QINT32, _QCINT8, _QCINT32 = 1, 3, 5, 6, 7
_INPUT, _OUTPUT, _KEEP_DIMS = 1, 2, 64
_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_CONCATENATED = range(2, 6)


@dataclass(frozen=True, slots=True)
class Delegate:
    """`content` follows XNNPACK's schema; `named` holds the constants' bytes by name."""

    content: dict[str, Any]
    named: dict[str, bytes]


def write_delegate(graph: Graph, scalars: Sequence[Node]) -> Delegate:
    """All nodes of an arranged graph.

    Args:
        graph: What `arrange` made.
        scalars: The numbers that the program hands in behind its input, in this order.

    Raises:
        NotCovered: More values are concatenated than XNNPACK takes.
    """
    writer = _Writer(graph, scalars)
    for node in graph:
        if node.kind not in ("input", "output"):
            _WRITERS[node.kind](writer, node)
    content = {
        "version": "0",
        "xnodes": writer.nodes,
        "xvalues": writer.values,
        "num_externs": len(scalars) + 2,
        "input_ids": writer.inputs,
        "output_ids": writer.outputs,
        "constant_data": writer.constants.listed,
    }
    return Delegate(content, writer.constants.named)


class _Writer:
    """Nodes and values so far."""

    def __init__(self, graph: Graph, scalars: Sequence[Node]) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.values: list[dict[str, Any]] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.constants = Constants()
        self._ids: dict[Node, int] = {}
        handed_in = enumerate([graph.input, *scalars])
        self._external = {node: (number, _INPUT) for number, node in handed_in}
        self._external[graph.output.inputs[0]] = (len(self._external), _OUTPUT)

    def node(self, kind: str, node: Node, fields: dict[str, Any]) -> None:
        """Add a node; a bound on its result is part of it."""
        limits = None
        if "bounds" in node.settings:
            low, high = bounds(node)
            limits = {"output_min": low, "output_max": high}
        self.nodes.append(
            {
                "xnode_union": fields,
                "xnode_union_type": f"XNN{kind}",
                "debug_handle": node.handle,
                "output_min_max": limits,
            }
        )

    def read(self, node: Node) -> int:
        """The id of a value that an operation reads."""
        if node.kind == "dequantise" and node.implicit:
            self._define(node, node.inputs[0], node.settings)
        else:
            self._define(node, node)
        return self._ids[node]

    def write(self, node: Node) -> int:
        """The id of the value that an operation writes."""
        user = node.only_user
        in_int8 = user is not None and user.kind == "quantise" and user.implicit
        self._define(node, node, user.settings if user is not None and in_int8 else None)
        return self._ids[node]

    def same(self, node: Node, other: Node) -> None:
        """The node is no operation of its own: it has the other's value."""
        if other in self._ids:
            self._ids[node] = self._ids[other]

    def quantised(self, node: Node, settings: dict[str, Any]) -> int:
        """The id of a value in int8 that is neither handed in nor out."""
        self._define(node, node, settings)
        return self._ids[node]

    def parameter(
        self,
        node: Node,
        content: Tensor,
        scales: Tensor | None,
        *,
        channel_dim: int = 0,
        bias: bool = False,
    ) -> int:
        """The id of a weight or bias; `content` is what the file holds."""
        if node in self._ids:
            return self._ids[node]
        index = self.constants.add(content)
        if scales is None:
            datatype, quantised = _FP32, None
        else:
            datatype = _QCINT32 if bias else _QCINT8
            quantised = {
                "scale": [],
                "channel_dim": channel_dim,
                "scale_buffer_idx": self.constants.add(scales, "scale_"),
                "num_scales": scales.numel(),
            }
        self._add(node, datatype, list(content.shape), index, quantised, "PerChannelQuant")
        return self._ids[node]

    def _define(self, node: Node, source: Node, settings: dict[str, Any] | None = None) -> None:
        if node in self._ids:
            return
        if source in self._ids:
            self._ids[node] = self._ids[source]
            return
        dims = list(node.shape) or [1]
        if node.channels_last:
            dims = [dims[axis] for axis in _TO_LAST]
        quantised = None
        if settings is not None:
            quantised = {"scale": settings["scale"], "zero_point": settings["zero_point"]}
        datatype = _FP32 if settings is None else _QINT8
        self._add(node, datatype, dims, 0, quantised, "PerTensorQuant", source)
        self._ids[source] = self._ids[node]

    def _add(
        self,
        node: Node,
        datatype: int,
        dims: list[int],
        index: int,
        quantised: dict[str, Any] | None,
        how: str,
        source: Node | None = None,
    ) -> None:
        number = len(self.values)
        external, flags = self._external.get(source or node, (_NO_VALUE, 0))
        if flags:
            (self.inputs if flags == _INPUT else self.outputs).append(number)
        value: dict[str, Any] = {
            "datatype": datatype,
            "num_dims": len(dims),
            "dims": dims,
            "constant_buffer_idx": index,
            "external_id": external,
            "flags": flags,
            "id_out": number,
        }
        kind = "XNNTensorValue"
        if quantised is not None:
            kind = "XNNQuantizedTensorValue"
            value = {"tensor_value": value, "quant_params": quantised, "quant_params_type": how}
        self.values.append({"xvalue_union": value, "xvalue_union_type": kind})
        self._ids[node] = number


def _input_scale(node: Node) -> float | None:
    source = node.inputs[0]
    return source.settings["scale"] if source.kind == "dequantise" else None


def _conv(writer: _Writer, node: Node) -> None:
    weight = node.inputs[1]
    assert weight.content is not None
    outputs, inputs, height, width = weight.shape
    groups = node.settings["groups"]
    depthwise = inputs == 1
    source = writer.read(node.inputs[0])
    stored = filter_as_stored(weight.content, depthwise=depthwise)
    scales = weight.settings.get("scales")
    weights = writer.parameter(weight, stored, scales, channel_dim=3 if depthwise else 0)
    target = writer.write(node)
    bias = _bias(writer, node)
    (top, left), (down, right) = node.settings["padding"], node.settings["stride"]
    below, beside = node.settings["dilation"]
    fields = {
        "padding_top": top,
        "padding_right": left,
        "padding_bottom": top,
        "padding_left": left,
        "kernel_height": height,
        "kernel_width": width,
        "subsampling_height": down,
        "subsampling_width": right,
        "dilation_height": below,
        "dilation_width": beside,
        "group_input_channels": inputs,
        "group_output_channels": outputs // groups,
        "groups": groups,
        "adjustment_height": 0,
        "adjustment_width": 0,
        "input1_id": source,
        "filter_id": weights,
        "bias_id": bias,
        "output_id": target,
        "flags": 0,
    }
    writer.node("DepthwiseConv2d" if depthwise else "Conv2d", node, fields)


def _bias(writer: _Writer, node: Node) -> int:
    if len(node.inputs) < 3:
        return _NO_VALUE
    stored, scales = bias_as_stored(node, _input_scale(node))
    return writer.parameter(node.inputs[2], stored, scales, bias=True)


def _linear(writer: _Writer, node: Node) -> None:
    weight = node.inputs[1]
    assert weight.content is not None
    source = writer.read(node.inputs[0])
    weights = writer.parameter(weight, weight.content, weight.settings.get("scales"))
    bias = _bias(writer, node)
    fields = {
        "input1_id": source,
        "filter_id": weights,
        "bias_id": bias,
        "output_id": writer.write(node),
        "flags": 0,
    }
    writer.node("FullyConnected", node, fields)


def _two(kind: str, *, inputs_first: bool) -> Callable[[_Writer, Node], None]:
    def write(writer: _Writer, node: Node) -> None:
        if not inputs_first:
            writer.write(node)
        first, second = (writer.read(source) for source in node.inputs)
        fields = {"input1_id": first, "input2_id": second}
        writer.node(kind, node, {**fields, "output_id": writer.write(node), "flags": 0})

    return write


def _one(kind: str, flags: int = 0) -> Callable[[_Writer, Node], None]:
    def write(writer: _Writer, node: Node) -> None:
        target, source = writer.write(node), writer.read(node.inputs[0])
        writer.node(kind, node, {"input_id": source, "output_id": target, "flags": flags})

    return write


def _clamp(writer: _Writer, node: Node) -> None:
    node.settings["bounds"] = bounds(node)
    _one("Clamp")(writer, node)


def _shaped(
    writer: _Writer, node: Node, kind: str, sizes: dict[str, list[int]], *, last: bool = False
) -> None:
    """A node with sizes; `last`: its output gets its number after its input."""
    if last:
        writer.read(node.inputs[0])
    target, source = writer.write(node), writer.read(node.inputs[0])
    fields = {"num_dims": len(next(iter(sizes.values()))), **sizes}
    writer.node(kind, node, {**fields, "input_id": source, "output_id": target, "flags": 0})


def _view(writer: _Writer, node: Node) -> None:
    _shaped(writer, node, "StaticReshape", {"new_shape": list(node.shape)})


def _permute(writer: _Writer, node: Node) -> None:
    if node.channels_last:
        raise NotCovered("An image that lies channels-last is permuted.")
    order = list(range(len(node.shape)))
    first, second = node.settings["swapped"]
    order[first], order[second] = order[second], order[first]
    _shaped(writer, node, "StaticTranspose", {"perm": order})


def _copy(writer: _Writer, node: Node) -> None:
    order = _TO_LAST if node.channels_last else _TO_FIRST
    _shaped(writer, node, "StaticTranspose", {"perm": order}, last=True)


def _slice(writer: _Writer, node: Node) -> None:
    if node.channels_last:
        raise NotCovered("An image that lies channels-last is sliced.")
    offsets = [0] * len(node.shape)
    offsets[node.settings["axis"]] = node.settings["start"]
    _shaped(writer, node, "StaticSlice", {"offsets": offsets, "sizes": list(node.shape)})


def _concatenate(writer: _Writer, node: Node) -> None:
    count = len(node.inputs)
    if count not in _CONCATENATED or node.channels_last:
        raise NotCovered(f"{count} values are concatenated, or images channels-last.")
    ids = [writer.read(source) for source in node.inputs]
    ids += [_NO_VALUE] * (5 - count)
    fields = {"axis": node.settings["axis"]}
    fields |= {f"input{number + 1}_id": ids[number] for number in range(4)}
    fields |= {"output_id": writer.write(node), "flags": 0, "input5_id": ids[4]}
    writer.node(f"Concatenate{count}", node, fields)


def _softmax(writer: _Writer, node: Node) -> None:
    if node.settings["axis"] not in (-1, len(node.shape) - 1):
        raise NotCovered("A softmax is not over the last axis.")
    _one("Softmax")(writer, node)


def _quantise(writer: _Writer, node: Node) -> None:
    (source,) = node.inputs
    if node.implicit:
        writer.same(node, source)
        return
    fields = {"input_id": writer.read(source)}
    fields |= {"output_id": writer.quantised(node, node.settings), "flags": 0}
    writer.node("Convert", node, fields)


def _dequantise(writer: _Writer, node: Node) -> None:
    (source,) = node.inputs
    if node.implicit:
        writer.same(node, source)
        return
    target = writer.read(node)
    fields = {"input_id": writer.quantised(source, node.settings), "output_id": target, "flags": 0}
    writer.node("Convert", node, fields)


_WRITERS: dict[str, Callable[[_Writer, Node], None]] = {
    "conv": _conv,
    "linear": _linear,
    "add": _two("Add", inputs_first=True),
    "multiply": _two("Multiply", inputs_first=True),
    "divide": _two("Div", inputs_first=False),
    "relu": _clamp,
    "clamp": _clamp,
    "hardswish": _one("Hardswish"),
    "sigmoid": _one("Sigmoid"),
    "mean": _one("GlobalAvgPooling2d", _KEEP_DIMS),
    "softmax": _softmax,
    "view": _view,
    "permute": _permute,
    "slice": _slice,
    "concatenate": _concatenate,
    "copy": _copy,
    "quantise": _quantise,
    "dequantise": _dequantise,
}
