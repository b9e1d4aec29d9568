"""Peak memory of networks: a model fitted to some of them, and its exam on others.

A runtime's memory has two phases. While it loads, it holds the weights of the file and those that
it has packed for its kernels; while it runs, the packed ones and the region in which it computes.
Which one is the peak differs from network to network, so that the model is the larger of two
sums; where one phase is that of nearly all networks, a single sum is fitted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats
from scipy.optimize import nnls

from profiler.analysis.arrays import Array
from search.latency.peak_memory import MemoryFeatures, estimate_memory
from search.operators.spec import OperatorSpec
from search.table.memory import MemoryExam, MemoryModel, MemoryPiece

MIN_MEMORY_NETWORKS = 8
_FEATURES = ("weights", "chained", "live")
# A richer model must foretell left-out networks better by this.
_WORTH_IT = 0.97
_ROUNDS, _FEWEST_OF_A_PHASE = 20, 5
# Before anything is fitted: weights twice while loading, once while running, and the activations.
_LOADING = MemoryPiece(intercept_bytes=1e6, weights=2.0)
_STARTS = tuple(
    MemoryPiece(intercept_bytes=megabytes * 1e6, weights=1.0, chained=chained, live=1.0)
    for megabytes in (1.0, 2.5, 4.0)
    for chained in (0.5, 1.0)
)

Pieces = tuple[MemoryPiece, ...]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMeasured:
    """A network's operators, and the peak of its own memory in kilobytes."""

    operators: tuple[OperatorSpec, ...]
    memory_kb: float


@dataclass(frozen=True, slots=True)
class _Networks:
    """Their features, (networks, features) in bytes, and their peaks in bytes."""

    features: Array
    peaks: Array

    @classmethod
    def of(cls, networks: Sequence[MemoryMeasured]) -> "_Networks":
        every = [MemoryFeatures.of(network.operators) for network in networks]
        features = np.array([[one.weights, one.chained, one.live] for one in every])
        return cls(features, np.array([network.memory_kb * 1024.0 for network in networks]))

    def only(self, chosen: Mask) -> "_Networks":
        return _Networks(self.features[chosen], self.peaks[chosen])


def fit_memory(networks: Sequence[MemoryMeasured], runner_kb: int) -> MemoryModel | None:
    """Fit the model; None where there are fewer than `MIN_MEMORY_NETWORKS` networks.

    Of three forms the plainest one is taken that foretells left-out networks best.

    Args:
        networks: Measured alone, each in a fresh process.
        runner_kb: What the process takes without a network.
    """
    if len(networks) < MIN_MEMORY_NETWORKS:
        return None
    given = _Networks.of(networks)
    errors = [_left_out_errors(fit, given) for fit in _FORMS]
    means = [float(np.abs(error).mean()) for error in errors]
    chosen = 0
    for number in range(1, len(_FORMS)):
        if means[number] < _WORTH_IT * means[chosen]:
            chosen = number
    return MemoryModel(
        pieces=_FORMS[chosen](given),
        runner_kb=runner_kb,
        networks=len(networks),
        relative_residual=float(np.sqrt((errors[chosen] ** 2).mean())),
        interval_factor=float(scipy_stats.t.ppf(0.975, len(networks) - 1)),
        cross_validated_mape=means[chosen],
        method=f"non-negative least squares of relative errors; form {chosen + 1} of "
        f"{len(_FORMS)} by leave-one-out",
    )


def examine_memory(networks: Sequence[MemoryMeasured], model: MemoryModel) -> MemoryExam | None:
    """Compare other networks with the model; None without any."""
    if not networks:
        return None
    estimates = [estimate_memory(model, network.operators) for network in networks]
    measured = np.array([network.memory_kb for network in networks])
    errors = np.array([one.value_kb for one in estimates]) - measured
    pairs = zip(estimates, measured, strict=True)
    inside = [one.low_kb <= value <= one.high_kb for one, value in pairs]
    return MemoryExam(
        networks=len(networks),
        mape=float(np.abs(errors / measured).mean()),
        max_relative_error=float(np.abs(errors / measured).max()),
        mape_with_runner=float(np.abs(errors / (measured + model.runner_kb)).mean()),
        interval_coverage=float(np.mean(inside)),
    )


# --- forms --------------------------------------------------------------------------


def _one_piece(names: Sequence[str]) -> Callable[[_Networks], Pieces]:
    return lambda given: (_fitted(given, names),)


def _two_phases(given: _Networks) -> Pieces:
    """The larger of loading and running, each fitted to the networks whose peak it is.

    Alternately networks go to the phase that is higher and phases are fitted to theirs; of several
    beginnings the closest fit is taken. A single sum where a phase is that of too few networks.
    """
    found = [pieces for start in _STARTS if (pieces := _alternate(given, start))]
    if not found:
        return (_fitted(given, _FEATURES),)
    return min(found, key=lambda pieces: float((_errors(pieces, given) ** 2).mean()))


def _alternate(given: _Networks, running: MemoryPiece) -> Pieces | None:
    loading, of_loading = _LOADING, np.zeros(len(given.peaks), dtype=bool)
    for _ in range(_ROUNDS):
        before = of_loading
        of_loading = _values(loading, given) >= _values(running, given)
        if min(of_loading.sum(), (~of_loading).sum()) < _FEWEST_OF_A_PHASE:
            return None
        if (before == of_loading).all():
            break
        loading = _fitted(given.only(of_loading), ("weights",))
        running = _fitted(given.only(~of_loading), _FEATURES)
    return loading, running


_FORMS: tuple[Callable[[_Networks], Pieces], ...] = (
    _one_piece(("weights", "live")),
    _one_piece(_FEATURES),
    _two_phases,
)


def _fitted(given: _Networks, names: Sequence[str]) -> MemoryPiece:
    columns = [given.features[:, _FEATURES.index(name)] for name in names]
    ones = np.ones(len(given.peaks))
    # The intercept may have either sign, what a network adds may not.
    design = np.column_stack([ones, -ones, *columns])
    size = np.abs(design).mean(axis=0)
    size[size == 0] = 1.0
    weights, _ = nnls(design / size / given.peaks[:, None], ones)
    weights = weights / size
    return MemoryPiece(
        intercept_bytes=float(weights[0] - weights[1]),
        **{name: float(weight) for name, weight in zip(names, weights[2:], strict=True)},
    )


def _values(piece: MemoryPiece, given: _Networks) -> Array:
    slopes = np.array([getattr(piece, name) for name in _FEATURES])
    values: Array = piece.intercept_bytes + given.features @ slopes
    return values


def _errors(pieces: Pieces, given: _Networks) -> Array:
    """Relative errors of networks by the largest of the pieces."""
    values = np.max([_values(piece, given) for piece in pieces], axis=0)
    errors: Array = np.maximum(values, 0.0) / given.peaks - 1
    return errors


def _left_out_errors(fit: Callable[[_Networks], Pieces], given: _Networks) -> Array:
    """Relative errors of each network by a model of the others."""
    every = np.arange(len(given.peaks))
    each = [_errors(fit(given.only(every != one)), given.only(every == one))[0] for one in every]
    return np.array(each)
