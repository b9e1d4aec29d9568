"""FP-NAS's spaces: groups of equal blocks that choose all their variables at once.

Source: FP-NAS (arXiv 2011.10949), section 4. A layer is a printed row (F, F++)
or a single block (F-Fine); its candidates are all combinations of kernel,
activation, splits of Split-Attention (0: none, 1: squeeze-excite), expansion
and channels. Channels are free, so a layer's operators depend on the width
that the layers before it leave: costs are a chain (`search.costs.chain`).

The middle channels are the expansion times the width that comes in, as chosen
(section 3.3); operators hold absolute channels. The kernel 0, "a skip connection to
bypass this layer" (Table 2), is a candidate of every layer and width: the
identity where widths and sizes agree, else a 1x1 convolution with batch norm
and ReLU, as FBNetV2's release builds it. Activation, splits and expansion make
no other network of it, so one candidate stands for all those combinations
(`times`). A residual is added where widths agree.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import ClassVar, NamedTuple

import numpy as np

from search.architecture import Architecture
from search.costs.base import Unit
from search.costs.chain import ChainCosts, Transition
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, Layer
from search.spaces.fp_nas.macros import MACROS, Row, SlicedMacro
from search.spaces.frame import SKIP, Frame, steps
from search.spaces.preset import Macro, Parts, PresetSpace

ACTIVATION = "swish"
GATE = "sigmoid"
_SQUEEZE = 0.25


class Group(NamedTuple):
    """One layer: its row, the widths that may come in, and its height."""

    name: str
    row: Row
    inputs: tuple[int, ...]
    size: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels to choose from."""
        return tuple(int(width) for width in steps(*self.row.widths))

    @property
    def keeps_shape(self) -> bool:
        """Whether every network may bypass it by the identity."""
        return self.row.stride == 1 and self.inputs == self.widths and len(self.widths) == 1


def is_bypass(operator: OperatorSpec) -> bool:
    """Whether a candidate is the kernel 0."""
    return operator.kind != "ir"


def width_after(operator: OperatorSpec) -> int:
    """The channels that an operator hands on."""
    return operator.out_channels or operator.in_channels


