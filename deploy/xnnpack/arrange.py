"""From torch's calls to XNNPACK's operations: split, fused, in the memory order they need.

Each step does what the pass of ExecuTorch named in it does, for the operations that occur here.
"""

from deploy.xnnpack.nodes import Graph, Node, NotCovered

# Operations that have an int8 form, if all they read and what they write is int8.
_INT8 = ("add", "multiply", "relu", "clamp", "mean", "permute", "view", "concatenate")
_FUSING = ("conv", "linear", "add", "multiply")


def arrange(graph: Graph) -> None:
    """Bring the graph into the form that is written to the file; in place.

    Raises:
        NotCovered: A copy would follow a copy; ExecuTorch removes such pairs.
    """
    for node in graph:
        _split(graph, node)
    for node in graph:
        _mark_implicit(node)
    for node in graph:
        if node.kind == "clone":
            node.replace_everywhere(node.inputs[0])
            graph.remove(node)
    for node in graph:
        _fuse(graph, node)
    for node in graph:
        _lay_out(graph, node)
    if any(node.kind == "copy" and _follows_a_copy(node) for node in graph):
        raise NotCovered("A value is brought into another memory order and back.")


def _split(graph: Graph, node: Node) -> None:
    """`run_decompositions`: one call becomes the operations that compute it."""
    if node.kind == "silu":
        (source,) = node.inputs
        gate = Node(kind="sigmoid", inputs=[source], shape=node.shape, handle=node.handle)
        graph.insert_before(node, gate)
        node.kind, node.inputs = "multiply", [source, gate]
        gate.users[node] = None
    elif node.kind == "reshape":
        (source,) = node.inputs
        clone = Node(kind="clone", inputs=[source], shape=source.shape, handle=node.handle)
        graph.insert_before(node, clone)
        node.kind = "view"
        node.replace_input(source, clone)
    else:
        node.kind = {"pool": "mean", "relu6": "clamp"}.get(node.kind, node.kind)


def _mark_implicit(node: Node) -> None:
    """The partitioner's dependencies: dequantise, operation, quantise run as one in int8."""
    if node.kind in ("conv", "linear"):
        sources = node.inputs[:1]
    elif node.kind in _INT8:
        sources = node.inputs
    else:
        return
    if any(source.kind != "dequantise" for source in sources):
        return
    target = node.only_user
    if target is not None and target.kind == "relu" and node.kind in ("conv", "linear", "add"):
        target = target.only_user
    if target is None or target.kind != "quantise":
        return
    for each in (*sources, target):
        each.implicit = True


def _fuse(graph: Graph, node: Node) -> None:
    """`FuseActivationPass`: a bound on a result becomes part of what computes it."""
    if node.kind not in ("relu", "clamp"):
        return
    (source,) = node.inputs
    if source.kind not in _FUSING or source.only_user is not node:
        return
    source.settings["bounds"] = bounds(node)
    node.replace_everywhere(source)
    graph.remove(node)


def bounds(node: Node) -> tuple[float, float | str]:
    """The lowest and highest result of a relu or clamp, as the file spells them."""
    if node.kind == "relu":
        return 0, "+inf"
    low, high = node.settings["bounds"]
    return low, high


def _lay_out(graph: Graph, node: Node) -> None:
    """`ChannelsLastTaggedReshapePass`: copies into the order that each operation needs."""
    if node.kind == "input":
        return
    if node.kind == "output":
        _bring(graph, node.inputs[0], node, channels_last=node.settings["channels_last"])
    elif node.kind in ("conv", "mean"):
        _bring(graph, node.inputs[0], node, channels_last=True)
        node.channels_last = True
    elif node.kind in ("view", "linear"):
        for source in _values(node):
            _bring(graph, source, node, channels_last=False)
    else:
        orders = [bool(source.channels_last) for source in node.inputs]
        last = any(orders) and all(len(source.shape) == 4 for source in node.inputs)
        if all(orders) or (any(orders) and last):
            node.channels_last = True
        if any(orders) and not all(orders):
            for source in list(node.inputs):
                _bring(graph, source, node, channels_last=last)


def _values(node: Node) -> list[Node]:
    return [source for source in node.inputs if source.kind != "parameter"]


def _bring(graph: Graph, source: Node, user: Node, *, channels_last: bool) -> None:
    """Let the user read the source in this order, through a copy if need be."""
    if bool(source.channels_last) == channels_last or source.kind == "scalar":
        return
    if source.other_order is not None:
        user.replace_input(source, source.other_order)
        return
    copy = Node(kind="copy", inputs=[source], shape=source.shape, channels_last=channels_last)
    graph.insert_after(source, copy)
    if source.kind == "dequantise":
        _copy_in_int8(graph, source, copy)
    else:
        user.replace_input(source, copy)
        source.other_order, copy.other_order = copy, source


def _copy_in_int8(graph: Graph, before: Node, copy: Node) -> None:
    """The copied value is quantised again, by the same scale, and its copy runs in int8."""
    quantise = Node(kind="quantise", inputs=[copy], shape=copy.shape, implicit=True)
    after = Node(kind="dequantise", inputs=[quantise], shape=copy.shape)
    for node in (quantise, after):
        node.settings = before.settings
        node.channels_last = copy.channels_last
    graph.insert_after(copy, quantise)
    graph.insert_after(quantise, after)
    after.implicit = before.implicit
    before.implicit = True
    for user in list(before.users):
        if user is not copy:
            user.replace_input(before, after)


def _follows_a_copy(node: Node) -> bool:
    source = node.inputs[0]
    if source.kind == "dequantise" and source.inputs[0].kind == "quantise":
        source = source.inputs[0].inputs[0]
    return source.kind == "copy"
