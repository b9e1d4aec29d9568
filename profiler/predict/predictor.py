"""A latency predictor of one device: analytic costs, and a Gaussian process for the rest.

log(time) = log(base) + g(descriptors), where the base is either the sum of
analytic components with non-negative weights (monotone in arithmetic and bytes)
or, in a transfer, the time in another device's table; g is a Gaussian process
with a Matern kernel (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, chapters 2 and 4). Intervals are conformal: the errors of each
measured operator, predicted from the others, in units of the process's own
deviation, give the factor (the jackknife of Barber et al., arXiv 1905.02928,
with the normalised scores of Lei et al., arXiv 1604.04173, section 5.2).
"""

import math
import warnings
from collections.abc import Sequence
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
TRANSFER_METHOD = "another table's times and a Gaussian process on the log ratio"
_TINY_RIDGE = 1e-3


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
    components = None if base_us is not None else component_matrix(operators)
    log_us = np.log(us)

    def base_of(places: npt.NDArray[np.intp], times: Array) -> Array:
        if base_us is not None:
            shift = np.median(np.log(times) - np.log(base_us[places]))
            return np.log(base_us) + float(shift)
        assert components is not None
        return np.log(components @ non_negative_weights(components[places], times))

    base = base_of(measured, us)
    process = _fit_process(points[measured], log_us - base[measured])
    mean, deviation = _predict(process, points)
    errors, scores = _leave_one_out(points, measured, log_us, base_of, us, process.kernel_)
    reach = conformal_factor(scores) * deviation
    value = base + mean
    return Fitted(
        predicted=Predicted(
            us=np.exp(value), low_us=np.exp(value - reach), high_us=np.exp(value + reach)
        ),
        held_out=_held_out(errors, scores, us),
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
    log_us: Array,
    base_of: Any,
    us: Array,
    kernel: Any,
) -> tuple[Array, Array]:
    """Log errors of measured operators predicted from the others, and their scores."""
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