@dataclass(frozen=True, kw_only=True)
class SlicedSpace(PresetSpace):
    """The space; a layer's choices show its first block after the widest input.

    Raises:
        UsageError: As `PresetSpace`; a width multiplier.
    """

    presets: ClassVar = {name: macro.frame for name, macro in MACROS.items()}

    preset: str = "fp-nas-f"

    def _check(self, macro: Macro) -> None:
        super()._check(macro)
        if self.width != 1 or self.resolution % self._reduction:
            raise UsageError(
                f"{self.preset} has no width multiplier, and resolutions divisible by "
                f"{self._reduction}.",
                "Its widths are searched.",
            )

    def _build(self, macro: Macro) -> Parts:
        size = self.resolution
        stem = self._shared.conv(3, 3, macro.stem_channels, size, macro.stem_stride, ACTIVATION)
        layers = tuple(self._layer(group) for group in self.groups)
        return (stem,), layers, self._tail(self.groups[-1].widths[-1])

    @property
    def macro(self) -> SlicedMacro:
        """The preset."""
        return MACROS[self.preset]

    @property
    def _reduction(self) -> int:
        return self.macro.frame.stem_stride * prod(row.stride for row in self.macro.rows)

    @property
    def _shared(self) -> Frame:
        return Frame(always_pointwise=False, batch=self.batch, dtype=self.dtype)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The layers' frames in order."""
        groups: list[Group] = []
        inputs: tuple[int, ...] = (self.macro.frame.stem_channels,)
        size = self.resolution // self.macro.frame.stem_stride
        for number, row in enumerate(self.macro.rows, 1):
            groups.append(Group(f"group{number}", row, inputs, size))
            inputs, size = groups[-1].widths, size // row.stride
        return tuple(groups)

    @property
    def printed_networks(self) -> int:
        """Networks as the paper counts: each combination of kernel 0 apart."""
        return prod(sum(times) for times in self.times)

    @cached_property
    def times(self) -> tuple[tuple[int, ...], ...]:
        """How many combinations of the variables each candidate stands for, by layer."""
        macro = self.macro
        return tuple(
            tuple(
                len(macro.activations) * len(macro.splits) * len(steps(*group.row.expansions))
                if is_bypass(choice.operator)
                else 1
                for choice in layer.choices
            )
            for group, layer in zip(self.groups, self.layers, strict=True)
        )

    # --- operators -----------------------------------------------------------

    def _layer(self, group: Group) -> Layer:
        macro, choices = self.macro, []
        for kernel, activation, splits, expansion, out in product(
            macro.kernels,
            macro.activations,
            macro.splits,
            steps(*group.row.expansions),
            group.widths,
        ):
            attention = {0: "", 1: "_se"}.get(splits, f"_sa{splits}")
            block = self._block(group, kernel, activation, splits, expansion, group.inputs[-1], out)
            name = f"k{kernel}_{activation}{attention}_e{expansion:g}_c{out}"
            choices.append(Choice(name=name, operator=block))
        for out in group.widths:
            bypass = self._bypass(group, group.inputs[-1], out)
            choices.append(Choice(name=f"{SKIP}_c{out}", operator=bypass))
        return Layer(name=group.name, choices=tuple(choices))

    def _bypass(self, group: Group, into: int, out: int) -> OperatorSpec:
        """The kernel 0."""
        if into == out and group.row.stride == 1:
            return self._shared.identity(into, group.size)
        return self._shared.conv(1, into, out, group.size, group.row.stride)

    def largest_bypass(self, layer: int) -> OperatorSpec | None:
        """The widest convolution that the kernel 0 of a layer may be; None for none."""
        group = self.groups[layer]
        if group.keeps_shape:
            return None
        into, out = group.inputs[-1], group.widths[-1]
        return self._shared.conv(1, into, out, group.size, group.row.stride)

    def _block(
        self,
        group: Group,
        kernel: int,
        activation: str,
        splits: int,
        expansion: float,
        into: int,
        out: int,
        *,
        inner: bool = False,
    ) -> OperatorSpec:
        row = group.row
        mid = max(1, round(expansion * into))
        stride = 1 if inner else row.stride
        size = group.size // row.stride if inner else group.size
        fixed = len(group.inputs) == 1 and row.expansions == (1, 1, 1) and not inner
        return OperatorSpec(
            kind="ir",
            kernel=kernel,
            expansion=expansion,
            mid_channels=mid,
            squeeze_channels=max(1, round(_SQUEEZE * mid)) if splits else 0,
            gate=GATE if splits == 1 else "hsigmoid",
            splits=max(splits, 1),
            activation=activation,
            in_channels=into,
            out_channels=out,
            height=size,
            width=size,
            stride=stride,
            residual=stride == 1 and into == out,
            first_pointwise=self.always_pointwise or not fixed,
            batch=self.batch,
            dtype=self.dtype,
        )

    def blocks(self, layer: int, choice: int, into: int) -> tuple[OperatorSpec, ...]:
        """The operators of a candidate after `into` channels: equal blocks, or a bypass."""
        group, shown = self.groups[layer], self.layers[layer].choices[choice].operator
        if is_bypass(shown):
            return (self._bypass(group, into, width_after(shown)),)
        splits = shown.splits if shown.squeeze_channels else 0
        common = (group, shown.kernel, shown.activation, splits, shown.expansion)
        out = shown.out_channels
        first = self._block(*common, into, out)
        rest = [self._block(*common, out, out, inner=True)] * (group.row.repeats - 1)
        return (first, *rest)

    def _tail(self, width: int) -> tuple[OperatorSpec, OperatorSpec]:
        last = self.resolution // self._reduction
        head = self._shared.conv(1, width, self.head_channels, last, 1, ACTIVATION)
        return head, self._shared.classifier(self.head_channels, self.classes, last)

    def _parts(self) -> Iterator[tuple[int, int, int, int, tuple[OperatorSpec, ...]]]:
        """Every layer, input, candidate: their numbers, the width out, the operators."""
        for number, (group, layer) in enumerate(zip(self.groups, self.layers, strict=True)):
            for state, into in enumerate(group.inputs):
                for choice in range(len(layer.choices)):
                    operators = self.blocks(number, choice, into)
                    width = group.widths.index(width_after(operators[-1]))
                    yield number, state, choice, width, operators

    @cached_property
    def operators(self) -> tuple[OperatorSpec, ...]:
        """Unique operators that cost time, in order of first use; no skips."""
        unique = dict.fromkeys(self.before)
        for *_, operators in self._parts():
            unique.update(dict.fromkeys(operators))
        for width in self.groups[-1].widths:
            unique.update(dict.fromkeys(self._tail(width)))
        return tuple(operator for operator in unique if operator.kind != SKIP)

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the space allows: every layer's choices, inputs and repeats."""
        lines = [operator.key for operator in (*self.before, *self.after)]
        lines.append("middle channels follow the width chosen")
        for group, layer in zip(self.groups, self.layers, strict=True):
            lines.append(f"{group.inputs} x{group.row.repeats}")
            lines += [f"{choice.name}={choice.operator.key}" for choice in layer.choices]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    # --- networks ------------------------------------------------------------

    def path(self, choices: Sequence[int]) -> tuple[tuple[OperatorSpec, ...], ...]:
        """Operators of every layer, then those after the layers.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        self.require_legal(choices)
        parts, into = [], self.groups[0].inputs[0]
        for layer, choice in enumerate(choices):
            parts.append(self.blocks(layer, choice, into))
            into = width_after(parts[-1][-1])
        return (*parts, self._tail(into))

    def architecture(self, choices: Sequence[str], name: str = "custom") -> Architecture:
        """The network that takes these choices, one a layer.

        Raises:
            UsageError: Wrong number of choices, or one that is not legal.
        """
        chosen = self.picked(choices, name)
        picked = [layer.choices.index(c) for layer, c in zip(self.layers, chosen, strict=True)]
        operators = (operator for part in self.path(picked) for operator in part)
        return Architecture(name=name, operators=(*self.before, *operators), space=self.spec)

    def costs(
        self,
        operator_cost: Callable[[OperatorSpec], float],
        fixed: float = 0.0,
        unit: Unit = Unit.US,
    ) -> ChainCosts:
        known: dict[OperatorSpec, float] = {}

        def cost(operator: OperatorSpec) -> float:
            if operator not in known:
                known[operator] = operator_cost(operator)
            return known[operator]

        shapes = [
            (len(g.inputs), len(layer.choices))
            for g, layer in zip(self.groups, self.layers, strict=True)
        ]
        costs = [np.zeros(shape) for shape in shapes]
        next_state = [np.zeros(shape, dtype=np.int64) for shape in shapes]
        for layer, state, choice, following, operators in self._parts():
            costs[layer][state, choice] = sum(cost(operator) for operator in operators)
            next_state[layer][state, choice] = following
        leaves = self.groups[-1].widths
        return ChainCosts(
            fixed=fixed + sum(cost(operator) for operator in self.before),
            transitions=tuple(
                Transition(costs=layer_costs, next_state=states)
                for layer_costs, states in zip(costs, next_state, strict=True)
            ),
            last=np.array([sum(map(cost, self._tail(width))) for width in leaves]),
            unit=unit,
        )
