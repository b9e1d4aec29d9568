"""Operators as ProxylessNAS and once-for-all spell them.

    expanded_conv-input:56x56x24-output:28x28x40-expand:6-kernel:5-stride:2-idskip:0
    expanded_conv-input:20x20x48-...-expand:288-kernel:3-stride:1-idskip:1-se:1-hs:1

ProxylessNAS writes the expansion as a ratio; once-for-all writes the middle
channels, squeeze-excite and h-swish. `-groups:`, `-pointwise:1` (the first 1x1
kept at expansion 1) and `-depthwise:2` (two depthwise convolutions in a row) are
additions of this kit, for tables of its own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from search.errors import TableError, UsageError
from search.operators.spec import OperatorSpec

_SIZE = r"(\d+)x(\d+)x(\d+)"
_BLOCK = re.compile(
    rf"expanded_conv-input:{_SIZE}-output:{_SIZE}-expand:(?P<expand>\d+)-kernel:(?P<kernel>\d+)"
    r"-stride:(?P<stride>\d+)-idskip:(?P<skip>[01])(?:-se:(?P<se>[01])-hs:(?P<hs>[01]))?"
    r"(?:-groups:(?P<groups>\d+))?(?:-pointwise:(?P<pointwise>1))?"
    r"(?:-depthwise:(?P<depthwise>[2-9]))?"
)
_PLAIN = re.compile(rf"(?P<kind>Conv(?:_\d)?|AvgPool2D)-input:{_SIZE}-output:{_SIZE}")
_LOGITS = re.compile(rf"Logits-input:{_SIZE}-output:(?P<classes>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """In what the two publishers differ."""

    spread: str
    ratio: bool
    activation: Callable[[bool], str]
    frame_activation: str
    operators: frozenset[str]


PROXYLESS = Dialect(
    spread="var",
    ratio=True,
    activation=lambda _: "relu6",
    frame_activation="relu6",
    operators=frozenset({"Conv", "Conv_1", "Logits", "expanded_conv"}),
)
ONCE_FOR_ALL = Dialect(
    spread="std",
    ratio=False,
    activation=lambda swish: "hswish" if swish else "relu",
    frame_activation="hswish",
    operators=frozenset({"Conv", "Conv_1", "AvgPool2D", "Conv_2", "Logits", "expanded_conv"}),
)


def parse_mobile_key(key: str, dialect: Dialect) -> OperatorSpec:
    """The operator that a published key stands for.

    Raises:
        UsageError: Unknown words, or shapes that contradict each other.
    """
    if match := _LOGITS.fullmatch(key):
        height, width, channels = (int(word) for word in match.groups()[:3])
        return OperatorSpec(
            kind="classifier",
            in_channels=channels,
            out_channels=int(match["classes"]),
            height=height,
            width=width,
        )
    plain, block = _PLAIN.fullmatch(key), _BLOCK.fullmatch(key)
    if plain and plain["kind"] in dialect.operators:
        return _plain(plain, dialect)
    if block and (block["se"] is None) == dialect.ratio:
        return _block(block, dialect)
    raise UsageError(f"{key!r} is no key of this format")


def _sizes(match: re.Match[str], first: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    numbers = [int(word) for word in match.groups()[first : first + 6]]
    return (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])


def _plain(match: re.Match[str], dialect: Dialect) -> OperatorSpec:
    before, after = _sizes(match, 1)
    if match["kind"] == "AvgPool2D":
        if after != (1, 1, before[2]):
            raise UsageError(f"{match[0]!r}: only a global pool is known")
        return OperatorSpec(kind="pool", in_channels=before[2], height=before[0], width=before[1])
    stem = match["kind"] == "Conv"
    operator = OperatorSpec(
        kind="conv",
        kernel=3 if stem else 1,
        activation=dialect.frame_activation,
        in_channels=before[2],
        out_channels=after[2],
        height=before[0],
        width=before[1],
        stride=-(-before[0] // after[0]) if stem and after[0] else 1,
    )
    return _checked(operator, after, match[0])


def _block(match: re.Match[str], dialect: Dialect) -> OperatorSpec:
    before, after = _sizes(match, 0)
    expand, channels = int(match["expand"]), before[2]
    middle = expand * channels if dialect.ratio else expand
    operator = OperatorSpec(
        kind="ir",
        kernel=int(match["kernel"]),
        expansion=float(f"{middle / channels:.6g}"),
        mid_channels=middle,
        groups=int(match["groups"] or 1),
        depthwise=int(match["depthwise"] or 1),
        squeeze_channels=_squeezed(middle) if match["se"] == "1" else 0,
        activation=dialect.activation(match["hs"] == "1"),
        in_channels=channels,
        out_channels=after[2],
        height=before[0],
        width=before[1],
        stride=int(match["stride"]),
        residual=match["skip"] == "1",
        first_pointwise=middle != channels or match["pointwise"] is not None,
    )
    return _checked(operator, after, match[0])


def _squeezed(middle: int) -> int:
    """A quarter of the middle channels, to the nearest multiple of 8 (MobileNetV3's rule)."""
    quarter = middle // 4
    rounded = max(8, (quarter + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * quarter else rounded


def _checked(operator: OperatorSpec, after: tuple[int, int, int], key: str) -> OperatorSpec:
    if (operator.out_height, operator.out_width) != after[:2]:
        raise UsageError(f"{key!r}: its output does not follow from input and stride")
    return operator


def once_for_all_key(operator: OperatorSpec) -> str:
    """An operator in once-for-all's style.

    Which activation it is beside h-swish, and how far it squeezes, get lost.

    Raises:
        TableError: That style cannot spell it.
    """
    o = operator
    before = f"input:{o.height}x{o.width}x{o.in_channels}"
    after = f"output:{o.out_height}x{o.out_width}x{o.out_channels}"
    if o.kind == "classifier":
        return f"Logits-{before}-output:{o.out_channels}"
    if o.kind == "pool":
        return f"AvgPool2D-{before}-output:1x1x{o.in_channels}"
    if o.kind == "conv" and (o.kernel, o.groups) == (3, 1):
        return f"Conv-{before}-{after}"
    if o.kind == "conv" and (o.kernel, o.stride, o.groups) == (1, 1, 1):
        return f"Conv_{2 if o.height == 1 else 1}-{before}-{after}"
    if o.kind == "ir":
        more = f"-groups:{o.groups}" if o.groups > 1 else ""
        more += "-pointwise:1" if o.first_pointwise and o.mid_channels == o.in_channels else ""
        more += f"-depthwise:{o.depthwise}" if o.depthwise > 1 else ""
        return (
            f"expanded_conv-{before}-{after}-expand:{o.mid_channels}-kernel:{o.kernel}"
            f"-stride:{o.stride}-idskip:{o.residual:d}-se:{o.squeeze_channels > 0:d}"
            f"-hs:{o.activation in ('hswish', 'hswish6'):d}{more}"
        )
    raise TableError(f"once-for-all's style has no words for {o.key}.", "Export it as CSV.")
