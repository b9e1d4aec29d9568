"""What restoring operators cost, from programs that do not lead back to their input.

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
import numpy.typing as npt
from scipy.optimize import least_squares

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]
Terms = Mapping[Shape | str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLine:
    """One operator in one pass, microseconds: its chains' line, and itself alone.

    `pair` names the restoring operator (None: the operator keeps its shape).
    """

    start: Shape
    end: Shape
    slope_us: float
    intercept_us: float
    alone_us: float | None = None
    pair: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTime:
    """A restoring operator alone in one pass, leading from `end` to `start`."""

    pair: str
    start: Shape
    end: Shape
    alone_us: float


def adapter_costs(seen: Sequence[ChainLine], backs: Sequence[AdapterTime]) -> dict[str, float]:
    """What each restoring operator takes in this pass, in microseconds.

    Without a `AdapterTime` of its own a pair is solved as far as chains at both its
    shapes allow; it is left out where they do not.
    """
    system = _System()
    for one in seen:
        system.add(one.intercept_us + one.slope_us, one.intercept_us, {one.start: 1.0})
        if one.pair is not None and one.alone_us is not None:
            terms: Terms = {one.start: 0.5, one.end: 0.5, one.pair: -1.0}
            system.add(one.alone_us, one.alone_us - one.slope_us, terms)
    for back in backs:
        terms = {back.start: 0.5, back.end: 0.5, back.pair: 1.0}
        system.add(back.alone_us, back.alone_us, terms)
    solved = system.solve()
    return {name: value for name, value in solved.items() if isinstance(name, str)}


class _System:
    """Linear equations whose errors are proportional to the time that was measured."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float, Terms]] = []

    def add(self, time_us: float, right: float, terms: Terms) -> None:
        self._rows.append((time_us, right, terms))

    def solve(self) -> dict[Shape | str, float]:
        """Robust least squares; unknowns that the equations leave open are left out."""
        names = list(dict.fromkeys(name for _, _, terms in self._rows for name in terms))
        place = {name: i for i, name in enumerate(names)}
        left, right = np.zeros((len(self._rows), len(names))), np.zeros(len(self._rows))
        for i, (time_us, value, terms) in enumerate(self._rows):
            right[i] = value / time_us
            for name, factor in terms.items():
                left[i, place[name]] = factor / time_us
        values = _robust(left, right)
        closed = _determined(left)
        return {name: float(values[i]) for name, i in place.items() if closed[i]}


def _robust(left: Array, right: Array) -> Array:
    """Least squares with a soft absolute loss beyond the usual residual."""
    plain = np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], dtype=np.float64)
    usual = 1.4826 * float(np.median(np.abs(_residual(plain, left, right))))
    if usual < 1e-9:
        return plain
    found = least_squares(
        _residual, plain, jac=_jacobian, loss="soft_l1", f_scale=usual, args=(left, right)
    )
    return np.asarray(found.x, dtype=np.float64)


def _residual(x: Array, left: Array, right: Array) -> Array:
    y: Array = left @ x - right
    return y


def _jacobian(_: Array, left: Array, __: Array) -> Array:
    return left


def _determined(left: Array) -> npt.NDArray[np.bool_]:
    """Which unknowns have one solution: no direction of the null space moves them."""
    _, sizes, directions = np.linalg.svd(left)
    rank = int((sizes > sizes.max(initial=0.0) * 1e-9).sum())
    moved = np.abs(directions[rank:]).max(axis=0, initial=0.0)
    fixed: npt.NDArray[np.bool_] = moved < 1e-6
    return fixed
