"""Counts and shapes against the modules that are trained, timed and shipped."""

from typing import Any

import pytest

from search.operators.counts import count
from search.operators.spec import OperatorSpec, parse_key
from search.spaces.registry import make_space

torch = pytest.importorskip("torch", reason="modules are torch modules")
blocks = pytest.importorskip("search.operators.modules", reason="modules are torch modules")

_SAMPLE = (
    "ir_k3_e1_m16_g1_relu_i16_o16_h8_w8_s1_r1_p0_b1_fp32",
    "ir_k3_e1_m16_g1_relu_i16_o16_h8_w8_s1_r1_p1_b1_fp32",
    "ir_k5_e1_m16_g2_relu_i16_o24_h9_w7_s2_r0_p0_b1_fp32",
    "ir_k5_e1_m16_g2_relu_i16_o16_h8_w8_s1_r0_p1_b1_fp32",
    "ir_k7_e6_m48_g1_relu6_i8_o12_h13_w13_s2_r0_p1_b1_fp32",
    "ir_k3_e2.5_m20_g1_swish_i8_o8_h5_w5_s1_r1_p1_b2_fp32",
    "ir_k3_e3_m24_g1_se6-hsigmoid_hswish_i8_o10_h6_w6_s3_r0_p1_b1_fp32",
    "ir_k5_e4_m32_g4_se8-sigmoid_hswish6_i8_o8_h4_w4_s1_r1_p1_b3_fp32",
    "ir_k3_e3_m24_g1_sa2-6_swish_i8_o10_h7_w7_s2_r0_p1_b1_fp32",
    "ir_k5_e4_m32_g4_sa4-8_relu_i8_o8_h4_w4_s1_r1_p1_b2_fp32",
    "ir_k3_e1_m8_g1_se2-sigmoid_none_i8_o8_h4_w4_s1_r1_p0_b1_fp32",
    "ir_k3_e2_m16_g1_dw-2_relu_i8_o12_h9_w7_s2_r0_p1_b1_fp32",
    "ir_k5_e1_m8_g1_dw-3_se2-sigmoid_relu_i8_o8_h6_w6_s1_r1_p0_b2_fp32",
    "uib_d3_k5_e4_m32_relu_i8_o12_h9_w7_s2_r0_b1_fp32",
    "uib_d5_k0_e2_m16_relu_i8_o12_h9_w7_s2_r0_b1_fp32",
    "uib_d0_k3_e2_m16_swish_i8_o8_h6_w6_s1_r1_b2_fp32",
    "uib_d0_k0_e4_m32_relu_i8_o8_h6_w6_s1_r1_b1_fp32",
    "conv_k3_g1_relu_i3_o16_h15_w11_s2_b1_fp32",
    "conv_k1_g2_hswish_i16_o32_h4_w4_s1_b2_fp32",
    "conv_k5_g1_none_i3_o7_h10_w10_s3_b1_fp32",
    "classifier_i24_o10_h4_w4_b1_fp32",
    "classifier_i24_o10_h1_w3_b2_fp32",
    "classifier_m12-hswish_i24_o10_h4_w4_b1_fp32",
    "classifier_m12-none_i24_o10_h4_w4_b2_fp32",
    "skip_i12_h6_w6_b1_fp32",
    "empty_b1_fp32",
)
_MINI = tuple(make_space("fbnet-mini", width=0.25).operators)


def _forward(spec: OperatorSpec) -> tuple[Any, int]:
    """The output's shape, and the multiply-adds seen by hooks."""
    module, seen = blocks.build_operator(spec).eval(), []

    def hook(layer: Any, _: Any, output: Any) -> None:
        pixels = output.shape[2] * output.shape[3] if output.dim() == 4 else 1
        seen.append(layer.weight.numel() * pixels * output.shape[0])

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(hook)
    with torch.inference_mode():
        return tuple(module(blocks.example_input([spec])).shape), sum(seen)


@pytest.mark.parametrize("spec", [*map(parse_key, _SAMPLE), *_MINI[::5]], ids=str)
def test_a_module_has_the_counted_parameters_flops_and_output_shape(spec: OperatorSpec) -> None:
    parameters = sum(p.numel() for p in blocks.build_operator(spec).parameters())
    shape, flops = _forward(spec)
    counts = count(spec)
    assert (parameters, flops) == (counts.params, counts.flops)
    if spec.kind == "classifier":
        assert shape == (spec.batch, spec.out_channels)
    elif spec.kind in ("skip", "empty"):
        assert shape == spec.input_shape
    else:
        assert shape == (spec.batch, spec.out_channels, spec.out_height, spec.out_width)


def test_a_whole_network_has_the_parameters_of_its_operators() -> None:
    space = make_space("fbnet-mini", width=0.25)
    choices = ["skip" if layer.choices[-1].is_skip else "k5_e3" for layer in space.layers]
    architecture = space.architecture(choices)
    network = blocks.build_network(architecture.operators).eval()
    assert len(network) == len(architecture.operators)
    assert sum(p.numel() for p in network.parameters()) == architecture.params
    with torch.inference_mode():
        scores = network(blocks.example_input(architecture.operators))
    assert tuple(scores.shape) == (1, architecture.classes)
