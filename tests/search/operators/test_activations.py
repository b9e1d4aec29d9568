"""Activations that decide a network's peak memory, against counts by hand."""

from collections.abc import Callable

import pytest

from search.operators.activations import chained_bytes, live_bytes
from search.operators.spec import OperatorSpec, parse_key

_MAP = 4 * 16 * 112 * 112  # bytes of 16 channels on 112 x 112 pixels


@pytest.mark.parametrize(
    ("key", "maps"),
    [
        # Two middle tensors of six times the channels, and the input kept for the residual.
        ("ir_k3_e6_m96_g1_relu_i16_o16_h112_w112_s1_r1_p1_b1_fp32", 13),
        # Without a residual the input is gone when the depthwise convolution runs.
        ("ir_k3_e6_m96_g1_relu_i16_o24_h112_w112_s2_r0_p1_b1_fp32", 7.5),
        ("ir_k3_e1_m16_g1_relu_i16_o16_h112_w112_s1_r1_p1_b1_fp32", 3),
        ("conv_k3_g1_relu_i3_o16_h224_w224_s2_b1_fp32", 0.75 + 1),
        ("skip_i16_h112_w112_b1_fp32", 0),
    ],
)
def test_the_most_that_is_alive_at_one_time_is_input_output_and_what_is_kept(
    key: str, maps: float
) -> None:
    assert live_bytes(parse_key(key)) == maps * _MAP


def test_a_classifier_holds_its_input_and_the_pooled_channels() -> None:
    classifier = parse_key("classifier_i1984_o1000_h7_w7_b1_fp32")
    assert live_bytes(classifier) == 4 * (1984 * 49 + 1984)


@pytest.mark.parametrize(
    ("key", "maps"),
    [
        ("ir_k3_e1_m16_g1_relu_i16_o16_h112_w112_s1_r1_p1_b1_fp32", 3),
        # The shuffle between the groups writes the first tensor three times more.
        ("ir_k3_e1_m16_g2_relu_i16_o16_h112_w112_s1_r1_p1_b1_fp32", 6),
        # What is larger than the tensor before it begins a stack of its own.
        ("ir_k3_e6_m96_g1_relu_i16_o16_h112_w112_s1_r1_p1_b1_fp32", 0),
        ("skip_i16_h112_w112_b1_fp32", 0),
    ],
)
def test_tensors_count_as_chained_until_one_is_larger_than_the_one_before(
    key: str, maps: float
) -> None:
    assert chained_bytes(parse_key(key)) == maps * _MAP


@pytest.mark.parametrize("count", [live_bytes, chained_bytes])
def test_activations_grow_with_the_batch_and_shrink_with_the_number_format(
    count: Callable[[OperatorSpec], int],
) -> None:
    one = parse_key("ir_k3_e1_m16_g2_relu_i16_o16_h112_w112_s1_r1_p1_b1_fp32")
    four = parse_key("ir_k3_e1_m16_g2_relu_i16_o16_h112_w112_s1_r1_p1_b4_fp32")
    assert count(four) == 4 * count(one)
    assert count(one) == 4 * count(one.with_dtype("int8"))
