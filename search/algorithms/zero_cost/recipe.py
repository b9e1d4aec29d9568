"""Settings of a selection by a score that needs no training."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from search.errors import UsageError
from search.recipes.document import Recipe
from search.recipes.keys import Count, build, check_fields

ZERO_COST = "zero-cost"
ZICO = "zico"
# The scores that are counts: the most of them within the target.
COUNTS = ("params", "flops")
SCORES = (ZICO, *COUNTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCostRecipe:
    """How networks are scored without training.

    Attributes:
        score: `zico`, or `params` or `flops`: the more, the better.
        networks: How many networks `zico` is computed for.
        batches: Batches of images that the gradients of `zico` come from.
        batch: Images in each.

    Raises:
        UsageError: A value is out of range.
    """

    score: str = ZICO
    networks: Count = 100
    batches: Annotated[int, Field(ge=2, le=1000)] = 2
    batch: Annotated[int, Field(ge=2, le=10**6)] = 64

    def __post_init__(self) -> None:
        check_fields(self)
        if self.score not in SCORES:
            raise UsageError(f"Unknown score {self.score!r}.", f"Known: {', '.join(SCORES)}.")

    @property
    def counts(self) -> bool:
        """True for a score that is counted, and so needs no images."""
        return self.score in COUNTS


def zero_cost_recipe(
    recipe: Recipe, *, networks: int | None = None, batch: int | None = None
) -> ZeroCostRecipe:
    """The settings of a recipe; values that are given replace the file's.

    Raises:
        UsageError: Values are out of range.
    """
    changes = {"networks": networks, "batch": batch}
    return build(ZeroCostRecipe, recipe.tables.get(ZERO_COST, {}), ZERO_COST, changes)
