"""Costs of restoring operators, from programs that do not lead back to their input.

Chains are closed loops: they give D(A) + N (x + y), where x is an operator from
shape A to B, y the one that restores A, and D(A) dispatch with the handling of
an input and an output of shape A. No closed loop tells x from y. The operator
alone takes (D(A) + D(B)) / 2 + x and the restoring one alone (D(A) + D(B)) / 2
+ y, if input and output of one shape cost the same but for a constant. All
these lines of a pass, of all operators that share shapes or restoring ones,
are solved together for D and y; the operators' own slopes stay what they are.

The assumption cannot be checked from outside. What it gets wrong is the same
for every operator from A to B, and cancels along any network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from profiler.analysis.arrays import Array, Flags

Shape = tuple[int, ...]
Terms = Mapping[Shape | str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLine:
    """One operator in one pass, microseconds: its chains' line, and itself alone.

    `adapter` names the restoring operator (None: the operator keeps its shape).
    """

    start: Shape
    end: Shape
    slope_us: float
    intercept_us: float
    alone_us: float | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTime:
    """A restoring operator alone in one pass, leading from `end` to `start`."""

    name: str
    start: Shape
    end: Shape
    alone_us: float


def adapter_costs(lines: Sequence[ChainLine], adapters: Sequence[AdapterTime]) -> dict[str, float]:
    """What each restoring operator takes in this pass, in microseconds.

    One without an `AdapterTime` is solved as far as chains at both its shapes
    allow; it is left out where they do not.
    """
    system = _System()
    for line in lines:
        system.add(line.intercept_us + line.slope_us, line.intercept_us, {line.start: 1.0})
        if line.adapter is not None and line.alone_us is not None:
            terms: Terms = {line.start: 0.5, line.end: 0.5, line.adapter: -1.0}
            system.add(line.alone_us, line.alone_us - line.slope_us, terms)
    for adapter in adapters:
        terms = {adapter.start: 0.5, adapter.end: 0.5, adapter.name: 1.0}
        system.add(adapter.alone_us, adapter.alone_us, terms)
    solved = system.solve()
    return {unknown: value for unknown, value in solved.items() if isinstance(unknown, str)}


class _System:
    """Linear equations whose errors are proportional to the time that was measured."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float, Terms]] = []

    def add(self, time_us: float, right: float, terms: Terms) -> None:
        self._rows.append((time_us, right, terms))

    def solve(self) -> dict[Shape | str, float]:
        """Robust least squares; unknowns that the equations leave open are left out."""
        unknowns = dict.fromkeys(unknown for _, _, terms in self._rows for unknown in terms)
        columns = {unknown: i for i, unknown in enumerate(unknowns)}
        left, right = np.zeros((len(self._rows), len(columns))), np.zeros(len(self._rows))
        for i, (time_us, value, terms) in enumerate(self._rows):
            right[i] = value / time_us
            for unknown, factor in terms.items():
                left[i, columns[unknown]] = factor / time_us
        values = _robust(left, right)
        determined = _determined(left)
        return {unknown: float(values[i]) for unknown, i in columns.items() if determined[i]}


def _robust(left: Array, right: Array) -> Array:
    """Least squares with a soft absolute loss beyond the usual residual."""
    plain = np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], dtype=np.float64)
    usual = 1.4826 * float(np.median(np.abs(_residual(plain, left, right))))
    if usual < 1e-9:
        return plain
    solution = least_squares(
        _residual, plain, jac=_jacobian, loss="soft_l1", f_scale=usual, args=(left, right)
    )
    return np.asarray(solution.x, dtype=np.float64)


def _residual(x: Array, left: Array, right: Array) -> Array:
    residual: Array = left @ x - right
    return residual


def _jacobian(_: Array, left: Array, __: Array) -> Array:
    return left


def _determined(left: Array) -> Flags:
    """Which unknowns have one solution: no direction of the null space moves them."""
    _, sizes, directions = np.linalg.svd(left)
    rank = int((sizes > sizes.max(initial=0.0) * 1e-9).sum())
    moved = np.abs(directions[rank:]).max(axis=0, initial=0.0)
    fixed: Flags = moved < 1e-6
    return fixed
