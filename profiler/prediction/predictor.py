"""A latency predictor of one device: analytic costs, and a Gaussian process for the rest.

log(time) = log(base) + g(descriptors), where the base is either the sum of
analytic components with non-negative weights (monotone in arithmetic and bytes)
or, in a transfer, the time in another device's table, alone or as one more
component, whichever predicts held-out operators best; g is a Gaussian process
with a Matern kernel (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, chapters 2 and 4). Intervals are conformal: the errors of each
measured operator, predicted from the others, in units of the process's own
deviation, give the factor (the jackknife of Barber et al., arXiv 1905.02928,
with the normalised scores of Lei et al., arXiv 1604.04173, section 5.2). With few
measured operators that factor is a normal distribution's, scaled by those scores.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm, spearmanr

from profiler.analysis.arrays import Array, Flags, Indices
from profiler.prediction.features import (
    component_matrix,
    descriptor_matrix,
    standardise,
)
from profiler.prediction.gaussian_process import fit_kernel, fit_process
from search.errors import UsageError
from search.operators.spec import OperatorSpec

LEVEL = 0.90
MIN_MEASURED = 8
METHOD = "non-negative analytic costs and a Gaussian process on log time"
TRANSFER_METHOD = "another table's times, analytic costs and a Gaussian process on log time"
_ONE_BY_ONE, _FOLDS = 120, 20  # operators up to which each is left out alone; else parts
_ENOUGH_RANDOM = 40
_ENOUGH_SCORES = 40
_LEAST_SCORE = 1e-3  # a score of nearly nothing is luck
_NORMAL_LOG = -0.5 * (np.euler_gamma + math.log(2))  # mean of log |x|, x normal
_TINY_RIDGE = 1e-3
_LEAST_OF_FASTEST = 0.1  # no operator is predicted far below the fastest measured one


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedTimes:
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
    """Predictions for all operators, and how good they are."""

    predicted: PredictedTimes
    held_out: HeldOut


def predict_times(
    operators: Sequence[OperatorSpec],
    measured: Indices,
    us: Array,
    base_us: Array | None = None,
    randomly_chosen: Flags | None = None,
) -> Fitted:
    """Fit on the measured operators and predict all of them.

    Args:
        operators: All operators of the space.
        measured: Indices of the measured ones.
        us: Their times in microseconds, in that order.
        base_us: Times of all operators in another table (a transfer); None
            for analytic costs.
        randomly_chosen: Which of the measured ones were chosen at random; if
            they are enough, intervals are calibrated on them alone.

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
    best = min(fits, key=lambda fit: fit.loss)
    return best.result(randomly_chosen)


def predict_means(
    operators: Sequence[OperatorSpec], measured: Indices, us: Array, base_us: Array | None = None
) -> Array:
    """Times of all operators in microseconds as `predict_times`, without intervals.

    A transfer always starts from the other table's times, scaled: no operator is
    left out by which another base could be chosen.
    """
    points = standardise(descriptor_matrix(operators))
    base = _bases(operators, base_us)[0](measured, us)
    target = np.log(us) - base[measured]
    process = fit_process(points[measured], target, fit_kernel(points[measured], target))
    means: Array = np.exp(base + process.predict(points)[0])
    return means


# log(base) of all operators from the indices and times of the measured ones.
_Base = Callable[[Indices, Array], Array]


def _bases(operators: Sequence[OperatorSpec], base_us: Array | None) -> list[_Base]:
    """Analytic costs; in a transfer also the other table's times, alone or as one more cost."""
    components = component_matrix(operators)
    if base_us is None:
        return [_analytic(components)]

    def scaled(measured: Indices, us: Array) -> Array:
        factor = float(np.median(np.log(us) - np.log(base_us[measured])))
        log_us: Array = np.log(base_us) + factor
        return log_us

    return [scaled, _analytic(np.column_stack([components, base_us])), _analytic(components)]


def _analytic(components: Array) -> _Base:
    def base(measured: Indices, us: Array) -> Array:
        costs = components @ non_negative_weights(components[measured], us)
        log_us: Array = np.log(np.maximum(costs, _LEAST_OF_FASTEST * us.min()))
        return log_us

    return base


