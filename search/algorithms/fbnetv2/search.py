"""FBNetV2's search (arXiv 2004.05565): DMaskingNAS, FBNet's loop over masked variables.

Schedule, Gumbel softmax and losses are FBNet's; what is chosen are widths,
expansions, kinds of blocks and the input's resolution. The paper gives no
form of the cost term: ours is FBNet's product, or the excess over a target,
of latency by a table, FLOPs or parameters, each the exact mean of the
distribution (`ExpectedFactorCosts`). The result is the argmax of every variable, as
absolute channels; with a target, a selection of high probability within it.
"""

from typing import cast

from torch import nn

from search.algorithms.fbnet.search import FBNetSearch
from search.algorithms.fbnetv2.recipe import FBNetV2Recipe
from search.costs.base import Costs
from search.costs.chain import ChainCosts
from search.costs.factors import FactorCosts
from search.costs.joint import JointCosts
from search.errors import UsageError
from search.operators.words import space_label
from search.spaces.base import SearchSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.supernets.base import Build
from search.supernets.masked import MaskedSupernet


class FBNetV2Search(FBNetSearch):
    """DMaskingNAS; a `SearchAlgorithm` whose choices are options of variables.

    Args and errors as `FBNetSearch`, over a `MaskedSpace` and its `FactorCosts`.
    """

    name = "fbnetv2"

    def require(self, space: SearchSpace, costs: Costs) -> None:
        """Refuse other spaces than masked ones.

        Raises:
            UsageError: The space's layers are independent.
        """
        limits = costs.limits if isinstance(costs, JointCosts) else ()
        parts = [limit.costs for limit in limits] or [costs]
        # A limit on the peak of memory is a chain of the same variables.
        factors = isinstance(parts[0], FactorCosts) and all(
            isinstance(part, FactorCosts | ChainCosts) for part in parts
        )
        if not isinstance(space, MaskedSpace) or not factors:
            raise UsageError(
                f"--algorithm fbnetv2 does not search {space_label(space.spec)}.",
                "Measure a table of its own space: --space fbnetv2-mini.",
            )

    def make_supernet(
        self,
        space: SearchSpace,
        build: Build,  # noqa: ARG002
        recompute: bool,
    ) -> nn.Module:
        """The shared weights, fresh."""
        scattered = isinstance(self.recipe, FBNetV2Recipe) and self.recipe.scattered
        return MaskedSupernet(cast(MaskedSpace, space), recompute=recompute, scattered=scattered)
