"""A latency predictor of one device: analytic costs, and a Gaussian process for the rest.

log(time) = log(base) + g(descriptors), where the base is either the sum of
analytic components with non-negative weights (monotone in arithmetic and bytes)
or, in a transfer, the time in another device's table, alone or as one more
component, whichever predicts held-out operators best; g is a Gaussian process
with a Matern kernel (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, chapters 2 and 4). Intervals are conformal: the errors of each
measured operator, predicted from the others, in units of the process's own
deviation, give the factor (the jackknife of Barber et al., arXiv 1905.02928,
with the normalised scores of Lei et al., arXiv 1604.04173, section 5.2).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from profiler.predict.features import (
    Array,
    component_matrix,
    descriptor_matrix,
    standardise,
)
from search.errors import UsageError
from search.operators import OperatorSpec

LEVEL = 0.90
MIN_MEASURED = 8
METHOD = "non-negative analytic costs and a Gaussian process on log time"
TRANSFER_METHOD = "another table's times, analytic costs and a Gaussian process on log time"
_TINY_RIDGE = 1e-3
_LEAST_OF_FASTEST = 0.1  # no operator is predicted far below the fastest measured one


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Times of operators in microseconds, with conformal intervals at `LEVEL`."""

    us: Array
    low_us: Array
    high_us: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Measured operators, each predicted from the others.

    `coverage` is the share of them inside intervals whose factor was taken
    from the others' scores.
    """

    mape: float
    spearman: float
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a fit leaves: predictions for all operators, and how good they are."""

    predicted: Predicted
    held_out: HeldOut


def predict_times(
    operators: Sequence[OperatorSpec],
    measured: npt.NDArray[np.intp],
    us: Array,
    base_us: Array | None = None,
) -> Fitted:
    """Fit on the measured operators and predict all of them.

    Args:
        operators: All operators of the space.
        measured: Places of the measured ones.
        us: Their times in microseconds, in that order.
        base_us: Times of all operators in another table (a transfer); None
            for analytic costs.

    Raises:
        UsageError: Too few operators were measured.
    """
    if len(measured) < MIN_MEASURED:
        raise UsageError(
            f"{len(measured)} measured operators are too few for a predictor.",
            f"Measure at least {MIN_MEASURED} (--max-operators).",
        )
    points = standardise(descriptor_matrix(operators))
    fits = [_Fit(points, measured, us, base) for base in _bases(operators, base_us)]
    return min(fits, key=lambda fit: fit.loss).result()


# log(base) of all operators from the places and times of the measured ones.
_Base = Callable[[npt.NDArray[np.intp], Array], Array]


def _bases(operators: Sequence[OperatorSpec], base_us: Array | None) -> list[_Base]:
    """Analytic costs; in a transfer also the other table's times, alone or as one more cost."""
    components = component_matrix(operators)
    if base_us is None:
        return [_analytic(components)]

    def scaled(places: npt.NDArray[np.intp], us: Array) -> Array:
        factor = float(np.median(np.log(us) - np.log(base_us[places])))
        moved: Array = np.log(base_us) + factor
        return moved

    return [scaled, _analytic(np.column_stack([components, base_us])), _analytic(components)]


def _analytic(components: Array) -> _Base:
    def base(places: npt.NDArray[np.intp], us: Array) -> Array:
        costs = components @ non_negative_weights(components[places], us)
        found: Array = np.log(np.maximum(costs, _LEAST_OF_FASTEST * us.min()))
        return found

    return base


class _Fit:
    """One base with its process; `loss` is the mean log error of held-out operators."""

    def __init__(
        self, points: Array, measured: npt.NDArray[np.intp], us: Array, base: _Base
    ) -> None:
        self._points, self._us, self._base = points, us, base(measured, us)
        self._process = _fit_process(points[measured], np.log(us) - self._base[measured])
        self._errors, self._scores = _leave_one_out(
            points, measured, us, base, self._process.kernel_
        )
        self.loss = float(np.abs(self._errors).mean())

    def result(self) -> Fitted:
        """Predictions for all operators."""
        mean, deviation = _predict(self._process, self._points)
        reach = conformal_factor(self._scores) * deviation
        value = self._base + mean
        return Fitted(
            predicted=Predicted(
                us=np.exp(value), low_us=np.exp(value - reach), high_us=np.exp(value + reach)
            ),
            held_out=_held_out(self._errors, self._scores, self._us),
        )


def non_negative_weights(components: Array, us: Array) -> Array:
    """Least squares of relative errors with weights of at least zero."""
    scaled = components / us[:, None]
    size = scaled.max(axis=0)
    size[size == 0] = np.inf
    ridge = _TINY_RIDGE * np.eye(components.shape[1])
    design = np.vstack([scaled / size, ridge])
    weights, _ = nnls(design, np.concatenate([np.ones(len(us)), np.zeros(len(ridge))]))
    found: Array = weights / size
    if not found.any():
        found[0] = float(np.median(us))
    return found


def conformal_factor(scores: Array, level: float = LEVEL) -> float:
    """The score that a new operator stays below with probability `level`."""
    rank = min(math.ceil((len(scores) + 1) * level), len(scores))
    return float(np.sort(scores)[rank - 1])


def _kernel() -> Any:
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    smooth = Matern(length_scale=3.0, length_scale_bounds=(0.5, 50), nu=2.5)
    noise = WhiteKernel(noise_level=1e-3, noise_level_bounds=(1e-5, 0.1))
    return ConstantKernel(0.1, (1e-4, 10)) * smooth + noise


def _fit_process(points: Array, target: Array, kernel: Any = None) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor

    optimiser = None if kernel is not None else "fmin_l_bfgs_b"
    process = GaussianProcessRegressor(
        kernel if kernel is not None else _kernel(), optimizer=optimiser, random_state=0
    )
    with warnings.catch_warnings():
        # A length scale at its bound is a legitimate answer here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(points, target)


def _predict(process: Any, points: Array) -> tuple[Array, Array]:
    mean, deviation = process.predict(points, return_std=True)
    return mean, np.maximum(deviation, 1e-6)


def _leave_one_out(
    points: Array,
    measured: npt.NDArray[np.intp],
    us: Array,
    base_of: _Base,
    kernel: Any,
) -> tuple[Array, Array]:
    """Log errors of measured operators predicted from the others, and their scores."""
    log_us = np.log(us)
    errors, scores = np.empty(len(measured)), np.empty(len(measured))
    for left_out in range(len(measured)):
        kept = np.delete(np.arange(len(measured)), left_out)
        base = base_of(measured[kept], us[kept])
        target = log_us[kept] - base[measured[kept]]
        process = _fit_process(points[measured[kept]], target, kernel)
        place = measured[left_out]
        mean, deviation = _predict(process, points[[place]])
        errors[left_out] = base[place] + mean[0] - log_us[left_out]
        scores[left_out] = abs(errors[left_out]) / deviation[0]
    return errors, scores


def _held_out(errors: Array, scores: Array, us: Array) -> HeldOut:
    from scipy.stats import spearmanr

    inside = [scores[n] <= conformal_factor(np.delete(scores, n)) for n in range(len(scores))]
    return HeldOut(
        mape=float(np.abs(np.expm1(errors)).mean()),
        spearman=float(spearmanr(us, us * np.exp(errors)).statistic),
        coverage=float(np.mean(inside)),
    )
