"""Chains: one operator N times in a row, so that its cost is a slope over N.

Through Core ML a call costs some 150 microseconds of dispatch, more than most
operators take. The time of a chain of N copies is

    dispatch + N (operator + restoring operator)

An operator whose output is not shaped like its input is followed by a
restoring one: a 1x1 convolution back to the channels, then nearest-neighbour
enlargement. The convolution has as many groups as both widths allow: a small
part of the work and of the weights, while every output still reaches the next
copy, so that no compiler can leave a part of the operator out.

Sums along closed loops cannot tell an operator from the one that leads back,
however long they are. Two programs that are not closed can: the operator
alone, and the restoring operator alone. The first takes longer by the
difference of the two, the handling of both programs' inputs and outputs is the
same (`profiler.analysis.shape_adapters`).
"""

from dataclasses import replace
from math import gcd

from deploy.artefact import ExportSpec
from search.errors import ExportError
from search.operators.spec import OperatorSpec

CHAIN_LENGTHS = (1, 4, 16)


def keeps_shape(operator: OperatorSpec) -> bool:
    """Whether copies of it fit behind each other."""
    same = operator.in_channels == operator.out_channels and operator.stride == 1
    return operator.kind in ("skip", "empty") or (same and operator.kind != "classifier")


def adapter_alone(operator: OperatorSpec) -> tuple[OperatorSpec, int] | None:
    """The convolution that restores its channels, and the enlargement after it.

    None where none is needed.

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
    """The plainest operator that needs the same restoring one, for which it is named.

    None if none is needed.
    """
    back = adapter_alone(operator)
    if back is None:
        return None
    convolution, scale = back
    return replace(
        convolution,
        in_channels=operator.in_channels,
        out_channels=operator.out_channels,
        height=operator.height,
        width=operator.width,
        stride=scale,
    )


def program_operators(spec: ExportSpec) -> tuple[OperatorSpec, ...]:
    """The operators of a subject's program in order, restoring ones included."""
    if spec.copies is None:
        return spec.operators
    (operator,) = spec.operators
    back = adapter_alone(operator)
    if spec.part == "operator":
        return (operator,)
    if spec.part == "restoring":
        assert back is not None, f"{operator.key} needs no restoring operator"
        return (back[0],)
    link = (operator,) if back is None else (operator, back[0])
    return link * spec.copies


def chain_name(key: str, copies: int) -> str:
    """What a chain is called in journals and manifests."""
    return f"{key}*{copies}"


def chain(operator: OperatorSpec, copies: int) -> ExportSpec:
    """A chain as something to export."""
    return ExportSpec(name=chain_name(operator.key, copies), operators=(operator,), copies=copies)


def operator_alone(operator: OperatorSpec) -> ExportSpec:
    """The operator alone: a chain's first link without what restores its shape."""
    return ExportSpec(name=f"{operator.key}*open", operators=(operator,), copies=1, part="operator")


def return_shape(operator: OperatorSpec) -> ExportSpec | None:
    """The restoring operator alone; all operators that share it get the same subject."""
    plainest = adapter_stand_in(operator)
    if plainest is None:
        return None
    return ExportSpec(
        name=f"{plainest.key}*back", operators=(plainest,), copies=1, part="restoring"
    )


def timed_programs(operator: OperatorSpec, lengths: tuple[int, ...]) -> tuple[ExportSpec, ...]:
    """All that must be timed to know one operator's cost, its longest chain last.

    Raises:
        ExportError: It cannot be chained.
    """
    chains = tuple(chain(operator, n) for n in sorted(lengths))
    back = return_shape(operator)
    return chains if back is None else (back, operator_alone(operator), *chains)
