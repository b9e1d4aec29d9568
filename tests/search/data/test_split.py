"""Splits are disjoint, cover everything, keep the classes' shares and obey the seed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.split import split_indices, stratified_subset
from search.errors import UsageError

LABELS = st.lists(st.integers(0, 6), min_size=0, max_size=120).map(
    lambda values: torch.tensor(values, dtype=torch.int64)
)
SHARES = st.sampled_from([(1.0,), (0.8, 0.2), (0.5, 0.5), (0.1, 0.9), (0.6, 0.3, 0.1)])


@settings(max_examples=60, deadline=None)
@given(LABELS, SHARES, st.integers(0, 5))
def test_splits_are_disjoint_sorted_and_cover_all(
    labels: torch.Tensor, shares: tuple[float, ...], seed: int
) -> None:
    parts = split_indices(labels, shares, seed)
    assert len(parts) == len(shares)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))
    assert all(part.dtype == torch.int64 for part in parts)
    assert all(part.tolist() == sorted(part.tolist()) for part in parts)


@settings(max_examples=60, deadline=None)
@given(LABELS, SHARES, st.integers(0, 5))
def test_every_class_is_spread_by_the_shares_to_the_nearest_images(
    labels: torch.Tensor, shares: tuple[float, ...], seed: int
) -> None:
    for share, part in zip(shares, split_indices(labels, shares, seed), strict=True):
        for label in labels.unique().tolist():
            size, got = int((labels == label).sum()), int((labels[part] == label).sum())
            assert abs(got - share * size) < len(shares)
            assert got >= 1 or size < len(shares)


def test_a_split_depends_on_the_seed_and_on_nothing_else() -> None:
    labels = torch.arange(200) % 7
    first, again = (split_indices(labels, (0.8, 0.2), 3) for _ in range(2))
    other = split_indices(labels, (0.8, 0.2), 4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert [len(part) for part in first] == [160, 40]


@pytest.mark.parametrize("shares", [(), (0.5,), (0.5, 0.6), (1.2, -0.2), (1.0, 0.0)])
def test_shares_that_divide_nothing_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="do not divide"):
        split_indices(torch.zeros(4, dtype=torch.int64), shares, 0)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 130), st.integers(0, 3))
def test_a_limited_subset_has_that_many_images_and_every_class(
    labels: torch.Tensor, number: int, seed: int
) -> None:
    classes = labels.unique()
    if number < len(classes):
        with pytest.raises(UsageError, match="leaves some"):
            stratified_subset(labels, number, seed)
        return
    indices = stratified_subset(labels, number, seed)
    assert len(indices) == len(indices.unique()) == min(number, len(labels))
    assert torch.equal(labels[indices].unique(), classes)
    assert torch.equal(indices, stratified_subset(labels, number, seed))


def test_rare_classes_keep_one_image_at_the_cost_of_the_frequent() -> None:
    labels = torch.cat([torch.zeros(1000), torch.arange(1, 51)]).long()
    chosen = labels[stratified_subset(labels, 60, 0)]
    assert torch.bincount(chosen).tolist() == [10] + [1] * 50
