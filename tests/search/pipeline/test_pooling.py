"""Scores moved towards what candidates of one name are worth in all layers."""

import math

import numpy as np
import pytest

from search.pipeline.networks.pooling import pool
from search.pipeline.supernet_scores import draw_balanced, fit_additive_scores
from search.spaces.base import LayeredSpace

NAMES = [["skip", "k3", "k5"]] * 8
TRUE = np.array([-1.0, 0.4, 0.6])


def _noisy(seed: int) -> np.ndarray:
    return TRUE + np.random.default_rng(seed).normal(0, 0.8, (8, 3))


def _error(values: np.ndarray) -> float:
    centred = values - values.mean(axis=1, keepdims=True)
    return float(((centred - TRUE) ** 2).mean())


def test_pooling_takes_out_luck_that_layers_do_not_share() -> None:
    for seed in range(5):
        noisy = _noisy(seed)
        assert _error(pool(noisy, NAMES, 0.8)) < 0.4 * _error(noisy)


def test_without_a_share_the_scores_stay_and_at_one_equal_names_differ_by_layers_alone() -> None:
    noisy = _noisy(0)
    assert pool(noisy, NAMES, 0.0) is noisy
    whole = pool(noisy, NAMES, 1.0)
    assert np.ptp(whole - whole.mean(axis=1, keepdims=True), axis=0) == pytest.approx(0, abs=1e-12)
    assert whole.mean(axis=1) == pytest.approx(noisy.mean(axis=1))
    half = pool(noisy, NAMES, 0.5)
    assert half == pytest.approx((noisy + whole) / 2)


def test_a_name_of_one_layer_alone_keeps_its_distance_and_missing_candidates_stay_missing() -> None:
    names = [["a", "b"], ["a", "b"], ["a", "b", "only"]]
    values = np.array([[0.0, 1.0, -math.inf], [0.0, 3.0, -math.inf], [0.0, 2.0, 7.0]])
    pooled = pool(values, names, 1.0)
    assert (pooled == -math.inf).tolist() == (values == -math.inf).tolist()
    # b is worth 2 more than a in the mean of the layers that have both.
    assert pooled[:, 1] - pooled[:, 0] == pytest.approx([2.0, 2.0, 2.0])
    assert pooled[2, 2] == pytest.approx(7.0)


def test_judged_scores_are_pooled_where_that_is_asked(mini: LayeredSpace) -> None:
    widths = [len(layer.choices) for layer in mini.layers]
    networks = draw_balanced(widths, 120, 0)
    generator = np.random.default_rng(1)
    entropies = generator.normal(2.0, 0.1, len(networks))
    plain, pooled = (
        fit_additive_scores(networks, entropies, mini, "made up", share).scores.values
        for share in (0.0, 0.9)
    )
    names = [[choice.name for choice in layer.choices] for layer in mini.layers]
    assert np.nan_to_num(pooled, neginf=0.0) == pytest.approx(
        np.nan_to_num(pool(plain, names, 0.9), neginf=0.0)
    )
    assert (np.nanstd(np.where(np.isfinite(pooled), pooled, np.nan), axis=0)).max() < (
        np.nanstd(np.where(np.isfinite(plain), plain, np.nan), axis=0)
    ).max()
