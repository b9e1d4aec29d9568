"""A Gaussian linear mixed model in its dual form, with errors of left-out observations.

Rasmussen and Williams, Gaussian Processes for Machine Learning, section 2.1; the noise is that
of the highest leave-one-out predictive density (equations 5.10 to 5.12 there).
"""

from dataclasses import dataclass

import numpy as np

from profiler.analysis.arrays import Array

_NOISES = tuple(np.geomspace(3e-4, 0.05, 12).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Posterior means of the weights (F,), and what they are worth.

    `errors` (N,) are predicted less measured, of each observation from the others; `density` is
    the logarithm of the predictive density of all, each left out once.
    """

    density: float
    weights: Array
    errors: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedModel:
    """Observations of the value 1 by a design (N, F), whose weights have prior means and variances.

    Rows are divided by what was observed, so that errors are relative.
    """

    design: Array
    means: Array
    variances: Array

    def solve(self) -> Solution:
        """The solution at the best noise."""
        return max(map(self._at_noise, _NOISES), key=lambda solution: solution.density)

    def _at_noise(self, noise: float) -> Solution:
        target = 1 - self.design @ self.means
        spread = (self.design * self.variances) @ self.design.T
        inverse = np.linalg.inv(spread + noise**2 * np.eye(len(target)))
        solved = inverse @ target
        left_out = 1 / np.diag(inverse)
        errors = solved * left_out  # measured less predicted, over measured
        density = -0.5 * float((np.log(left_out) + errors**2 / left_out).sum())
        weights: Array = self.means + self.variances * (self.design.T @ solved)
        return Solution(density=density, weights=weights, errors=-errors)

    def extended(self, columns: Array, deviation: float) -> "MixedModel":
        """The model with more columns (N, M), whose weights have mean 0 and one deviation."""
        more = columns.shape[1]
        return MixedModel(
            design=np.hstack([self.design, columns]),
            means=np.concatenate([self.means, np.zeros(more)]),
            variances=np.concatenate([self.variances, np.full(more, deviation**2)]),
        )
