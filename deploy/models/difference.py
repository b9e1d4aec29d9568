"""How far outputs are from those of the source, whatever their dtypes."""

from collections.abc import Sequence

import numpy as np

from deploy.models.tensors import Array


def same_shapes(actual: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Whether there are as many outputs, of the same shapes."""
    return [one.shape for one in actual] == [one.shape for one in expected]


def largest_difference(actual: Sequence[Array], expected: Sequence[Array]) -> float:
    """The worst output's error; inf where shapes differ.

    Of floats: largest difference over largest expected magnitude. Of integers and booleans:
    the share of elements that differ. NaN and infinities count as equal where both have them.
    """
    if not same_shapes(actual, expected):
        return float("inf")
    errors = [_difference(one, other) for one, other in zip(actual, expected, strict=True)]
    return max(errors, default=0.0)


def squares(actual: Sequence[Array], expected: Sequence[Array]) -> tuple[float, float]:
    """Sums of squares of the floats' differences, and of the expected floats."""
    floats = [
        (_finite(one), _finite(other))
        for one, other in zip(actual, expected, strict=True)
        if other.dtype.kind == "f"
    ]
    return (
        sum(float(((one - other) ** 2).sum()) for one, other in floats),
        sum(float((other**2).sum()) for _, other in floats),
    )


def same_first(actual: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Whether the first output is largest at the same place (integers: is the same)."""
    if not expected or not expected[0].size:
        return True
    one, other = actual[0], expected[0]
    if other.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    return int(np.argmax(one)) == int(np.argmax(other))


def _difference(actual: Array, expected: Array) -> float:
    if not expected.size:
        return 0.0
    if expected.dtype.kind != "f":
        return float((actual != expected).mean())
    odd = ~np.isfinite(expected)
    if not np.array_equal(actual[odd], expected[odd], equal_nan=True):
        return float("inf")
    one, other = actual[~odd].astype(np.float64), expected[~odd].astype(np.float64)
    if not one.size:
        return 0.0
    largest = float(np.abs(one - other).max() / max(float(np.abs(other).max()), 1e-12))
    return largest if np.isfinite(largest) else float("inf")


def _finite(values: Array) -> Array:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
