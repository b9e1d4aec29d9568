"""Contract of search spaces: layers, their legal choices, operators, costs."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np

from search.architecture import Architecture
from search.costs.base import Costs, Unit
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.operators.words import space_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One candidate of one layer: its short name and its operator."""

    name: str
    operator: OperatorSpec

    @property
    def is_skip(self) -> bool:
        """True for the identity, which costs nothing and is never measured."""
        return self.operator.kind == "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One searched position, with the choices that are legal there."""

    name: str
    choices: tuple[Choice, ...]

    def choice(self, name: str) -> Choice:
        """The choice of that name.

        Raises:
            UsageError: Not legal in this layer.
        """
        for choice in self.choices:
            if choice.name == name:
                return choice
        legal = ", ".join(choice.name for choice in self.choices)
        raise UsageError(f"{name!r} is not a choice of layer {self.name}.", f"Legal: {legal}.")


class SearchSpace(Protocol):
    """A family of networks: fixed parts round a row of searched layers."""

    @property
    def spec(self) -> str:
        """Text from which `search.spaces.registry.parse_space` rebuilds the space."""
        ...

    @property
    def before(self) -> tuple[OperatorSpec, ...]:
        """Fixed operators before the searched layers."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Searched layers in order."""
        ...

    @property
    def after(self) -> tuple[OperatorSpec, ...]:
        """Fixed operators after the searched layers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSize:
    """The size of a space, as the papers count it."""

    layers: int
    candidates: int
    networks: int
    unique_operators: int


class LayeredSpace:
    """Base of every space made of fixed parts and layers."""

    spec: str
    before: tuple[OperatorSpec, ...]
    layers: tuple[Layer, ...]
    after: tuple[OperatorSpec, ...]

    @property
    def label(self) -> str:
        """What names the space to a reader, and its tables: the spec, without a layout."""
        return space_label(self.spec)

    @cached_property
    def uses(self) -> Mapping[OperatorSpec, float]:
        """Mean number of each operator that costs time in a uniformly random network."""
        uses: dict[OperatorSpec, float] = {}
        for operator, share in self._shares():
            if operator.kind != "skip":
                uses[operator] = uses.get(operator, 0.0) + share
        return uses

    def _shares(self) -> Iterator[tuple[OperatorSpec, float]]:
        """Every position of a network: its operators, and the probability of each."""
        yield from ((operator, 1.0) for operator in self.before)
        for layer in self.layers:
            yield from ((choice.operator, 1 / len(layer.choices)) for choice in layer.choices)
        yield from ((operator, 1.0) for operator in self.after)

    @cached_property
    def operators(self) -> tuple[OperatorSpec, ...]:
        """Unique operators that cost time, in order of first use; no skips."""
        return tuple(self.uses)

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the space allows, independent of this code's layout."""
        lines = [operator.key for operator in self.before]
        lines += [
            " ".join(f"{choice.name}={choice.operator.key}" for choice in layer.choices)
            for layer in self.layers
        ]
        lines += [operator.key for operator in self.after]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def size(self) -> SpaceSize:
        """Candidates (skips included), networks and unique operators."""
        widths = [len(layer.choices) for layer in self.layers]
        return SpaceSize(
            layers=len(widths),
            candidates=sum(widths),
            networks=prod(widths),
            unique_operators=len(self.operators),
        )

    def costs(
        self,
        operator_cost: Callable[[OperatorSpec], float],
        fixed: float = 0.0,
        unit: Unit = Unit.US,
    ) -> Costs:
        """Costs of the networks: sums of their operators' costs, and what is fixed."""
        widest = max((len(layer.choices) for layer in self.layers), default=0)
        costs = np.full((len(self.layers), widest), np.inf)
        for row, layer in enumerate(self.layers):
            for column, choice in enumerate(layer.choices):
                costs[row, column] = operator_cost(choice.operator)
        fixed += sum(operator_cost(operator) for operator in (*self.before, *self.after))
        return CostMatrix(costs=costs, fixed=fixed, unit=unit)

    def require_legal(self, choices: Sequence[int]) -> None:
        """Refuse other than one legal choice a layer.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        widths = [len(layer.choices) for layer in self.layers]
        legal = len(choices) == len(widths) and all(
            0 <= choice < width for choice, width in zip(choices, widths, strict=True)
        )
        if not legal:
            raise UsageError(f"{tuple(choices)} are no choices of {self.label}.")

    def picked(self, choices: Sequence[str], name: str) -> list[Choice]:
        """The choices of these names, one a layer.

        Raises:
            UsageError: Wrong number of choices, or one that is not legal.
        """
        if len(choices) != len(self.layers):
            raise UsageError(
                f"{name!r} names {len(choices)} choices; {self.label} has "
                f"{len(self.layers)} layers."
            )
        return [layer.choice(choice) for layer, choice in zip(self.layers, choices, strict=True)]

    def architecture(self, choices: Sequence[str], name: str = "custom") -> Architecture:
        """The network that takes these choices, one a layer.

        Raises:
            UsageError: Wrong number of choices, or one that is not legal.
        """
        chosen = [choice.operator for choice in self.picked(choices, name)]
        return Architecture(
            name=name, operators=(*self.before, *chosen, *self.after), space=self.spec
        )

    def random_architecture(self, generator: random.Random, name: str) -> Architecture:
        """A network drawn uniformly, layer by layer."""
        return self.architecture(
            [generator.choice(layer.choices).name for layer in self.layers], name
        )
