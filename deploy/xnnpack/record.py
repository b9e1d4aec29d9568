"""A module's calls of torch, recorded while it runs on an example."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from deploy.xnnpack.nodes import Graph, Node, NotCovered

# A call's arguments, positional and by name, without the tensors it computes from:
# what the node keeps of them.
_Settings = Callable[..., dict[str, Any]]


def record(module: nn.Module, example: Tensor) -> Graph:
    """The module's operations in the order in which it calls them.

    Raises:
        NotCovered: It calls something else.
    """
    start = Node(
        kind="input",
        shape=tuple(example.shape),
        seen=[example],
        channels_last=is_channels_last(example),
    )
    recorder = _Recorder(example, start)
    with torch.no_grad(), recorder:
        result = module(example)
    if result is not example and _lies_in_both_orders(result):
        raise NotCovered("The result has one pixel; which order it is given depends on the tool.")
    end = Node(kind="output", inputs=[recorder.node_of(result)], shape=tuple(result.shape))
    end.settings = {"channels_last": is_channels_last(result), "strides": result.stride()}
    return Graph([*recorder.nodes, end])


def is_channels_last(x: Tensor) -> bool:
    """Whether an image lies channels-last; where it lies in both orders it does not."""
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return last and not x.is_contiguous()


def _lies_in_both_orders(x: Tensor) -> bool:
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return last and x.is_contiguous()


class _Recorder(TorchFunctionMode):  # type: ignore[misc,unused-ignore]
    """Turns each call that computes a tensor into a node."""

    def __init__(self, example: Tensor, start: Node) -> None:
        super().__init__()
        self.nodes = [start]
        # The tensors are kept as well, so that no id is used twice.
        self._known: dict[int, tuple[Tensor, Node]] = {id(example): (example, start)}

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self._record(function, args, kwargs or {}, result)
        elif not isinstance(result, torch.Size | int):
            raise NotCovered(f"The call {function} gives no tensor.")
        return result

    def node_of(self, x: Tensor) -> Node:
        """The node of a tensor; parameters become nodes when they are first read."""
        known = self._known.get(id(x))
        if known is None:
            if not isinstance(x, nn.Parameter):
                raise NotCovered("A tensor is read that is neither computed nor a parameter.")
            known = (x, Node(kind="parameter", shape=tuple(x.shape), content=x.detach()))
            self._known[id(x)] = known
        return known[1]

    def _record(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Tensor,
    ) -> None:
        if function not in _CALLS:
            raise NotCovered(f"The call {function} has no counterpart here.")
        kind, tensors, settings = _CALLS[function]
        listed = args[0] if kind == "concatenate" else args[:tensors]
        inputs = [self._operand(x) for x in listed if x is not None]
        given = {} if settings is None else settings(*args[tensors:], **kwargs)
        if any(x is result for x in listed):
            raise NotCovered(f"The call {function} computes in place.")
        if kind == "reshape" and _shares_memory(args[0], result):
            kind = "view"
        if kind in ("view", "reshape"):
            given = {"shape": tuple(result.shape)}
        node = Node(kind=kind, inputs=inputs, shape=tuple(result.shape), settings=given)
        node.seen.append(result)
        self.nodes.append(node)
        self._known[id(result)] = (result, node)

    def _operand(self, x: Any) -> Node:
        if isinstance(x, Tensor):
            return self.node_of(x)
        value = torch.tensor(float(x))
        return Node(kind="scalar", content=value, seen=[value])


def _shares_memory(x: Tensor, y: Tensor) -> bool:
    return x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()


def _nothing(*_: Any, inplace: bool = False) -> dict[str, Any]:
    if inplace:
        raise NotCovered("An activation computes in place.")
    return {}


def _conv(
    stride: tuple[int, int],
    padding: tuple[int, int] | str,
    dilation: tuple[int, int],
    groups: int,
) -> dict[str, Any]:
    if isinstance(padding, str):
        raise NotCovered("A convolution's padding is a word.")
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _bounds(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> dict[str, Any]:
    return {**_nothing(inplace=inplace), "bounds": (min_val, max_val)}


def _sixth(inplace: bool = False) -> dict[str, Any]:
    return {**_nothing(inplace=inplace), "bounds": (0.0, 6.0)}


def _mean(dims: Sequence[int], keepdim: bool = False) -> dict[str, Any]:
    if sorted(dims) != [2, 3] or not keepdim:
        raise NotCovered("A mean is not over height and width, or drops them.")
    return {}


def _pool(size: int | tuple[int, int]) -> dict[str, Any]:
    if size not in (1, (1, 1)):
        raise NotCovered("A pool has more than one pixel left.")
    return {}


def _softmax(dim: int) -> dict[str, Any]:
    return {"axis": dim}


def _slice(index: tuple[slice, ...]) -> dict[str, Any]:
    """One slice of whole steps along one axis, all of the others."""
    whole = slice(None)
    if not isinstance(index, tuple) or not all(isinstance(part, slice) for part in index):
        raise NotCovered("A tensor is indexed by something else than slices.")
    axes = [axis for axis, part in enumerate(index) if part != whole]
    if len(axes) != 1 or index[axes[0]].step not in (None, 1):
        raise NotCovered("More than one axis is sliced, or with steps.")
    return {"axis": axes[0], "start": index[axes[0]].start or 0}


def _swapped(first: int, second: int) -> dict[str, Any]:
    return {"swapped": (first, second)}


# By function: the kind of node, how many of the first arguments are tensors or numbers
# that it computes from, and what the node keeps of the other arguments.
_CALLS: dict[Callable[..., Any], tuple[str, int, _Settings | None]] = {
    functional.conv2d: ("conv", 3, _conv),
    functional.linear: ("linear", 3, _nothing),
    functional.relu: ("relu", 1, _nothing),
    functional.hardtanh: ("clamp", 1, _bounds),
    functional.relu6: ("relu6", 1, _sixth),
    functional.hardswish: ("hardswish", 1, _nothing),
    functional.silu: ("silu", 1, _nothing),
    functional.adaptive_avg_pool2d: ("pool", 1, _pool),
    torch.sigmoid: ("sigmoid", 1, _nothing),
    torch.cat: ("concatenate", 1, _softmax),
    Tensor.add: ("add", 2, _nothing),
    Tensor.mul: ("multiply", 2, _nothing),
    Tensor.div: ("divide", 2, _nothing),
    Tensor.mean: ("mean", 1, _mean),
    Tensor.softmax: ("softmax", 1, _softmax),
    Tensor.view: ("view", 1, None),
    Tensor.flatten: ("view", 1, None),
    Tensor.reshape: ("reshape", 1, None),
    Tensor.transpose: ("permute", 1, _swapped),
    Tensor.__getitem__: ("slice", 1, _slice),
}
