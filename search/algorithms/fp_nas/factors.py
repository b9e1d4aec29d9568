"""Candidates as combinations of variables, for factorised distributions.

FP-NAS (arXiv 2011.10949), equation 5: instead of one distribution over all
combinations of a layer, independent ones over kernel, expansion, activation,
squeeze-excite or splits, channels. A skip is the kernel 0: it depends on no other
variable but the channels, where they are one.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import prod

from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, Layer

# The value of a variable that a candidate does not depend on.
ANY = -1
_VARIABLES: dict[str, Callable[[OperatorSpec], Hashable]] = {
    "kernel": lambda operator: operator.kernel,
    "expansion": lambda operator: (operator.expansion, operator.groups, operator.first_pointwise),
    "activation": lambda operator: operator.activation,
    "squeeze": lambda operator: (operator.squeeze_channels > 0, operator.gate, operator.splits),
    "channels": lambda operator: operator.out_channels or operator.in_channels,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFactors:
    """The variables of one layer.

    `values` is candidates x variables: the number of the value that the
    candidate has, or `ANY`. The product of independent distributions over the
    variables is a distribution over the candidates.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]

    @property
    def parameters(self) -> int:
        """Logits of the factorised distribution."""
        return sum(self.sizes)


def factorise(layer: Layer) -> LayerFactors:
    """The variables of a layer; one variable over all where it is not a full product."""
    blocks = [choice.operator for choice in layer.choices if not _is_skip(choice)]
    levels = {
        name: tuple(dict.fromkeys(value(block) for block in blocks))
        for name, value in _VARIABLES.items()
    }
    levels = {name: found for name, found in levels.items() if len(found) > 1}
    rows = [tuple(levels[name].index(_VARIABLES[name](b)) for name in levels) for b in blocks]
    full = prod(len(found) for found in levels.values())
    skips = [choice.operator for choice in layer.choices if _is_skip(choice)]
    if not levels or len(set(rows)) != len(blocks) or full != len(blocks):
        return _one_variable(layer)
    skipped = {_skip_row(skip, levels) for skip in skips}
    wanted = len(levels.get("channels", (0,)))
    if skips and ("kernel" not in levels or not len(skipped) == len(skips) == wanted):
        return _one_variable(layer)
    return _with_skips(layer, levels, rows)


_Levels = dict[str, tuple[Hashable, ...]]


def _is_skip(choice: Choice) -> bool:
    """The identity, or the 1x1 convolution that stands for it between different shapes."""
    return choice.operator.kind in ("skip", "conv")


def _skip_row(skip: OperatorSpec, levels: _Levels) -> tuple[int, ...]:
    """The values of a skip: the last one of the kernel, its channels, and nothing else."""
    places = {"kernel": len(levels.get("kernel", ()))}
    channels = _VARIABLES["channels"](skip)
    if channels in levels.get("channels", ()):
        places["channels"] = levels["channels"].index(channels)
    return tuple(places.get(name, ANY) for name in levels)


def _with_skips(layer: Layer, levels: _Levels, rows: list[tuple[int, ...]]) -> LayerFactors:
    remaining = iter(rows)
    values = [
        _skip_row(choice.operator, levels) if _is_skip(choice) else next(remaining)
        for choice in layer.choices
    ]
    more = int(len(rows) < len(layer.choices))
    return LayerFactors(
        names=tuple(levels),
        sizes=tuple(len(found) + more * (name == "kernel") for name, found in levels.items()),
        values=tuple(values),
    )


def _one_variable(layer: Layer) -> LayerFactors:
    number = len(layer.choices)
    return LayerFactors(
        names=("block",), sizes=(number,), values=tuple((place,) for place in range(number))
    )
