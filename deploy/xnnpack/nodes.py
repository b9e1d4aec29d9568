"""The graph of one program between torch's calls and XNNPACK's nodes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from search.errors import ExportError

# What ExecuTorch writes for a node that no operation of the module stands for.
NO_HANDLE = 65535


class NotCovered(ExportError):
    """The module has something that is not written here; lower it with ExecuTorch."""


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """One operation, or a value that the program is given.

    kind: "input", "parameter" (inside the delegate), "scalar" (a number handed to the
    delegate), an operation, "quantise" or "dequantise", "copy" (to the other memory order).
    settings: what the operation needs besides its inputs.
    content: the value of a parameter or scalar.
    seen: values on the calibration inputs, while they are observed.
    handle: the number by which a profile names the operation of the module.
    channels_last: order of the value in memory; None until it is decided.
    other_order: the same value in the other order, if a copy of it is made.
    implicit: a quantise or dequantise that is part of the operation beside it.
    """

    kind: str
    inputs: list["Node"] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    content: Tensor | None = None
    seen: list[Tensor] = field(default_factory=list)
    handle: int = NO_HANDLE
    channels_last: bool | None = None
    other_order: "Node | None" = None
    implicit: bool = False
    users: dict["Node", None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.inputs:
            node.users[self] = None

    @property
    def only_user(self) -> "Node | None":
        """The single node that reads this one; None when there are none or several."""
        return next(iter(self.users)) if len(self.users) == 1 else None

    def replace_input(self, old: "Node", new: "Node") -> None:
        """Read `new` wherever `old` was read."""
        self.inputs = [new if node is old else node for node in self.inputs]
        old.users.pop(self, None)
        new.users[self] = None

    def replace_everywhere(self, new: "Node") -> None:
        """Let all who read this node read `new`."""
        for user in list(self.users):
            user.replace_input(self, new)


class Graph:
    """Nodes in order of execution; the last one is of kind "output"."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def __iter__(self) -> Iterator[Node]:
        """Nodes as they are now; the graph may change meanwhile."""
        return iter(list(self._nodes))

    @property
    def input(self) -> Node:
        """The program's input."""
        return next(node for node in self._nodes if node.kind == "input")

    @property
    def output(self) -> Node:
        """The node whose only input is the program's output."""
        return self._nodes[-1]

    def forget(self) -> None:
        """Drop the values seen, which are the largest part by far."""
        for node in self._nodes:
            node.seen = []

    def insert_after(self, place: Node, node: Node) -> None:
        """Put a node right behind another one."""
        self._nodes.insert(self._nodes.index(place) + 1, node)

    def insert_before(self, place: Node, node: Node) -> None:
        """Put a node right before another one."""
        self._nodes.insert(self._nodes.index(place), node)

    def remove(self, node: Node) -> None:
        """Take out a node that nobody reads."""
        assert not node.users
        self._nodes.remove(node)
        for source in node.inputs:
            source.users.pop(node, None)
