"""All that a categorical search learns: shared weights and a distribution, of two forms."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from search.algorithms.expected_cost import expected_cost_of
from search.algorithms.fp_nas.factored import FactoredLogits
from search.costs.base import Costs
from search.operators.modules import build_operator
from search.spaces.base import SearchSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.supernets.base import Build, legal_mask
from search.supernets.mixture import MixtureSupernet
from search.supernets.sliced import SlicedSupernet


def shared_weights(
    space: SearchSpace, *, build: Build = build_operator, recompute: bool = False
) -> MixtureSupernet | SlicedSupernet:
    """The weights that all networks of a space share, fit to its kind."""
    if isinstance(space, SlicedSpace):
        return SlicedSupernet(space, recompute=recompute)
    return MixtureSupernet(space, build=build, recompute=recompute)


def combinations_of(space: SearchSpace, legal: Tensor) -> Tensor:
    """(layers, widest) float64 numbers of combinations that the candidates stand for."""
    times = torch.ones(legal.shape, dtype=torch.float64)
    if isinstance(space, SlicedSpace):
        for row, numbers in zip(times, space.times, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
    return times


class CategoricalModule(nn.Module):
    """All that the search learns: supernet, distribution, weight of the cost.

    Attributes:
        supernet: The shared weights.
        factors: The distribution while it is factorised.
        theta: (layers, widest) logits of the joint distribution.
        is_joint: Which of the two holds; a buffer, so that checkpoints hold it.
        beta: Weight of the cost.
        drawn: Networks drawn so far.
        ran: Networks run so far: equal ones of a step run once.
    """

    legal: Tensor
    log_times: Tensor
    is_joint: Tensor
    beta: Tensor
    drawn: Tensor
    ran: Tensor

    def __init__(
        self,
        space: SearchSpace,
        costs: Costs,
        *,
        beta: float,
        joint: bool,
        build: Build,
        recompute: bool,
    ) -> None:
        super().__init__()
        self.supernet = shared_weights(space, build=build, recompute=recompute)
        self.factors = FactoredLogits(space)
        legal = legal_mask(space)
        # One candidate for many combinations has the share of all of them, and their entropy.
        times = combinations_of(space, legal)
        self.theta = nn.Parameter(times.log().float())
        self.register_buffer("log_times", times.log(), persistent=False)
        self.costs = expected_cost_of(costs)
        self.register_buffer("legal", legal, persistent=False)
        self.register_buffer("is_joint", torch.tensor(joint))
        self.register_buffer("beta", torch.tensor(beta))
        self.register_buffer("drawn", torch.tensor(0, dtype=torch.int64))
        self.register_buffer("ran", torch.tensor(0, dtype=torch.int64))

    @property
    def logits(self) -> Tensor:
        """(layers, widest) logits of the distribution that holds, -inf where not legal."""
        if not bool(self.is_joint):
            logits: Tensor = self.factors()
            return logits
        return self.theta.masked_fill(~self.legal, -math.inf)

    def nats(self, probabilities: Tensor) -> float:
        """Entropy over all layers, each combination of a candidate's variables counted apart."""
        times = self.log_times.to(probabilities)
        return float(torch.special.entr(probabilities).sum() + (probabilities * times).sum())

    @torch.no_grad()
    def join(self) -> None:
        """Make the distribution joint, its probabilities unchanged (equation 5); once."""
        if not bool(self.is_joint):
            self.theta.copy_(self.factors().masked_fill(~self.legal, 0.0))
            self.is_joint.fill_(True)

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """As `MixtureSupernet.forward`."""
        logits: Tensor = self.supernet(images, weights)
        return logits

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `MixtureSupernet.compile`."""
        self.supernet.compile(*args, **kwargs)
