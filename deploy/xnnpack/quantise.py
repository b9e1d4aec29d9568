"""Static int8: which values are quantised, by which scales, and where.

The rules are those of ExecuTorch's XNNPACKQuantizer and of torchao's `prepare_pt2e` and
`convert_pt2e`, for the operations that occur here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from deploy.xnnpack.nodes import Graph, Node, NotCovered

# What the quantizer reads and writes in int8 ...
_QUANTISED = ("conv", "linear", "add", "multiply", "concatenate", "pool")
# ... and what it hands on as it comes, with the scale of its input.
_KEEPING = ("relu", "clamp", "mean", "permute", "view", "reshape")
_LOWEST, _HIGHEST = -128, 127
_LOWEST_WEIGHT, _HIGHEST_WEIGHT = -127, 127


@dataclass(slots=True)
class _Plan:
    """What is quantised, decided before anything is observed.

    outputs: nodes whose value is int8 for all who read it.
    edges: by node, those who read it in int8 though it is computed in floats.
    shared: by node, another one whose scale it has.
    """

    outputs: set[Node] = field(default_factory=set)
    edges: dict[Node, list[Node]] = field(default_factory=dict)
    shared: dict[Node, Node] = field(default_factory=dict)

    def root(self, node: Node) -> Node:
        """The node that stands for all with the same scale."""
        while node in self.shared:
            node = self.shared[node]
        return node

    def share(self, node: Node, other: Node) -> None:
        """Give both, and all that share with them, one scale."""
        first, second = self.root(node), self.root(other)
        if first is not second:
            self.shared[first] = second


def quantise(graph: Graph) -> None:
    """Insert "quantise" and "dequantise" nodes with scales from the values seen; in place.

    Handles must have been given (`number`). Values seen are dropped.

    Raises:
        NotCovered: An operation occurs in a way that is not described here.
    """
    plan = _plan(graph)
    scales = _observe(graph, plan)
    for node in graph:
        for scalar in [each for each in node.inputs if each.kind == "scalar"]:
            if node in plan.edges.get(scalar, ()):
                _quantise_scalar(graph, scalar, node, scales[plan.root(scalar)])
        if node in plan.outputs or node in plan.edges:
            _insert(graph, node, plan, *scales[plan.root(node)])
    _quantise_weights(graph)


def number(graph: Graph, *, int8: bool) -> None:
    """Give each operation the handle by which ExecuTorch's profiler names it."""
    plan = _plan(graph) if int8 else _Plan()
    handle = sum(node.kind in ("conv", "linear") for node in graph) if int8 else 0
    for node in graph:
        if node.kind == "output":
            continue
        handle += sum(node in plan.edges.get(each, ()) for each in _scalars(node))
        if node.kind != "input":
            handle += 1
            node.handle = handle
        if node in plan.edges and node not in plan.outputs:
            handle += 1
            node.settings["quantise_handle"] = handle


def _scalars(node: Node) -> list[Node]:
    return [each for each in node.inputs if each.kind == "scalar"]


def _plan(graph: Graph) -> _Plan:
    plan = _Plan()
    for node in graph:
        if node.kind in _QUANTISED:
            for source in node.inputs:
                if source.kind != "parameter":
                    plan.edges.setdefault(source, []).append(node)
            plan.outputs.add(_behind_relu(node))
        if node.kind == "pool":
            plan.share(node, node.inputs[0])
        elif node.kind == "concatenate":
            for source in node.inputs:
                plan.share(source, node)
        elif node.kind in _KEEPING and node not in plan.outputs:
            source = node.inputs[0]
            if source in plan.outputs:
                plan.edges.setdefault(source, []).append(node)
                plan.outputs.add(node)
                plan.share(node, source)
    return plan


def _behind_relu(node: Node) -> Node:
    """Where the value becomes int8: a relu that alone reads a product is part of it."""
    user = node.only_user
    if user is None or user.kind != "relu":
        return node
    if node.kind not in ("conv", "linear"):
        raise NotCovered(f"A relu stands behind {node.kind}.")
    return user


