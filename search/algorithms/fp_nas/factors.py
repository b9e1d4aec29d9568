"""Candidates as combinations of variables, for factorised distributions.

FP-NAS (arXiv 2011.10949), equation 5: instead of one distribution over all
combinations of a layer, independent ones over kernel, expansion, activation,
squeeze-excite or splits, channels. A skip is the kernel 0: it depends on no other variable.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import prod

from search.operators.spec import OperatorSpec
from search.spaces.base import Layer

# The value of a variable that a candidate does not depend on.
ANY = -1
_VARIABLES: dict[str, Callable[[OperatorSpec], Hashable]] = {
    "kernel": lambda operator: operator.kernel,
    "expansion": lambda operator: (operator.expansion, operator.groups, operator.first_pointwise),
    "activation": lambda operator: operator.activation,
    "squeeze": lambda operator: (operator.squeeze_channels > 0, operator.gate, operator.splits),
    "channels": lambda operator: operator.out_channels,
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
    blocks = [choice.operator for choice in layer.choices if not choice.is_skip]
    levels = {
        name: tuple(dict.fromkeys(value(block) for block in blocks))
        for name, value in _VARIABLES.items()
    }
    levels = {name: found for name, found in levels.items() if len(found) > 1}
    rows = [tuple(levels[name].index(_VARIABLES[name](b)) for name in levels) for b in blocks]
    full = prod(len(found) for found in levels.values())
    skips = len(layer.choices) - len(blocks)
    if not levels or len(set(rows)) != len(blocks) or full != len(blocks) or skips > 1:
        return _one_variable(layer)
    if skips and "kernel" not in levels:
        return _one_variable(layer)
    return _with_skip(layer, tuple(levels), [len(found) for found in levels.values()], rows)


def _with_skip(
    layer: Layer, names: tuple[str, ...], sizes: list[int], rows: list[tuple[int, ...]]
) -> LayerFactors:
    remaining = iter(rows)
    values = []
    for choice in layer.choices:
        if choice.is_skip:
            # The last value of the kernel, and nothing else.
            values.append(tuple(sizes[0] if name == "kernel" else ANY for name in names))
        else:
            values.append(next(remaining))
    if len(rows) < len(layer.choices):
        sizes = [size + (name == "kernel") for name, size in zip(names, sizes, strict=True)]
    return LayerFactors(names=names, sizes=tuple(sizes), values=tuple(values))


def _one_variable(layer: Layer) -> LayerFactors:
    number = len(layer.choices)
    return LayerFactors(
        names=("block",), sizes=(number,), values=tuple((place,) for place in range(number))
    )
