"""Errors of outputs of any dtype."""

import numpy as np
import pytest

from deploy.models.difference import largest_difference, same_first, squares

ONE = np.array([[1.0, -4.0]], np.float32)


def test_floats_are_held_against_the_largest_magnitude_of_their_own_output() -> None:
    actual = [ONE + np.float32(0.04), np.array([100.0])]
    assert largest_difference(actual, [ONE, np.array([100.0])]) == pytest.approx(0.01, rel=1e-5)


def test_integers_and_booleans_are_counted() -> None:
    assert largest_difference([np.array([1, 2, 3, 4])], [np.array([1, 2, 3, 5])]) == 0.25
    assert largest_difference([np.array([True])], [np.array([False])]) == 1.0


def test_other_shapes_or_numbers_of_outputs_are_infinitely_wrong() -> None:
    assert largest_difference([ONE], [ONE[0]]) == float("inf")
    assert largest_difference([ONE], [ONE, ONE]) == float("inf")


def test_a_nan_that_only_one_side_has_is_infinitely_wrong() -> None:
    odd = np.array([np.nan, np.inf, 1.0])
    assert largest_difference([odd], [odd]) == 0.0
    assert largest_difference([odd], [np.array([0.0, np.inf, 1.0])]) == float("inf")
    assert largest_difference([np.array([0.0, np.inf, 1.0])], [odd]) == float("inf")


def test_squares_are_of_floats_alone() -> None:
    assert squares([ONE + 1, np.array([7])], [ONE, np.array([0])]) == pytest.approx((2.0, 17.0))


def test_the_first_output_decides_the_class() -> None:
    assert same_first([ONE], [ONE * 2])
    assert not same_first([-ONE], [ONE])
    assert not same_first([np.array([1])], [np.array([2])])
    assert same_first([], [])
