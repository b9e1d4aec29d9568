"""FBNetV2's search (arXiv 2004.05565): DMaskingNAS, FBNet's loop over masked variables.

Schedule, Gumbel softmax and losses are FBNet's; what is chosen are widths,
expansions, kinds of blocks and the input's resolution. The paper gives no
form of the cost term: ours is FBNet's product, or the excess over a target,
over latency by a table, FLOPs or parameters, each the exact mean of the
distribution (`ExpectedFactorCosts`). The result is the argmax of every variable, as
absolute channels; with a target, a selection of high probability within it.
"""

from typing import cast

from search.algorithms.expected_cost import ExpectedFactorCosts
from search.algorithms.fbnet.search import FBNetModule, FBNetSearch
from search.algorithms.fbnetv2.recipe import FBNetV2Recipe
from search.costs.matrix import CostMatrix
from search.costs.terms import FactorCosts
from search.errors import UsageError
from search.spaces.base import SearchSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.supernets.base import Build, legal_mask
from search.supernets.masked import MaskedSupernet


class FBNetV2Search(FBNetSearch):
    """DMaskingNAS; a `Searching` whose choices are options of variables.

    Args and errors as `FBNetSearch`, over a `MaskedSpace` and its `FactorCosts`.
    """

    name = "fbnetv2"

    def require(self, space: SearchSpace, costs: CostMatrix) -> None:
        """Refuse other spaces than masked ones.

        Raises:
            UsageError: The space's layers are independent.
        """
        if not isinstance(space, MaskedSpace) or not isinstance(costs, FactorCosts):
            raise UsageError(
                f"--algorithm fbnetv2 does not search {space.spec}.",
                "Measure a table of its own space: --space fbnetv2-mini.",
            )

    def make_module(
        self,
        space: SearchSpace,
        costs: CostMatrix,
        build: Build,  # noqa: ARG002
        checkpoint: bool,
    ) -> FBNetModule:
        """All that is learnt, with fresh weights."""
        scattered = isinstance(self.recipe, FBNetV2Recipe) and self.recipe.scattered
        supernet = MaskedSupernet(
            cast(MaskedSpace, space), checkpoint=checkpoint, scattered=scattered
        )
        latency = ExpectedFactorCosts(cast(FactorCosts, costs))
        return FBNetModule(legal_mask(space), supernet, latency, multiplier=self.recipe.multiplier)