class _Fit:
    """One base with its process; `loss` is the mean log error of held-out operators."""

    def __init__(self, points: Array, measured: Indices, us: Array, base: _Base) -> None:
        self._points, self._us, self._base = points, us, base(measured, us)
        target = np.log(us) - self._base[measured]
        kernel = fit_kernel(points[measured], target)
        self._process = fit_process(points[measured], target, kernel)
        self.errors, self.deviations = _held_out_errors(points, measured, us, base, kernel)
        self.loss = float(np.abs(self.errors).mean())

    def result(self, randomly_chosen: Flags | None) -> Fitted:
        """Predictions for all operators."""
        mean, deviation = self._process.predict(self._points)
        value = self._base + mean
        judges = _judges(randomly_chosen, len(self._us))
        errors, usual = self.errors[judges], float(np.median(self.deviations))
        # Near measured operators the process states too small a deviation: the error of
        # its analytic base is not in it.
        deviations = np.hypot(self.deviations[judges], usual)
        reach = interval_factor(np.abs(errors) / deviations) * np.hypot(deviation, usual)
        return Fitted(
            predicted=PredictedTimes(
                us=np.exp(value), low_us=np.exp(value - reach), high_us=np.exp(value + reach)
            ),
            held_out=_held_out(errors, np.abs(errors) / deviations, self._us[judges]),
        )


def _judges(randomly_chosen: Flags | None, number: int) -> Flags:
    """The measured operators whose errors stand for those of the others."""
    if randomly_chosen is None or randomly_chosen.sum() < _ENOUGH_RANDOM:
        return np.ones(number, dtype=bool)
    return randomly_chosen


def non_negative_weights(components: Array, us: Array) -> Array:
    """Least squares of relative errors with weights of at least zero."""
    scaled = components / us[:, None]
    size = scaled.max(axis=0)
    size[size == 0] = np.inf
    ridge = _TINY_RIDGE * np.eye(components.shape[1])
    design = np.vstack([scaled / size, ridge])
    solution, _ = nnls(design, np.concatenate([np.ones(len(us)), np.zeros(len(ridge))]))
    weights: Array = solution / size
    if not weights.any():
        weights[0] = float(np.median(us))
    return weights


def interval_factor(scores: Array, level: float = LEVEL) -> float:
    """How many deviations an interval at `level` reaches to either side.

    Conformal where there are scores enough. The quantile of a few scores is mostly chance:
    there it is that of a normal distribution times the scores' geometric mean, which
    hardly depends on the few operators at the edge of a design, whose errors are unlike
    those of others (tests/benchmarks/bench_predict.py shows what that covers).
    """
    if len(scores) >= _ENOUGH_SCORES:
        return conformal_factor(scores, level)
    logs = np.log(np.maximum(scores, _LEAST_SCORE))
    return float(norm.ppf((1 + level) / 2) * math.exp(logs.mean() - _NORMAL_LOG))


def conformal_factor(scores: Array, level: float = LEVEL) -> float:
    """The score that a new operator stays below with probability `level`."""
    rank = min(math.ceil((len(scores) + 1) * level), len(scores))
    return float(np.sort(scores)[rank - 1])


def _held_out_errors(
    points: Array, measured: Indices, us: Array, base_of: _Base, kernel: Any
) -> tuple[Array, Array]:
    """Log errors of measured operators predicted from the others, and deviations stated."""
    log_us, count = np.log(us), len(measured)
    errors, deviations = np.empty(count), np.empty(count)
    order = np.random.default_rng(0).permutation(count)
    for fold in np.array_split(order, count if count <= _ONE_BY_ONE else _FOLDS):
        others = np.setdiff1d(np.arange(count), fold)
        base = base_of(measured[others], us[others])
        target = log_us[others] - base[measured[others]]
        process = fit_process(points[measured[others]], target, kernel)
        mean, deviations[fold] = process.predict(points[measured[fold]])
        errors[fold] = base[measured[fold]] + mean - log_us[fold]
    return errors, deviations


def _held_out(errors: Array, scores: Array, us: Array) -> HeldOut:
    inside = [scores[n] <= interval_factor(np.delete(scores, n)) for n in range(len(scores))]
    return HeldOut(
        mape=float(np.abs(np.expm1(errors)).mean()),
        spearman=float(spearmanr(us, us * np.exp(errors)).statistic),
        coverage=float(np.mean(inside)),
    )
