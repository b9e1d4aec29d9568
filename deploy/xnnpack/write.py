"""A torch module as an XNNPACK program."""

import torch
from torch import Tensor, nn

from deploy.xnnpack.arrange import arrange
from deploy.xnnpack.delegate import write_delegate
from deploy.xnnpack.nodes import Graph, Node
from deploy.xnnpack.program import Interface, write_program
from deploy.xnnpack.quantise import number, quantise
from deploy.xnnpack.record import record


def write_fp32(module: nn.Module, example: Tensor) -> bytes:
    """The `.pte` file that ExecuTorch would lower the module to, in 32-bit floats.

    Raises:
        NotCovered: The module calls something that is not written here.
    """
    graph = record(module, example)
    graph.forget()
    number(graph, int8=False)
    return _finish(graph, example)


def write_int8(module: nn.Module, example: Tensor, other: Tensor) -> bytes:
    """The `.pte` file that ExecuTorch would lower the quantised module to.

    Args:
        module: In floats.
        example: The input, observed first.
        other: A second input of the same shape and memory order to observe.

    Raises:
        NotCovered: The module calls something that is not written here.
    """
    graph = record(module, example)
    again = record(module, other)
    for node, same in zip(graph, again, strict=True):
        node.seen += same.seen
    again.forget()
    number(graph, int8=True)
    quantise(graph)
    return _finish(graph, example)


def _finish(graph: Graph, example: Tensor) -> bytes:
    result = _like(graph.output)
    if graph.output.inputs[0] is graph.input:
        return write_program(Interface(example, example), None)
    arrange(graph)
    scalars = _scalars(graph)
    contents = [each.content for each in scalars if each.content is not None]
    delegate = write_delegate(graph, scalars)
    return write_program(Interface(example, result, contents), delegate)


def _like(output: Node) -> Tensor:
    strides: tuple[int, ...] = output.settings["strides"]
    return torch.empty_strided(output.shape, strides)


def _scalars(graph: Graph) -> list[Node]:
    """The numbers that the program hands in, in the order in which they are read."""
    read = [each for node in graph for each in node.inputs if each.kind == "scalar"]
    return list(dict.fromkeys(read))
