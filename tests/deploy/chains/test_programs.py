"""Chains: copies behind each other, restored to the shape they began with."""

import pytest

from deploy.artefact import ExportSpec, digest
from deploy.chains.programs import (
    adapter_alone,
    adapter_stand_in,
    chain,
    keeps_shape,
    operator_alone,
    program_operators,
    shape_adapter,
    timed_programs,
)
from search.errors import ExportError
from search.operators.counts import count
from search.operators.spec import parse_key

SAME = parse_key("ir_k3_e3_m48_g1_relu_i16_o16_h12_w12_s1_r1_p1_b1_fp16")
STRIDE = parse_key("ir_k3_e6_m96_g1_relu_i16_o24_h12_w12_s2_r0_p1_b1_fp16")
HEAD = parse_key("classifier_i64_o100_h3_w3_b1_fp16")
STEM = parse_key("conv_k3_g1_relu_i3_o16_h24_w24_s2_b1_fp16")
ODD = parse_key("ir_k3_e6_m96_g1_relu_i16_o24_h7_w7_s2_r0_p1_b1_fp16")


def test_an_operator_that_keeps_its_shape_needs_no_other() -> None:
    assert keeps_shape(SAME)
    assert shape_adapter(SAME) is None
    assert adapter_stand_in(SAME) is None
    assert program_operators(chain(SAME, 3)) == (SAME,) * 3
    assert timed_programs(SAME, (1, 4)) == (chain(SAME, 1), chain(SAME, 4))


@pytest.mark.parametrize("operator", [STRIDE, HEAD, STEM])
def test_a_restoring_operator_leads_back_to_the_input(operator: object) -> None:
    assert isinstance(operator, type(STRIDE))
    back = shape_adapter(operator)
    assert back is not None
    convolution, scale = back
    assert convolution.out_channels == operator.in_channels
    assert convolution.out_height * scale == operator.height
    assert convolution.dtype == operator.dtype
    assert program_operators(chain(operator, 2)) == (operator, convolution) * 2


@pytest.mark.parametrize("operator", [STRIDE, HEAD, STEM])
def test_the_mirror_does_the_same_work_the_other_way_round(operator: object) -> None:
    assert isinstance(operator, type(STRIDE))
    back, there = shape_adapter(operator), adapter_stand_in(operator)
    assert back is not None
    assert there is not None
    assert count(there).flops == count(back[0]).flops
    assert shape_adapter(there) == back


@pytest.mark.parametrize("operator", [STRIDE, HEAD, STEM])
def test_restoring_is_a_small_part_of_the_weights_and_mixes_all_channels(operator: object) -> None:
    assert isinstance(operator, type(STRIDE))
    back = shape_adapter(operator)
    assert back is not None
    convolution, _ = back
    assert convolution.in_channels % convolution.groups == 0
    assert count(convolution).weight_bytes < count(operator).weight_bytes / 3 or operator == STEM


def test_programs_that_do_not_lead_back_tell_an_operator_from_its_restoring_one() -> None:
    first, second, *chains = timed_programs(STRIDE, (4, 1))
    assert (first, second) == (adapter_alone(STRIDE), operator_alone(STRIDE))
    assert chains == [chain(STRIDE, 1), chain(STRIDE, 4)]
    back = shape_adapter(STRIDE)
    assert back is not None
    assert program_operators(first) == (back[0],)
    assert program_operators(second) == (STRIDE,)


def test_operators_of_equal_shapes_share_the_way_back() -> None:
    other = parse_key("ir_k5_e1_m16_g2_relu_i16_o24_h12_w12_s2_r0_p0_b1_fp16")
    assert adapter_alone(other) == adapter_alone(STRIDE)
    assert adapter_alone(HEAD) != adapter_alone(STRIDE)
    assert adapter_alone(SAME) is None


def test_a_size_that_strides_do_not_divide_is_refused() -> None:
    with pytest.raises(ExportError, match="no multiple"):
        shape_adapter(ODD)


def test_chains_of_other_lengths_are_other_artefacts() -> None:
    specs = [ExportSpec.of(STRIDE), *timed_programs(STRIDE, (1, 4, 16))]
    assert len({digest(spec, "coreml-fp16", {}) for spec in specs}) == 6
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

        from deploy.chains.modules import chain_network
        from search.operators.modules import example_input

        assert isinstance(operator, type(STRIDE))
        x = example_input((operator,))
        network = chain_network(chain(operator, 4))
        with torch.no_grad():
            assert network(x).shape == x.shape
        first = [p for p in network[0].parameters() if p.dim() > 1]
        second = [p for p in network[len(network) // 4].parameters() if p.dim() > 1]
        assert first
        assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    @pytest.mark.parametrize("operator", [SAME, STRIDE])
    def test_values_stay_within_16_bit_floats_and_do_not_die_out(self, operator: object) -> None:
        import torch

        from deploy.chains.modules import chain_network
        from search.operators.modules import example_input

        assert isinstance(operator, type(STRIDE))
        x = example_input((operator,))
        with torch.no_grad():
            for link in chain_network(chain(operator, 16)):
                x = link(x)
                assert 0.3 < float(x.std()) < 10
                assert float(x.abs().max()) < 1e3

    @pytest.mark.parametrize("operator", [SAME, STRIDE, HEAD])
    def test_a_copy_has_the_same_weights_however_many_follow(self, operator: object) -> None:
        import torch

        from deploy.chains.modules import chain_network

        assert isinstance(operator, type(STRIDE))
        longest = list(chain_network(chain(operator, 16)).parameters())
        shorter = [chain_network(chain(operator, n)) for n in (1, 4)]
        if not keeps_shape(operator):
            shorter.append(chain_network(operator_alone(operator)))
        for network in shorter:
            for own, theirs in zip(network.parameters(), longest, strict=False):
                assert torch.equal(own, theirs)

    def test_the_way_back_alone_takes_what_the_operator_puts_out(self) -> None:
        from deploy.chains.modules import chain_input, chain_network

        for operator in (STRIDE, HEAD):
            spec = adapter_alone(operator)
            assert spec is not None
            made = chain_network(spec)(chain_input(spec))
            assert made.shape == operator.input_shape
