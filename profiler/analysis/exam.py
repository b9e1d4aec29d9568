"""Calibration and exam: whole networks against what the table predicts.

The model is fitted on calibration networks only; the exam uses others, which
were measured interleaved with everything else in the same run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from profiler.analysis.arrays import Array
from profiler.analysis.in_network import InNetworkModel, fit_in_network
from search.latency.model import Estimate, estimate_from_features, feature_vector
from search.latency.pairs import PairEffects
from search.operators.spec import OperatorSpec
from search.table.calibration import Calibration, PairEffect
from search.table.entries import Entry
from search.table.manifest import Exam, Score
from search.table.store import EXAM_COLUMNS

Statistic = Callable[[Array, Array], float]

# From plain to rich; cross-validation decides. Every set has an intercept.
CANDIDATES: tuple[tuple[str, ...], ...] = (
    ("steady_us",),
    ("steady_us", "first_extra_us"),
    ("steady_us", "first_extra_us", "operators"),
    ("steady_us", "weight_mb", "moved_mb", "operators"),
    ("steady_us", "first_extra_us", "weight_mb", "moved_mb", "operators"),
)
MIN_NETWORKS = 6
# Prices of single operators inside networks must foretell other networks better by this.
_WORTH_IT = 0.97
_FOLDS = 10
_REPEATS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """A network that was measured: rows of its operators, and its time in microseconds.

    `layers` are all its operators in order, skips among them; empty where the space's layers
    depend on each other, and neighbours are not told apart.
    """

    name: str
    entries: tuple[Entry, ...]
    measured_us: float
    layers: tuple[OperatorSpec, ...] = ()

    def features(self, names: Sequence[str]) -> Array:
        """Features by name, summed over its operators."""
        total: Array = np.sum([feature_vector(entry, names) for entry in self.entries], axis=0)
        return total

    def estimate(self, calibration: Calibration) -> Estimate:
        """What the model predicts."""
        pairs_us = sum(PairEffects(calibration).along(self.layers))
        features = self.features(calibration.features)
        return estimate_from_features(features, calibration, pairs_us=pairs_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkModel:
    """A calibration, and where it prices operators inside networks, how it does."""

    calibration: Calibration
    in_network: InNetworkModel | None

    def price(self, entry: Entry) -> Entry:
        """The row with what its operator costs inside networks; as it is without such a model."""
        if self.in_network is None or entry.time is None:
            return entry
        return replace(entry, in_network_us=self.in_network.cost_us(entry))


def fit_model(networks: Sequence[MeasuredNetwork], seed: int) -> NetworkModel | None:
    """Fit sums of features, and operators inside networks; the better one by held-out errors.

    None when there are fewer than `MIN_NETWORKS` networks.
    """
    plain = calibrate(networks, seed)
    if plain is None:
        return None
    measured = [network.measured_us for network in networks]
    fitted = fit_in_network(
        [network.entries for network in networks],
        measured,
        [network.layers for network in networks],
    )
    error = float(np.abs(fitted.errors).mean())
    if error > _WORTH_IT * plain.cross_validated_mape:
        return NetworkModel(calibration=plain, in_network=None)
    calibration = Calibration(
        features=("in_network_us",),
        slopes=(1.0,),
        intercept_us=fitted.intercept_us,
        covariance=((0.0, 0.0), (0.0, 0.0)),  # held-out errors hold the model's own already
        networks=len(networks),
        relative_residual=float(np.sqrt((fitted.errors**2).mean())),
        interval_factor=float(scipy_stats.t.ppf(0.975, len(networks) - 1)),
        cross_validated_mape=error,
        raw_sum_mape=plain.raw_sum_mape,
        method="operators inside networks: mixed model, leave-one-out predictive density",
        pairs=tuple(
            PairEffect(height=height, first=first, second=second, effect_us=effect_us)
            for (height, first, second), effect_us in fitted.pairs.items()
        ),
    )
    return NetworkModel(calibration=calibration, in_network=fitted)


def calibrate(networks: Sequence[MeasuredNetwork], seed: int) -> Calibration | None:
    """Fit a sum of features, choosing them by cross-validation.

    None when there are fewer than `MIN_NETWORKS` networks. Ties (within one
    standard error of the best) go to the plainer model.
    """
    if len(networks) < MIN_NETWORKS:
        return None
    measured = np.array([network.measured_us for network in networks])
    usable = [names for names in CANDIDATES if len(networks) >= 3 * (len(names) + 1)]
    errors = [_cross_validate(_design_matrix(networks, names), measured, seed) for names in usable]
    means = [float(np.abs(error).mean()) for error in errors]
    best = int(np.argmin(means))
    slack = float(np.abs(errors[best]).mean(axis=0).std(ddof=1)) / np.sqrt(len(networks))
    chosen = next(i for i, mean in enumerate(means) if mean <= means[best] + slack)
    return _fit_chosen(networks, usable[chosen], measured, errors[chosen])


def _fit_chosen(
    networks: Sequence[MeasuredNetwork], names: tuple[str, ...], measured: Array, errors: Array
) -> Calibration:
    design = _design_matrix(networks, names)
    weights, covariance = _fit(design, measured)
    freedom = max(len(measured) - design.shape[1], 1)
    sums = [sum(entry.known_time.centre_us for entry in network.entries) for network in networks]
    return Calibration(
        features=names,
        slopes=tuple(float(w) for w in weights[1:]),
        intercept_us=float(weights[0]),
        covariance=tuple(tuple(float(c) for c in row) for row in covariance),
        networks=len(networks),
        relative_residual=float(np.sqrt((errors**2).mean())),
        interval_factor=float(scipy_stats.t.ppf(0.975, freedom)),
        cross_validated_mape=float(np.abs(errors).mean()),
        raw_sum_mape=float(np.abs(np.array(sums) / measured - 1).mean()),
        method=(
            "least squares of relative errors; features chosen among "
            f"{len(CANDIDATES)} sets by {_REPEATS} x {_FOLDS}-fold cross-validation"
        ),
    )


def _design_matrix(networks: Sequence[MeasuredNetwork], names: Sequence[str]) -> Array:
    return np.array([[1.0, *network.features(names)] for network in networks])


def _fit(design: Array, measured: Array) -> tuple[Array, Array]:
    """Least squares of relative errors; weights and their covariance."""
    scaled = design / measured[:, None]
    size = np.abs(scaled).mean(axis=0)
    size[size == 0] = 1.0
    normal = scaled / size
    inverse = np.linalg.pinv(normal.T @ normal, rcond=1e-8)
    weights = inverse @ normal.T @ np.ones(len(measured))
    residual = normal @ weights - 1
    freedom = max(len(measured) - design.shape[1], 1)
    covariance = inverse * float(residual @ residual) / freedom
    return weights / size, covariance / np.outer(size, size)


def _cross_validate(design: Array, measured: Array, seed: int) -> Array:
    """Relative errors of held-out networks: networks x repeats."""
    generator = np.random.default_rng(seed)
    errors = np.empty((len(measured), _REPEATS))
    for repeat in range(_REPEATS):
        order = generator.permutation(len(measured))
        for fold in np.array_split(order, min(_FOLDS, len(measured))):
            fitted = np.setdiff1d(order, fold)
            weights, _ = _fit(design[fitted], measured[fitted])
            errors[fold, repeat] = design[fold] @ weights / measured[fold] - 1
    return errors


def examine(
    networks: Sequence[MeasuredNetwork],
    calibration: Calibration,
    *,
    bar_mape: float,
    bar_spearman: float,
    seed: int,
) -> tuple[Exam, pd.DataFrame]:
    """Compare held-out networks with the model; the verdict, and a row a network.

    Args:
        networks: Other networks than the model was calibrated on.
        calibration: The model.
        bar_mape: Largest mean relative error that passes.
        bar_spearman: Smallest rank correlation that passes.
        seed: For the scores' bootstrap intervals.
    """
    estimates = [network.estimate(calibration) for network in networks]
    predicted = np.array([estimate.value_us for estimate in estimates])
    measured = np.array([network.measured_us for network in networks])
    rows = [
        (network.name, estimate.value_us, estimate.low_us, estimate.high_us, network.measured_us)
        for network, estimate in zip(networks, estimates, strict=True)
    ]
    inside = np.array([low <= time <= high for _, _, low, high, time in rows])
    scores = {
        name: _score(statistic, predicted, measured, seed) for name, statistic in STATISTICS.items()
    }
    passed = scores["mape"].value <= bar_mape and scores["spearman"].value >= bar_spearman
    exam = Exam(
        networks=len(networks),
        max_relative_error=float(np.abs(predicted / measured - 1).max()),
        interval_coverage=float(inside.mean()),
        bar_mape=bar_mape,
        bar_spearman=bar_spearman,
        passed=bool(passed),
        **scores,
    )
    return exam, pd.DataFrame(rows, columns=list(EXAM_COLUMNS))


def _score(statistic: Statistic, predicted: Array, measured: Array, seed: int) -> Score:
    value, low, high = bootstrap_interval(statistic, predicted, measured, seed=seed)
    return Score(value=value, low=low, high=high)


def _mape(predicted: Array, measured: Array) -> float:
    return float(np.abs(predicted / measured - 1).mean())


def _rmse(predicted: Array, measured: Array) -> float:
    return float(np.sqrt(((predicted - measured) ** 2).mean()))


def _within(share: float) -> Statistic:
    return lambda predicted, measured: float((np.abs(predicted / measured - 1) <= share).mean())


def _spearman(predicted: Array, measured: Array) -> float:
    """Rank correlation; 0 where there is none, of two networks or of equal times."""
    if len(measured) < 3 or min(np.ptp(predicted), np.ptp(measured)) == 0:
        return 0.0
    return float(scipy_stats.spearmanr(measured, predicted).statistic)


STATISTICS: dict[str, Statistic] = {
    "mape": _mape,
    "rmse_us": _rmse,
    "within_5_percent": _within(0.05),
    "within_10_percent": _within(0.10),
    "spearman": _spearman,
}


def bootstrap_interval(
    statistic: Statistic,
    predicted: Array,
    measured: Array,
    *,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 1000,
) -> tuple[float, float, float]:
    """A statistic of paired values, and its percentile bootstrap interval over networks."""
    generator = np.random.default_rng(seed)
    value = statistic(predicted, measured)
    samples = generator.integers(len(measured), size=(draws, len(measured)))
    values = np.array([statistic(predicted[sample], measured[sample]) for sample in samples])
    values = values[np.isfinite(values)]
    if not len(values):
        return value, value, value
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail])
    return value, float(low), float(high)
