"""Scores of a search's candidates from networks judged with the weights that it trained."""

from collections.abc import Sequence

import numpy as np

from search.algorithms.recipe import SearchRecipe
from search.pipeline.networks.judging import Judge
from search.pipeline.supernet_scores import draw_balanced, fit_additive_scores, networks_for
from search.selection.scores import Scores
from search.spaces.base import LayeredSpace


def networks_to_judge(recipe: SearchRecipe, space: LayeredSpace) -> int:
    """How many networks a recipe has judged for its scores; 0 for none."""
    if not recipe.judges_networks:
        return 0
    return recipe.score_networks or networks_for(_widths(space))


def judged_scores(
    judge: Judge, space: LayeredSpace, recipe: SearchRecipe, seed: int, origin: str
) -> Scores:
    """An additive model of the cross entropies of networks drawn evenly over the space.

    What theta has learnt of a candidate comes from the mixtures or draws of the search's end; these
    scores ask the shared weights themselves, each candidate in equally many networks.

    Args:
        judge: With the trained weights.
        space: What to score.
        recipe: Says how many networks are judged, and how far scores are pooled.
        seed: Of the networks drawn.
        origin: Of the weights, as text.
    """
    number = networks_to_judge(recipe, space)
    networks = draw_balanced(_widths(space), number, seed)
    entropies = judge.entropies([tuple(row) for row in networks.tolist()])
    pooled = recipe.score_pooling
    return fit_additive_scores(networks, np.array(entropies), space, origin, pooled).scores


def _widths(space: LayeredSpace) -> Sequence[int]:
    return [len(layer.choices) for layer in space.layers]
