"""Names of a network's weights: the kit's own, timm's and mobile-vision's.

In the kit's layout, child `i` of the network is operator `i` of its architecture:

    i.0.weight, i.1.*        convolution and batch norm of a `conv`
    i.body.j.0.weight, ...   of an `ir`: first 1x1 (if it has one), shuffle (if grouped),
                             depthwise, squeeze-excite (if it has one), last 1x1
    i.body.j.reduce, expand  of a squeeze-excite
    n.k.weight, n.k.bias     of the classifier: `k` is its last child

timm (`fbnetc_100` and others of its efficient networks) and mobile-vision (FBNet and
FBNetV2, `fbnet_v2`) name blocks by stage and position, and leave out skips. Blocks are
therefore matched in order. Facts were taken from the libraries' module names; none of
their code is used.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from search.errors import UsageError
from search.operators.spec import OperatorSpec

KIT, TIMM, MOBILE_VISION = "kit", "timm", "mobile-vision"
_TIMM_BLOCK = re.compile(r"(blocks\.(\d+)\.(\d+))\.")
_VISION_BLOCK = re.compile(r"(backbone\.stages\.xif(\d+)_(\d+))\.")


@dataclass(frozen=True, slots=True)
class Pair:
    """Where one layer stands: its prefix there, and in the kit's layout."""

    there: str
    here: str


@dataclass(frozen=True, slots=True)
class Renaming:
    """All layers of a network in another layout.

    `normalised` are convolutions, each with the batch norm behind it; `plain` are
    layers without one, whose 1x1 convolutions may be linear layers here.
    """

    normalised: tuple[tuple[Pair, Pair], ...]
    plain: tuple[Pair, ...]


def layout_of(names: Iterable[str]) -> str:
    """The layout that names of weights follow; the kit's where no other is recognised."""
    known = list(names)
    if "conv_stem.weight" in known:
        return TIMM
    if any(_VISION_BLOCK.match(name) for name in known):
        return MOBILE_VISION
    return KIT


def renaming(layout: str, names: Iterable[str], operators: Sequence[OperatorSpec]) -> Renaming:
    """Where each layer of a network stands in the other layout.

    Args:
        layout: TIMM or MOBILE_VISION.
        names: Of the weights.
        operators: Of the network that the weights are for.

    Raises:
        UsageError: Another number of blocks than the network has.
    """
    known = list(names)
    pattern, walk = _WALKS[layout]
    blocks = _blocks(known, pattern)
    layers = list(walk(known, blocks, list(enumerate(operators))))
    return Renaming(
        normalised=tuple(layer for layer in layers if isinstance(layer, tuple)),
        plain=tuple(layer for layer in layers if isinstance(layer, Pair)),
    )


_Layers = Iterator[tuple[Pair, Pair] | Pair]
_Numbered = tuple[int, OperatorSpec]


def _blocks(names: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    """Prefixes of the blocks that hold weights, in order of stage and position."""
    found = {
        (int(match[2]), int(match[3])): match[1] for name in names if (match := pattern.match(name))
    }
    return [found[place] for place in sorted(found)]


def _timm(_: list[str], blocks: list[str], operators: list[_Numbered]) -> _Layers:
    first, *middle, head, (last, classifier) = operators
    yield _normalised("conv_stem", "bn1", f"{first[0]}")
    for block, (number, spec) in _matched(blocks, middle):
        parts = [("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")]
        if spec.kind == "ir" and not spec.first_pointwise:
            parts = [("", ""), ("conv_dw", "bn1"), ("conv_pw", "bn2")]
        squeeze = (f"{block}.se.conv_reduce", f"{block}.se.conv_expand")
        if spec.kind == "conv":
            yield _normalised(f"{block}.conv", f"{block}.bn1", f"{number}")
        else:
            placed = [(f"{block}.{conv}", f"{block}.{norm}") for conv, norm in parts]
            yield from _inverted(spec, number, placed, squeeze)
    yield _normalised("conv_head", "bn2", f"{head[0]}")
    yield Pair("classifier", f"{last}.{_last_child(classifier)}")


def _mobile_vision(names: list[str], blocks: list[str], operators: list[_Numbered]) -> _Layers:
    *body, (last, classifier) = operators
    for block, (number, spec) in _matched(blocks, body):
        if spec.kind == "conv":
            # A skip between widths is a convolution one level down; the last block
            # of FBNetV2 holds the head and, behind its pool, the hidden layer.
            inner = next((p for p in (".conv", ".pw") if f"{block}{p}.conv.weight" in names), "")
            yield _normalised(f"{block}{inner}.conv", f"{block}{inner}.bn", f"{number}")
        else:
            placed = [(f"{block}.{p}.conv", f"{block}.{p}.bn") for p in ("pw", "dw", "pwl")]
            squeeze = (f"{block}.se.se.0.conv", f"{block}.se.se.1")
            yield from _inverted(spec, number, placed, squeeze)
    if classifier.mid_channels:
        yield Pair(f"{blocks[-1]}.pwl.conv", f"{last}.2")
    yield Pair("head.conv", f"{last}.{_last_child(classifier)}")


_WALKS: dict[
    str, tuple[re.Pattern[str], Callable[[list[str], list[str], list[_Numbered]], _Layers]]
] = {TIMM: (_TIMM_BLOCK, _timm), MOBILE_VISION: (_VISION_BLOCK, _mobile_vision)}


def _matched(blocks: list[str], operators: list[_Numbered]) -> Iterator[tuple[str, _Numbered]]:
    """Blocks with the operators that have weights, in order."""
    weighted = [(number, spec) for number, spec in operators if spec.kind != "skip"]
    if len(blocks) != len(weighted):
        raise UsageError(
            f"The weights are of {len(blocks)} blocks, the network has {len(weighted)}.",
            "Name the network that they were trained for.",
        )
    return zip(blocks, weighted, strict=True)


def _normalised(conv: str, norm: str, here: str) -> tuple[Pair, Pair]:
    return Pair(conv, f"{here}.0"), Pair(norm, f"{here}.1")


def _inverted(
    spec: OperatorSpec, number: int, placed: Sequence[tuple[str, str]], squeeze: tuple[str, str]
) -> _Layers:
    """The layers of an inverted residual block: where they are placed there, and here."""
    child = 0
    widen, depthwise, project = placed
    if spec.first_pointwise:
        yield _normalised(*widen, f"{number}.body.0")
        child = 1
    child += spec.groups > 1  # the shuffle has no weights
    yield _normalised(*depthwise, f"{number}.body.{child}")
    if spec.squeeze_channels:
        child += 1
        yield Pair(squeeze[0], f"{number}.body.{child}.reduce")
        yield Pair(squeeze[1], f"{number}.body.{child}.expand")
    yield _normalised(*project, f"{number}.body.{child + 1}")


def _last_child(classifier: OperatorSpec) -> int:
    """Its pool and its flattening come first, then a hidden layer with its activation."""
    if not classifier.mid_channels:
        return 2
    return 3 + (classifier.activation != "none")
