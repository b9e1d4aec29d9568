"""Importance weights of sampled networks, in log space.

FP-NAS (arXiv 2011.10949), section 3: with K networks A_k from P(A|alpha) and
p_k the likelihood of the batch under A_k, weights learn from
sum_k v_k grad CE(A_k) with v_k = p_k / sum p, and alpha from equation 7. The
likelihood of a whole batch is exp(-N CE): only its logarithm can be held.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# A network this much less likely adds exp(-40) = 4e-18 of the gradient: nothing.
_NEGLIGIBLE = 40.0


def alpha_weights(log_likelihoods: Tensor, excess: Tensor, beta: Tensor | float) -> Tensor:
    """m_k = p_k / sum p - beta C_k / sum C (equation 7), no gradient.

    Descending sum_k m_k * (-ln P(A_k)) raises likely networks and lowers
    costly ones. Where no network costs too much, 0 / 0 counts as 0.

    Args:
        log_likelihoods: (K,) ln p_k.
        excess: (K,) C_k = max(0, cost / target - 1).
        beta: Weight of the cost.
    """
    weights = log_likelihoods.detach().double().softmax(0)
    costs = excess.detach().to(weights)
    total = costs.sum()
    return weights - beta * costs / total if total > 0 else weights


class GradientMean:
    """The likelihood-weighted mean of gradients, one network in memory at a time.

    Likelihoods are unknown until the last network has run, so `.grad` holds
    the sum relative to the likeliest so far, and shrinks when a likelier one
    comes (as a streaming softmax does).
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._greatest, self._total = -math.inf, 0.0

    def add(self, loss: Tensor, log_likelihood: float) -> None:
        """Add the gradient of `loss` with the weight exp(log_likelihood)."""
        if not math.isfinite(log_likelihood):
            loss.backward()  # type: ignore[no-untyped-call]
            self._total = max(self._total, 1.0)
            return
        if log_likelihood > self._greatest:
            shrink = math.exp(self._greatest - log_likelihood)
            self._scale(shrink)
            self._total *= shrink
            self._greatest = log_likelihood
        if log_likelihood < self._greatest - _NEGLIGIBLE:
            return
        weight = math.exp(log_likelihood - self._greatest)
        self._total += weight
        (weight * loss).backward()  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Leave the mean in `.grad`."""
        self._scale(1 / self._total)

    @torch.no_grad()
    def _scale(self, factor: float) -> None:
        for parameter in self._parameters:
            if parameter.grad is not None and factor != 1:
                parameter.grad.mul_(factor)


def unique_rows(choices: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct networks and how often each was drawn; equal ones run once."""
    rows, counts = torch.unique(choices, dim=0, return_counts=True)
    return rows, counts
