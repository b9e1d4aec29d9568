"""FLOPs, parameters and bytes, counted by hand."""

import pytest

from search.operators.counts import count
from search.operators.spec import parse_key

# 56x56 in, 28x28 out at stride 2.
_BIG, _OUT = 56 * 56, 28 * 28


@pytest.mark.parametrize(
    ("key", "flops", "params"),
    [
        (
            "ir_k3_e6_m144_g1_relu_i24_o32_h56_w56_s2_r0_p1_b1_fp32",
            24 * 144 * _BIG + 9 * 144 * _OUT + 144 * 32 * _OUT,
            24 * 144 + 9 * 144 + 144 * 32 + 2 * (144 + 144 + 32),
        ),
        (
            "ir_k5_e1_m24_g2_relu_i24_o24_h56_w56_s1_r1_p0_b1_fp32",
            25 * 24 * _BIG + 24 * 24 // 2 * _BIG,
            25 * 24 + 24 * 24 // 2 + 2 * (24 + 24),
        ),
        (
            "ir_k5_e1_m24_g2_relu_i24_o24_h56_w56_s1_r1_p1_b1_fp32",
            25 * 24 * _BIG + 2 * (24 * 24 // 2) * _BIG,
            25 * 24 + 2 * (24 * 24 // 2) + 2 * (24 + 24 + 24),
        ),
        (
            "ir_k3_e2_m8_g1_se2-hsigmoid_hswish_i4_o4_h3_w5_s1_r1_p1_b1_fp32",
            4 * 8 * 15 + 9 * 8 * 15 + 8 * 4 * 15 + 2 * 8 * 2,
            4 * 8 + 9 * 8 + 8 * 4 + 2 * (8 + 8 + 4) + 2 * 8 * 2 + 2 + 8,
        ),
        (
            "conv_k3_g1_relu_i3_o16_h224_w224_s2_b1_fp32",
            27 * 16 * 112 * 112,
            27 * 16 + 2 * 16,
        ),
        (
            "classifier_i1984_o1000_h7_w7_b1_fp32",
            1984 * 1000,
            1984 * 1000 + 1000,
        ),
        (
            "classifier_m1984-hswish_i1344_o1000_h7_w7_b1_fp32",
            1344 * 1984 + 1984 * 1000,
            1344 * 1984 + 1984 * 1000 + 1000,
        ),
        ("skip_i24_h56_w56_b1_fp32", 0, 0),
        ("empty_b1_fp32", 0, 0),
    ],
)
def test_flops_and_parameters_are_those_counted_by_hand(key: str, flops: int, params: int) -> None:
    counts = count(parse_key(key))
    assert (counts.flops, counts.params) == (flops, params)


def test_an_odd_size_is_counted_at_its_rounded_up_output() -> None:
    counts = count(parse_key("conv_k3_g1_none_i2_o4_h7_w5_s2_b1_fp32"))
    assert counts.flops == 9 * 2 * 4 * (4 * 3)
    assert counts.output_bytes == 4 * 4 * (4 * 3)


@pytest.mark.parametrize(
    ("dtype", "value_bytes", "weight_bytes"), [("fp32", 4, 4), ("fp16", 2, 2), ("int8", 1, 1)]
)
def test_bytes_follow_the_number_format(dtype: str, value_bytes: int, weight_bytes: int) -> None:
    counts = count(parse_key(f"ir_k3_e3_m12_g1_relu_i4_o6_h8_w8_s2_r0_p1_b1_{dtype}"))
    assert counts.input_bytes == value_bytes * 4 * 64
    assert counts.middle_bytes == value_bytes * (12 * 64 + 12 * 16)
    assert counts.output_bytes == value_bytes * 6 * 16
    assert counts.weight_bytes == weight_bytes * counts.params


def test_weights_alone_are_small_in_the_weight_only_format() -> None:
    whole, weights = (
        count(parse_key(f"classifier_i64_o10_h7_w7_b1_{dtype}")) for dtype in ("fp16", "w8")
    )
    assert weights.weight_bytes == weights.params
    assert (weights.input_bytes, weights.output_bytes) == (whole.input_bytes, whole.output_bytes)


def test_a_batch_multiplies_work_and_data_but_not_parameters() -> None:
    one, four = (
        count(parse_key(f"ir_k3_e3_m12_g1_se4-sigmoid_relu_i4_o6_h8_w8_s2_r0_p1_b{batch}_fp32"))
        for batch in (1, 4)
    )
    assert (four.params, four.weight_bytes) == (one.params, one.weight_bytes)
    for name in ("flops", "input_bytes", "middle_bytes", "output_bytes"):
        assert getattr(four, name) == 4 * getattr(one, name)