def _observe(graph: Graph, plan: _Plan) -> dict[Node, tuple[float, int]]:
    """Scale and zero point by the root node of all that share them."""
    from torchao.quantization.pt2e.observer import HistogramObserver

    observed = [
        each
        for node in graph
        for each in (*_scalars(node), node)
        if each in plan.outputs or each in plan.edges
    ]
    observers: dict[Node, Callable[[Tensor], Tensor]] = {}
    for image in range(len(graph.input.seen)):
        for node in observed:
            root = plan.root(node)
            if root not in observers:
                observers[root] = HistogramObserver(
                    dtype=torch.int8,
                    quant_min=_LOWEST,
                    quant_max=_HIGHEST,
                    qscheme=torch.per_tensor_affine,
                    eps=2**-12,
                )
            observers[root](node.seen[image if node.kind != "scalar" else 0])
    graph.forget()
    return {root: _scale(observer) for root, observer in observers.items()}


def _scale(observer: Callable[[Tensor], Tensor]) -> tuple[float, int]:
    scale, zero_point = observer.calculate_qparams()  # type: ignore[attr-defined]
    return float(scale), int(zero_point)


def _insert(graph: Graph, node: Node, plan: _Plan, scale: float, zero_point: int) -> None:
    """A quantise behind the node, and a dequantise for each who reads it in int8.

    Those who do not ask for int8 share one dequantise.
    """
    in_int8 = [user for user in node.users if user in plan.edges.get(node, ())]
    others = [user for user in node.users if user not in in_int8]
    handle = node.handle if node in plan.outputs else node.settings.pop("quantise_handle")
    settings = {"scale": scale, "zero_point": zero_point}
    quantise = Node(kind="quantise", inputs=[node], shape=node.shape, settings=settings)
    quantise.handle = handle
    graph.insert_after(node, quantise)
    place = quantise
    if node in plan.outputs and others:
        place = _dequantise(graph, quantise, quantise, others)
    for user in in_int8:
        _dequantise(graph, quantise, place, [user])


def _dequantise(graph: Graph, quantise: Node, place: Node, users: Sequence[Node]) -> Node:
    node = Node(kind="dequantise", inputs=[quantise], shape=quantise.shape)
    node.settings, node.handle = quantise.settings, quantise.handle
    graph.insert_after(place, node)
    for user in users:
        user.replace_input(quantise.inputs[0], node)
    return node


def _quantise_scalar(graph: Graph, scalar: Node, user: Node, scale: tuple[float, int]) -> None:
    """A number becomes int8 at once; only its dequantise stays."""
    assert scalar.content is not None
    settings = {"scale": scale[0], "zero_point": scale[1]}
    scalar.content = torch.ops.quantized_decomposed.quantize_per_tensor(
        scalar.content, *scale, _LOWEST, _HIGHEST, torch.int8
    )
    node = Node(kind="dequantise", inputs=[scalar], settings=settings)
    graph.insert_before(user, node)
    user.replace_input(scalar, node)


def _quantise_weights(graph: Graph) -> None:
    """Weights by output channel; biases follow when they are written."""
    from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver

    for node in graph:
        if node.kind not in ("conv", "linear"):
            continue
        weight = node.inputs[1]
        assert weight.content is not None
        observer = PerChannelMinMaxObserver(
            dtype=torch.int8,
            quant_min=_LOWEST_WEIGHT,
            quant_max=_HIGHEST_WEIGHT,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            eps=2**-12,
        )
        observer(weight.content)
        scale, zero_point = observer.calculate_qparams()
        weight.content = torch.ops.quantized_decomposed.quantize_per_channel(
            weight.content, scale, zero_point, 0, _LOWEST_WEIGHT, _HIGHEST_WEIGHT, torch.int8
        )
        weight.settings = {"scales": scale}
