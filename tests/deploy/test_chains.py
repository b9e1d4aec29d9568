"""Chains: copies behind each other, restored to the shape they began with."""

import pytest

from deploy.artefact import Subject, digest
from deploy.chains import chain, chain_operators, keeps_shape, mirror, restoring
from search.counts import count
from search.errors import ExportError
from search.operators import parse_key

SAME = parse_key("ir_k3_e3_m48_g1_relu_i16_o16_h12_w12_s1_r1_p1_b1_fp16")
STRIDE = parse_key("ir_k3_e6_m96_g1_relu_i16_o24_h12_w12_s2_r0_p1_b1_fp16")
HEAD = parse_key("classifier_i64_o100_h3_w3_b1_fp16")
STEM = parse_key("conv_k3_g1_relu_i3_o16_h24_w24_s2_b1_fp16")
ODD = parse_key("ir_k3_e6_m96_g1_relu_i16_o24_h7_w7_s2_r0_p1_b1_fp16")


def test_an_operator_that_keeps_its_shape_needs_no_other() -> None:
    assert keeps_shape(SAME)
    assert restoring(SAME) is None
    assert mirror(SAME) is None
    assert chain_operators(SAME, 3) == (SAME,) * 3


@pytest.mark.parametrize("operator", [STRIDE, HEAD, STEM])
def test_a_restoring_operator_leads_back_to_the_input(operator: object) -> None:
    assert isinstance(operator, type(STRIDE))
    back = restoring(operator)
    assert back is not None
    convolution, scale = back
    assert convolution.out_channels == operator.in_channels
    assert convolution.out_height * scale == operator.height
    assert convolution.dtype == operator.dtype
    assert chain_operators(operator, 2) == (operator, convolution) * 2


@pytest.mark.parametrize("operator", [STRIDE, HEAD, STEM])
def test_the_mirror_does_the_same_work_the_other_way_round(operator: object) -> None:
    assert isinstance(operator, type(STRIDE))
    back, there = restoring(operator), mirror(operator)
    assert back is not None
    assert there is not None
    assert count(there).flops == count(back[0]).flops
    assert restoring(there) == back


def test_a_size_that_strides_do_not_divide_is_refused() -> None:
    with pytest.raises(ExportError, match="no multiple"):
        restoring(ODD)


def test_chains_of_other_lengths_are_other_artefacts() -> None:
    subjects = [Subject.of(SAME), chain(SAME, 1), chain(SAME, 4), chain(SAME, 16)]
    assert len({digest(subject, "coreml-fp16", {}) for subject in subjects}) == 4
    assert chain(SAME, 4).name == f"{SAME.key}*4"


class TestModules:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch", reason="modules are torch's")

    @pytest.mark.parametrize("operator", [SAME, STRIDE, HEAD, STEM])
    def test_copies_have_weights_of_their_own_and_the_shape_comes_back(
        self, operator: object
    ) -> None:
        import torch

        from deploy.chain_modules import chain_network
        from search.blocks import example_input

        assert isinstance(operator, type(STRIDE))
        x = example_input((operator,))
        network = chain_network(operator, 4)
        with torch.no_grad():
            assert network(x).shape == x.shape
        first = [p for p in network[0].parameters() if p.dim() > 1]
        second = [p for p in network[len(network) // 4].parameters() if p.dim() > 1]
        assert first
        assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    @pytest.mark.parametrize("operator", [SAME, STRIDE])
    def test_values_stay_within_16_bit_floats_and_do_not_die_out(self, operator: object) -> None:
        import torch

        from deploy.chain_modules import chain_network
        from search.blocks import example_input

        assert isinstance(operator, type(STRIDE))
        x = example_input((operator,))
        with torch.no_grad():
            for link in chain_network(operator, 16):
                x = link(x)
                assert 0.3 < float(x.std()) < 10
                assert float(x.abs().max()) < 1e3
