"""FBNetV2's spaces: channels, expansion, block and input resolution are all searched.

Source: FBNetV2 (arXiv 2004.05565), Tables 2 and 3, and the F macro as
FP-NAS (arXiv 2011.10949) prints it in its Table 1. Expansion counts from the
*largest* input width, rounded as in the authors' release, and architectures
hold absolute channels. The printed rows hold fewer searched blocks than the
text's 22; these spaces follow the rows.

The paper is silent about residual adds between widths that are searched. A
stage's blocks share one width, so that the adds always fit; in the spaces
whose name ends in `-free` every block has its own width, and the derived
network adds, or skips, only where two widths agree (as in the released F1).
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from search.architecture import Architecture
from search.costs.base import Unit
from search.costs.factors import Factor, FactorCosts
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.spaces.base import Layer
from search.spaces.fbnetv2.macros import MACROS, MaskedMacro
from search.spaces.fbnetv2.variables import MaskedLayer, Variable, variables_of
from search.spaces.frame import AbsoluteFrame
from search.spaces.preset import Macro, Parts, PresetSpace

Make = Callable[[Mapping[int, int]], OperatorSpec]


@dataclass(frozen=True, kw_only=True)
class MaskedSpace(PresetSpace):
    """Variables instead of layers: `layers` holds the `variables`.

    Resolution comes first, then every stage's width and its blocks' kind and
    expansion. `resolution` is the largest one.

    Raises:
        UsageError: As `PresetSpace`; a width multiplier.
    """

    presets: ClassVar[Mapping[str, Macro]] = {name: macro.frame for name, macro in MACROS.items()}

    preset: str = "fbnetv2"

    def _check(self, macro: Macro) -> None:
        super()._check(macro)
        total = macro.stem_stride * prod(stage.stride for stage in self.macro.stages)
        if self.width != 1 or self.resolution % total:
            raise UsageError(
                f"{self.preset} has no width multiplier, and resolutions divisible by {total}.",
                "Its widths are searched.",
            )

    def _build(self, macro: Macro) -> Parts:  # noqa: ARG002
        largest = self.resolution
        stem = self._stem(largest)
        head, classifier = self._tail(largest, self.macro.stages[-1].widths[1])
        # An option has no operator of its own: of a layer, variables have names alone.
        layers = cast(tuple[Layer, ...], self.variables)
        return (stem,), layers, (head, classifier)

    @property
    def macro(self) -> MaskedMacro:
        """The preset."""
        return MACROS[self.preset]

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Input sizes, ascending."""
        grain = self.macro.grain
        least = -(-self.macro.least * self.resolution // grain) * grain
        sizes = np.arange(least, self.resolution + 1, grain).astype(int).tolist()
        return tuple(sizes) if sizes else (self.resolution,)

    @cached_property
    def _described(self) -> tuple[tuple[Variable, ...], tuple[MaskedLayer, ...]]:
        return variables_of(self.macro, self.resolutions)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The searched variables in order."""
        return self._described[0]

    @property
    def masked_layers(self) -> tuple[MaskedLayer, ...]:
        """The searched blocks in order."""
        return self._described[1]

    @cached_property
    def last_width(self) -> int:
        """The variable of the last stage's width."""
        return self.masked_layers[-1].out_width

    def value(self, variable: int, option: int) -> int:
        """Channels, middle channels or resolution of an option."""
        return int(self.variables[variable].choices[option].value)

    # --- operators -----------------------------------------------------------

    def _stem(self, size: int) -> OperatorSpec:
        frame = self.macro.frame
        return self._conv(3, 3, frame.stem_channels, size, frame.stem_stride)

    def _tail(self, size: int, channels: int) -> tuple[OperatorSpec, OperatorSpec]:
        last = size // (
            self.macro.frame.stem_stride * prod(stage.stride for stage in self.macro.stages)
        )
        head = self._conv(1, channels, self.head_channels, last, 1)
        classifier = self._shared.classifier(self.head_channels, self.classes, last)
        return head, classifier

    def _conv(self, kernel: int, into: int, out: int, size: int, stride: int) -> OperatorSpec:
        return self._shared.conv(kernel, into, out, size, stride, activation="hswish")

    @property
    def _shared(self) -> AbsoluteFrame:
        return AbsoluteFrame(always_pointwise=False, batch=self.batch, dtype=self.dtype)

    def block(
        self, layer: MaskedLayer, block_type: str, into: int, mid: int, out: int, resolution: int
    ) -> OperatorSpec:
        """A block at absolute channels."""
        size = resolution // layer.reduction
        if block_type == "skip":
            return self._shared.skip(into, out, size)
        return self._shared.inverted(
            block_type,
            (into, mid, out),
            size,
            layer.stride,
            residual=layer.has_residual(into, out),
            first_pointwise=self.always_pointwise or not self._keeps_width(layer),
        )

    def bridge(self, layer: MaskedLayer, into: int, out: int) -> OperatorSpec:
        """The skip of a free space between different widths, at the largest resolution."""
        return self._shared.conv(1, into, out, self.resolution // layer.reduction, 1)

    def _keeps_width(self, layer: MaskedLayer) -> bool:
        """An only expansion of 1 after a fixed width needs no first 1x1."""
        only = self.value(layer.expansion, 0)
        return layer.in_width is None and only == layer.max_in_channels

    def _of(self, layer: MaskedLayer, choices: Mapping[int, int]) -> OperatorSpec:
        values = {variable: self.value(variable, option) for variable, option in choices.items()}
        into = layer.max_in_channels if layer.in_width is None else values[layer.in_width]
        block_type = self.variables[layer.block_type].choices[choices[layer.block_type]].name
        mid, out = values[layer.expansion], values[layer.out_width]
        return self.block(layer, block_type, into, mid, out, values[0])

    def _parts(
        self,
    ) -> Iterator[tuple[tuple[int, ...], Callable[[Mapping[int, int]], OperatorSpec]]]:
        """Every part of a network: the variables it depends on, and its operator."""
        yield (0,), lambda c: self._stem(self.value(0, c[0]))
        for layer in self.masked_layers:
            variables = (0, layer.in_width, layer.block_type, layer.expansion, layer.out_width)
            own = tuple(dict.fromkeys(v for v in variables if v is not None))
            yield own, partial(self._of, layer)
        last = self.last_width
        yield (0, last), lambda c: self._tail(self.value(0, c[0]), self.value(last, c[last]))[0]
        yield (0,), lambda c: self._tail(self.value(0, c[0]), 1)[1]

    @cached_property
    def _tensors(self) -> tuple[tuple[tuple[int, ...], npt.NDArray[Any]], ...]:
        """Of every part its variables and its operator under each of their options."""
        tensors = []
        for variables, make in self._parts():
            shape = [len(self.layers[variable].choices) for variable in variables]
            tensor = np.empty(shape, dtype=object)
            for picked in np.ndindex(*shape):
                tensor[picked] = make(dict(zip(variables, picked, strict=True)))
            tensors.append((variables, tensor))
        return tuple(tensors)

    def _shares(self) -> Iterator[tuple[OperatorSpec, float]]:
        for _, tensor in self._tensors:
            yield from ((operator, 1 / tensor.size) for operator in tensor.flat)

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the space allows: its options, and every part at its extremes.

        Not of all operators: the largest space has hundreds of thousands.
        """
        lines = [
            " ".join((v.name, *(f"{o.name}={self.value(n, i)}" for i, o in enumerate(v.choices))))
            for n, v in enumerate(self.layers)
        ]
        for variables, make in self._parts():
            for end in (0, -1):
                ends = {v: range(len(self.layers[v].choices))[end] for v in variables}
                lines.append(make(ends).key)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    # --- networks ------------------------------------------------------------

    def architecture(self, choices: Sequence[str], name: str = "custom") -> Architecture:
        """The network that takes these options, one a variable.

        Raises:
            UsageError: Wrong number of options, or one that is not legal.
        """
        if len(choices) != len(self.layers):
            raise UsageError(f"{name!r} names {len(choices)} options of {len(self.layers)}.")
        picked = {}
        for number, (variable, word) in enumerate(zip(self.layers, choices, strict=True)):
            names = [option.name for option in variable.choices]
            if word not in names:
                raise UsageError(
                    f"{word!r} is no option of {variable.name}.", f"Legal: {', '.join(names)}."
                )
            picked[number] = names.index(word)
        operators = tuple(make(picked) for _, make in self._parts())
        return Architecture(name=name, operators=operators, space=self.spec)

    def option_names(self, choices: Sequence[int]) -> list[str]:
        """Names of the options.

        Raises:
            UsageError: Another number of options, or one that is not legal.
        """
        self.require_legal(choices)
        return [v.choices[choice].name for v, choice in zip(self.layers, choices, strict=True)]

    def random_architecture(self, generator: random.Random, name: str) -> Architecture:
        """A network drawn uniformly, variable by variable."""
        names = [generator.choice(variable.choices).name for variable in self.layers]
        return self.architecture(names, name)

    def costs(
        self,
        operator_cost: Callable[[OperatorSpec], float],
        fixed: float = 0.0,
        unit: Unit = Unit.US,
    ) -> FactorCosts:
        of = {operator: operator_cost(operator) for operator in self.uses}
        factors = [
            Factor(
                variables=variables,
                values=np.vectorize(lambda o: of.get(o, 0.0), otypes=[float])(tensor),
            )
            for variables, tensor in self._tensors
        ]
        widths = tuple(len(variable.choices) for variable in self.layers)
        return FactorCosts(widths=widths, fixed=fixed, factors=tuple(factors), unit=unit)
