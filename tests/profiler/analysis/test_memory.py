"""The model of peak memory finds a known truth, and says how far it is off."""

import random

import pytest

from profiler.analysis.memory import (
    MIN_MEMORY_NETWORKS,
    MemoryMeasured,
    examine_memory,
    fit_memory,
)
from search.latency.peak_memory import MemoryFeatures
from search.spaces.registry import make_space

RUNNER_KB = 8000


def _networks(number: int, seed: int, noise: float = 0.0) -> list[MemoryMeasured]:
    """Networks whose peak is that of loading (weights twice) or of running, whichever is more."""
    space, draw = make_space("fbnet"), random.Random(seed)
    networks = []
    for count in range(number):
        operators = space.random_architecture(draw, f"n{count}").operators
        of = MemoryFeatures.of(operators)
        running = 3e6 + 1.1 * of.weights + of.live + 0.6 * of.chained
        peak = max(1e6 + 2 * of.weights, running) * (1 + draw.gauss(0, noise))
        networks.append(MemoryMeasured(operators=operators, memory_kb=peak / 1024))
    return networks


def test_two_phases_are_told_apart_where_both_are_the_peak_of_some_networks() -> None:
    model = fit_memory(_networks(40, 0), RUNNER_KB)
    assert model is not None
    loading, running = model.pieces
    assert loading.weights == pytest.approx(2, abs=0.01)
    assert loading.live == 0
    assert running.weights == pytest.approx(1.1, abs=0.05)
    assert running.live == pytest.approx(1, abs=0.05)
    exam = examine_memory(_networks(20, 1), model)
    assert exam is not None
    assert exam.max_relative_error < 0.01


def test_what_scatters_widens_the_interval_that_others_then_lie_in() -> None:
    model = fit_memory(_networks(40, 0, noise=0.03), RUNNER_KB)
    assert model is not None
    assert 0.02 < model.relative_residual < 0.05
    exam = examine_memory(_networks(40, 1, noise=0.03), model)
    assert exam is not None
    assert exam.interval_coverage > 0.85
    assert exam.mape_with_runner < exam.mape


def test_memory_never_falls_with_weights_or_activations_whatever_was_measured() -> None:
    upside_down = [
        MemoryMeasured(operators=one.operators, memory_kb=1e9 / one.memory_kb)
        for one in _networks(20, 0)
    ]
    model = fit_memory(upside_down + _networks(3, 5), RUNNER_KB)
    assert model is not None
    for piece in model.pieces:
        assert min(piece.weights, piece.live, piece.chained) >= 0


def test_a_few_networks_make_no_model() -> None:
    assert fit_memory(_networks(MIN_MEMORY_NETWORKS - 1, 0), RUNNER_KB) is None
