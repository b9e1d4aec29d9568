"""Chains: one operator N times in a row, so that its cost is a slope over N.

Through Core ML a call costs some 150 microseconds of dispatch, more than most
operators take. The time of a chain of N copies is

    dispatch + N (operator + shape adapter)

An operator whose output is not shaped like its input is followed by a shape
adapter: a 1x1 convolution back to the input's channels, then nearest-neighbour
enlargement. The convolution has as many groups as both widths allow: a small
part of the work and of the weights, while every output still reaches the next
copy, so that no compiler can leave a part of the operator out.

Chains alone cannot tell an operator's cost from its adapter's, however long
they are: every chain holds both equally often. Two more programs can: the
operator alone, and the adapter alone. The first takes longer by the difference
of the two, since handling inputs and outputs costs both programs the same
(`profiler.analysis.shape_adapters`).
"""

from dataclasses import replace
from math import gcd

from deploy.artefact import ExportSpec
from search.errors import ExportError
from search.operators.spec import OperatorSpec

CHAIN_LENGTHS = (1, 4, 16)


def keeps_shape(operator: OperatorSpec) -> bool:
    """Whether its output is shaped like its input, so that copies can follow each other."""
    same = operator.in_channels == operator.out_channels and operator.stride == 1
    return operator.kind in ("skip", "empty") or (same and operator.kind != "classifier")


def shape_adapter(operator: OperatorSpec) -> tuple[OperatorSpec, int] | None:
    """The adapter's convolution to the input's channels, and the enlargement after it.

    None where the operator keeps its shape.

    Raises:
        ExportError: The output cannot be enlarged to the input's size.
    """
    if keeps_shape(operator):
        return None
    pooled = operator.kind == "classifier"
    height, width = (1, 1) if pooled else (operator.out_height, operator.out_width)
    scale = operator.height // height
    if (height * scale, width * scale) != (operator.height, operator.width):
        raise ExportError(
            f"{operator.key} cannot be chained: its input is no multiple of its output.",
            "Choose a resolution that its strides divide.",
        )
    convolution = OperatorSpec(
        kind="conv",
        dtype=operator.dtype,
        batch=operator.batch,
        groups=gcd(operator.in_channels, operator.out_channels),
        in_channels=operator.out_channels,
        out_channels=operator.in_channels,
        height=height,
        width=width,
    )
    return convolution, scale


def adapter_stand_in(operator: OperatorSpec) -> OperatorSpec | None:
    """The plainest operator that needs the same adapter, which is named after it.

    None where the operator keeps its shape.
    """
    adapter = shape_adapter(operator)
    if adapter is None:
        return None
    convolution, scale = adapter
    return replace(
        convolution,
        in_channels=operator.in_channels,
        out_channels=operator.out_channels,
        height=operator.height,
        width=operator.width,
        stride=scale,
    )


def program_operators(spec: ExportSpec) -> tuple[OperatorSpec, ...]:
    """The operators of a program in order, the adapters' convolutions included."""
    if spec.copies is None:
        return spec.operators
    (operator,) = spec.operators
    adapter = shape_adapter(operator)
    if spec.part == "operator":
        return (operator,)
    if spec.part == "restoring":
        assert adapter is not None, f"{operator.key} needs no shape adapter"
        return (adapter[0],)
    link = (operator,) if adapter is None else (operator, adapter[0])
    return link * spec.copies


def chain_name(key: str, copies: int) -> str:
    """The name of a chain in journals and manifests."""
    return f"{key}*{copies}"


def chain(operator: OperatorSpec, copies: int) -> ExportSpec:
    """The spec of a chain."""
    return ExportSpec(name=chain_name(operator.key, copies), operators=(operator,), copies=copies)


def operator_alone(operator: OperatorSpec) -> ExportSpec:
    """The spec of the operator alone: a chain's first link without its shape adapter."""
    return ExportSpec(name=f"{operator.key}*open", operators=(operator,), copies=1, part="operator")


def adapter_alone(operator: OperatorSpec) -> ExportSpec | None:
    """The spec of the shape adapter alone; operators that share an adapter share its spec."""
    stand_in = adapter_stand_in(operator)
    if stand_in is None:
        return None
    return ExportSpec(
        name=f"{stand_in.key}*back", operators=(stand_in,), copies=1, part="restoring"
    )


def timed_programs(operator: OperatorSpec, lengths: tuple[int, ...]) -> tuple[ExportSpec, ...]:
    """All programs to time for one operator's cost, its longest chain last.

    Raises:
        ExportError: It cannot be chained.
    """
    chains = tuple(chain(operator, n) for n in sorted(lengths))
    adapter = adapter_alone(operator)
    return chains if adapter is None else (adapter, operator_alone(operator), *chains)
