"""Hyperparameters of FBNetV2's search: FBNet's, and how resolutions are mixed."""

from dataclasses import dataclass

from search.algorithms.fbnet.recipe import FBNetRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class FBNetV2Recipe(FBNetRecipe):
    """Hyperparameters of FBNetV2 (arXiv 2004.05565, section 4.1): FBNet's, and one more.

    Attributes:
        scattered: Mix resolutions map by map, as the paper draws it, instead
            of running each through the whole network (`search.supernets.masked`).
    """

    scattered: bool = False
