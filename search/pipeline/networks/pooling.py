"""Partial pooling: what a candidate is worth in one layer, and what its like is worth in all.

Weights of a short search are noisy: each candidate of each layer has learnt by its own luck,
and however many networks are judged with the same weights, that luck stays. Candidates of one
name are one choice that many layers offer. Their mean over the layers has less of it, so scores are
moved towards that mean (James and Stein, 1961; Efron and Morris, JASA 68, 1973, for the estimator).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def pool(values: Array, names: Sequence[Sequence[str]], share: float) -> Array:
    """Scores moved towards the sum of a level of their layer and an effect of their name.

    Args:
        values: (layers, widest) scores, -inf where there is no candidate.
        names: Of each layer's candidates. A name that one layer alone has stays nearly as it is.
        share: 0 leaves the scores as they are; at 1 equal names differ by their layers' levels
            alone, which no selection sees.

    Returns:
        Scores of the same shape.
    """
    if not share:
        return values
    places = [(layer, number) for layer, row in enumerate(names) for number in range(len(row))]
    kinds = {name: at for at, name in enumerate(sorted({name for row in names for name in row}))}
    design = np.zeros((len(places), len(names) + len(kinds)))
    for at, (layer, number) in enumerate(places):
        design[at, [layer, len(names) + kinds[names[layer][number]]]] = 1.0
    rows, columns = np.array(places).T
    own = values[rows, columns]
    common = design @ np.linalg.lstsq(design, own, rcond=None)[0]
    pooled = values.copy()
    pooled[rows, columns] = (1 - share) * own + share * common
    return pooled
