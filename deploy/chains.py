"""Chains: one operator N times in a row, so that its cost is a slope over N.

Through Core ML a call costs some 150 microseconds of dispatch, more than most
operators take. The time of a chain of N copies is

    dispatch + N (operator + restoring operator)

An operator whose output is not shaped like its input is followed by a
restoring one: a 1x1 convolution back to the channels, then nearest-neighbour
enlargement. What that costs is taken from a chain of its own, in which it
follows its mirror, the strided 1x1 convolution: half of that chain's slope.
Sums along a closed loop cannot tell the two halves apart; but a restoring
operator depends on shapes alone, so whatever the halving gets wrong is the
same for all candidates of a layer and ends in the calibration.
"""

from dataclasses import replace

from deploy.artefact import Subject
from search.errors import ExportError
from search.operators import OperatorSpec

CHAIN_LENGTHS = (1, 4, 16)


def keeps_shape(operator: OperatorSpec) -> bool:
    """Whether copies of it fit behind each other."""
    same = operator.in_channels == operator.out_channels and operator.stride == 1
    return operator.kind in ("skip", "empty") or (same and operator.kind != "classifier")


def restoring(operator: OperatorSpec) -> tuple[OperatorSpec, int] | None:
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
        in_channels=operator.out_channels,
        out_channels=operator.in_channels,
        height=height,
        width=width,
    )
    return convolution, scale


def mirror(operator: OperatorSpec) -> OperatorSpec | None:
    """The operator whose chain tells what the restoring one costs; None if none is needed."""
    back = restoring(operator)
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


def chain_operators(operator: OperatorSpec, copies: int) -> tuple[OperatorSpec, ...]:
    """The operators of a chain in order, restoring ones included."""
    back = restoring(operator)
    link = (operator,) if back is None else (operator, back[0])
    return link * copies


def chain_name(key: str, copies: int) -> str:
    """What a chain is called in journals and manifests."""
    return f"{key}*{copies}"


def chain(operator: OperatorSpec, copies: int) -> Subject:
    """A chain as something to export."""
    return Subject(name=chain_name(operator.key, copies), operators=(operator,), copies=copies)
