"""A Gaussian process over operators: log times less their analytic base, with deviations.

A Matern kernel (Rasmussen and Williams, Gaussian Processes for Machine Learning,
2006, chapters 2, 4 and 5). With many measured operators every descriptor has a
length scale of its own, found on a part of them.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.analysis.arrays import Array, Indices

# From so many operators on, descriptors have length scales of their own.
MANY = 150
_MOST_FITTED = 400  # operators that the kernel's parameters are found on
_CHUNK = 4096
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process; `kernel` can be reused to fit another one."""

    kernel: Any
    regressor: Any

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and deviation at each point."""
        parts = [
            self.regressor.predict(points[start : start + _CHUNK], return_std=True)
            for start in range(0, len(points), _CHUNK)
        ]
        mean, deviation = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return mean, np.maximum(deviation, _LEAST_DEVIATION)


def fit_kernel(points: Array, target: Array) -> Any:
    """The kernel whose parameters suit these values best (marginal likelihood)."""
    some = _subset(len(points))
    regressor = _regressor(_kernel(points[some]), "fmin_l_bfgs_b")
    return _fit(regressor, points[some], target[some]).kernel_


def fit_process(points: Array, target: Array, kernel: Any) -> GaussianProcess:
    """A process with this kernel, whose parameters are not fitted again."""
    return GaussianProcess(kernel=kernel, regressor=_fit(_regressor(kernel, None), points, target))


def _subset(number: int) -> Indices:
    """All of so many points, or a random part."""
    if number <= _MOST_FITTED:
        return np.arange(number)
    return np.random.default_rng(0).permutation(number)[:_MOST_FITTED]


def _kernel(points: Array) -> Any:
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    scales: Any = 3.0 if len(points) < MANY else np.full(points.shape[1], 3.0)
    smooth = Matern(length_scale=scales, length_scale_bounds=(0.5, 50), nu=2.5)
    noise = WhiteKernel(noise_level=1e-3, noise_level_bounds=(1e-5, 0.1))
    return ConstantKernel(0.1, (1e-4, 10)) * smooth + noise


def _regressor(kernel: Any, optimiser: str | None) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor

    return GaussianProcessRegressor(kernel, optimizer=optimiser, random_state=0)


def _fit(regressor: Any, points: Array, target: Array) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A length scale at its bound is a legitimate answer here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return regressor.fit(points, target)
