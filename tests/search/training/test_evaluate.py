"""Intervals of accuracies."""

import pytest
from scipy.stats import binomtest

from search.training.evaluate import wilson_interval


@pytest.mark.parametrize(("hits", "number"), [(0, 10), (10, 10), (37, 50), (7_012, 10_000)])
def test_the_interval_is_wilsons(hits: int, number: int) -> None:
    wanted = binomtest(hits, number).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits / number, number) == pytest.approx(
        (wanted.low, wanted.high), abs=1e-5
    )
