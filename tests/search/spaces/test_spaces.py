"""The FBNet space: its size, its layers, its spec and its hash."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import UsageError
from search.operators.counts import count
from search.operators.spec import DTYPES
from search.spaces.base import LayeredSpace
from search.spaces.fbnet import FBNetSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.frame import scale_channels
from search.spaces.nas_bench_macro import NasBenchMacroSpace
from search.spaces.registry import make_space, parse_space, space_names
from search.spaces.single_path import SinglePathSpace
from search.spaces.uib import UniversalSpace

CHANGES: dict[str, Any] = {
    "resolution": 192,
    "width": 0.5,
    "classes": 10,
    "head_channels": 1504,
    "always_pointwise": False,
    "batch": 2,
    "dtype": "int8",
}


CANDIDATES = {
    name: family.candidates
    for family in (FBNetSpace, SinglePathSpace, UniversalSpace)
    for name in family.presets
}
LAYERED = tuple(CANDIDATES)


def test_every_space_is_of_layers_of_masked_variables_or_of_groups() -> None:
    others = (MaskedSpace, SlicedSpace, NasBenchMacroSpace)
    assert set(space_names()) == {*LAYERED, *(name for family in others for name in family.presets)}


def test_fbnet_has_the_size_that_its_tables_of_blocks_and_layers_give() -> None:
    size = make_space("fbnet").size
    assert size.layers == 22
    assert size.candidates == 192
    assert size.networks == 9**16 * 8**6
    assert size.unique_operators == 99


@pytest.mark.parametrize("resolution", [32, 96, 192, 224, 320])
def test_the_size_of_fbnet_does_not_depend_on_the_resolution(resolution: int) -> None:
    assert make_space("fbnet", resolution=resolution).size == make_space("fbnet").size


def test_layers_that_become_equal_in_width_gain_a_skip() -> None:
    # At 0.05 stages 4 and 5 both have 8 channels, and stage 5 starts at stride 1.
    space = make_space("fbnet", width=0.05)
    assert space.size.candidates == 193
    assert next(layer for layer in space.layers if layer.name == "stage5.1").choices[-1].is_skip


@pytest.mark.parametrize("name", LAYERED)
def test_a_skip_is_offered_exactly_where_input_and_output_agree(name: str) -> None:
    space = make_space(name)
    for layer in space.layers:
        *blocks, last = layer.choices
        block = blocks[0].operator
        same = block.stride == 1 and block.in_channels == block.out_channels
        assert last.is_skip == same, layer.name
        assert not any(choice.is_skip for choice in blocks)
        # A block without any depthwise convolution cannot stride.
        pointwise = sum(word.startswith("ffn") for word in CANDIDATES[name])
        missing = (not same) + pointwise * (block.stride > 1)
        assert len(layer.choices) == len(CANDIDATES[name]) - missing


@pytest.mark.parametrize("name", LAYERED)
def test_every_choice_of_a_layer_fits_every_choice_of_the_next(name: str) -> None:
    space = make_space(name)
    for number in range(9):
        choices = [layer.choices[number % len(layer.choices)].name for layer in space.layers]
        operators = space.architecture(choices).operators
        assert len(operators) == len(space.before) + len(space.layers) + len(space.after)
        assert operators[-1].out_channels == space.after[-1].out_channels


def test_the_unique_operators_are_every_candidate_once_and_no_skip() -> None:
    space = make_space("fbnet")
    candidates = {choice.operator for layer in space.layers for choice in layer.choices}
    costly = {operator for operator in candidates if operator.kind != "skip"}
    assert set(space.operators) == costly | {*space.before, *space.after}
    assert len(set(space.operators)) == len(space.operators)


@given(
    name=st.sampled_from(LAYERED),
    resolution=st.integers(1, 12).map(lambda number: 32 * number),
    width=st.one_of(st.floats(0.05, 4), st.sampled_from([0.05, 0.35, 1 / 3, 1, 1.1, 4])),
    classes=st.integers(2, 22_000),
    head=st.integers(1, 4000),
    keep=st.booleans(),
    batch=st.integers(1, 64),
    dtype=st.sampled_from(DTYPES),
)
@settings(max_examples=40, deadline=None)
def test_a_spec_rebuilds_the_space_that_printed_it(
    name: str,
    resolution: int,
    width: float,
    classes: int,
    head: int,
    keep: bool,
    batch: int,
    dtype: str,
) -> None:
    space = make_space(
        name,
        resolution=resolution,
        width=width,
        classes=classes,
        head_channels=head,
        always_pointwise=keep,
        batch=batch,
        dtype=dtype,
    )
    again = parse_space(space.spec)
    assert again == space
    assert again.sha256 == space.sha256


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "fbnet",
        "fbnet-r224",
        "resnet-r224-x1-c1000-h1984-p0-b1-fp32",
        "fbnet-r225-x1-c1000-h1984-p0-b1-fp32",
        "fbnet-r0-x1-c1000-h1984-p0-b1-fp32",
        "fbnet-r0224-x1-c1000-h1984-p0-b1-fp32",
        "fbnet-r224-x1.0-c1000-h1984-p0-b1-fp32",
        "fbnet-r224-x1.2.3-c1000-h1984-p0-b1-fp32",
        "fbnet-r224-x.-c1000-h1984-p0-b1-fp32",
        "fbnet-r224-x9-c1000-h1984-p0-b1-fp32",
        "fbnet-r224-x1-c1000-h1984-p0-b0-fp32",
        "fbnet-r224-x1-c1000-h1984-p0-b1-fp64",
        "fbnet-r224-x1-c1000-h1984-p0-b1-fp32\n",
    ],
)
def test_a_spec_that_no_space_prints_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        parse_space(spec)


@pytest.mark.parametrize("resolution", [225, 100, 16, 33])
def test_a_resolution_that_the_strides_do_not_divide_is_refused(resolution: int) -> None:
    with pytest.raises(UsageError, match=f"divide a resolution of {resolution}") as caught:
        make_space("fbnet", resolution=resolution)
    assert "multiple of 32" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"resolution": 0}, "at least 1"),
        ({"resolution": -32}, "at least 1"),
        ({"classes": 0}, "at least 1"),
        ({"classes": 1}, "nothing to tell apart"),
        ({"head_channels": 0}, "at least 1"),
        ({"batch": 0}, "at least 1"),
        ({"width": 0.0}, "outside"),
        ({"width": 5.0}, "outside"),
        ({"width": float("nan")}, "outside"),
        ({"dtype": "fp64"}, "Unknown dtype"),
    ],
)
def test_a_value_out_of_range_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make_space("fbnet", **changes)


def test_an_unknown_space_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(UsageError, match="Unknown space") as caught:
        make_space("FBNet-XL")
    assert all(name in caught.value.remedy for name in space_names())


def test_the_hash_of_the_default_space_never_changes() -> None:
    # Tables name this hash; another one means that they describe another space.
    dropped = make_space("fbnet", always_pointwise=False)
    assert dropped.sha256[:16] == "51a6a019c33dd883"
    assert make_space("fbnet").sha256[:16] == "01ba1870213e283e"


@pytest.mark.parametrize("name", CHANGES)
def test_the_hash_changes_with_everything_that_changes_an_operator(name: str) -> None:
    changed = make_space("fbnet", **{name: CHANGES[name]})
    assert changed.sha256 != make_space("fbnet").sha256
    assert changed.sha256 == make_space("fbnet", **{name: CHANGES[name]}).sha256


@pytest.mark.parametrize("name", space_names())
def test_the_spaces_of_fbnet_keep_the_first_1x1_and_the_others_drop_it(name: str) -> None:
    kept = "p1" if name in FBNetSpace.presets else "p0"
    assert kept in make_space(name).spec.split("-")


def test_the_first_1x1_at_expansion_1_is_kept_or_dropped_as_asked() -> None:
    for keep in (False, True):
        for layer in make_space("fbnet", always_pointwise=keep).layers:
            kept = {c.name: c.operator.first_pointwise for c in layer.choices if not c.is_skip}
            assert kept == {name: keep or "_e1" not in name for name in kept}


def test_random_networks_repeat_with_the_seed_and_differ_without_it(mini: LayeredSpace) -> None:
    def draw(seed: int) -> list[Any]:
        generator = random.Random(seed)
        return [mini.random_architecture(generator, f"n{i}") for i in range(5)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len({network.operators for network in draw(1)}) > 1
    # Pinned: plans and exams name their networks by seed.
    first = mini.random_architecture(random.Random(7), "n").operators[1]
    assert first.key == "ir_k5_e1_m16_g2_relu_i16_o16_h32_w32_s1_r1_p1_b1_fp32"


def test_random_networks_reach_every_choice(mini: LayeredSpace) -> None:
    generator = random.Random(3)
    seen = {op for _ in range(150) for op in mini.random_architecture(generator, "n").operators}
    assert {choice.operator for layer in mini.layers for choice in layer.choices} <= seen


@pytest.mark.parametrize(
    ("channels", "width", "scaled"),
    [(24, 0.35, 16), (16, 0.35, 8), (32, 0.5, 16), (352, 0.35, 128), (80, 1.1, 88), (20, 1.0, 20)],
)
def test_a_width_multiplier_rounds_channels_up_to_a_multiple_of_8(
    channels: int, width: float, scaled: int
) -> None:
    assert scale_channels(channels, width) == scaled


def test_a_width_multiplier_reaches_every_layer_but_not_head_and_classes() -> None:
    space = make_space("fbnet", width=0.35)
    widths = [layer.choices[0].operator.out_channels for layer in space.layers]
    assert widths == [8, *[16] * 8, *[24] * 4, *[40] * 4, *[72] * 4, 128]
    assert [operator.out_channels for operator in (*space.before, *space.after)] == [8, 1984, 1000]


def test_twice_the_resolution_is_four_times_the_work_and_no_more_parameters() -> None:
    choices = ["k3_e6"] * 22
    small, large = (
        make_space("fbnet", resolution=side).architecture(choices) for side in (96, 192)
    )
    classifier = count(large.operators[-1]).flops
    assert large.flops - classifier == 4 * (small.flops - classifier)
    assert large.params == small.params
    assert (small.resolution, large.resolution) == (96, 192)


@pytest.mark.parametrize("count_of_choices", [0, 5, 7])
def test_too_few_or_too_many_choices_are_refused(mini: LayeredSpace, count_of_choices: int) -> None:
    with pytest.raises(UsageError, match=f"names {count_of_choices} choices"):
        mini.architecture(["k3_e1"] * count_of_choices)


def test_a_choice_that_is_not_legal_in_its_layer_is_refused(mini: LayeredSpace) -> None:
    with pytest.raises(UsageError, match=r"layer stage2\.1") as caught:
        mini.architecture(["skip"] * len(mini.layers))
    assert "k5_e6" in caught.value.remedy


def test_spaces_of_equal_values_are_equal_and_others_are_not() -> None:
    assert FBNetSpace(resolution=224) == make_space("fbnet")
    assert FBNetSpace(resolution=192) != make_space("fbnet")


# MobileNetV4-Conv-S, layer by layer: kernels at the start and in the middle, expansion.
MOBILENET_V4_S = (
    *((5, 5, 3), (0, 3, 2), (0, 3, 2), (0, 3, 2), (0, 3, 2), (3, 0, 4)),
    *((3, 3, 6), (5, 5, 4), (0, 5, 4), (0, 5, 3), (0, 3, 4), (0, 3, 4)),
)


def test_the_universal_space_stands_in_the_frame_of_mobilenet_v4_small() -> None:
    space = make_space("uib")
    assert [o.out_channels for o in space.before] == [32, 32, 32, 96, 64]
    shown = [layer.choices[0].operator for layer in space.layers]
    assert [operator.out_channels for operator in shown] == [96] * 6 + [128] * 6
    assert [operator.height for operator in shown] == [28, *[14] * 6, *[7] * 5]
    blocks = [
        replace(
            operator,
            start_kernel=start,
            kernel=kernel,
            expansion=expansion,
            mid_channels=expansion * operator.in_channels,
        )
        for operator, (start, kernel, expansion) in zip(shown, MOBILENET_V4_S, strict=True)
    ]
    counts = [count(operator) for operator in (*space.before, *blocks, *space.after)]
    # 3.8M parameters and 0.2G multiply-adds in the paper's Table 5; 3.77M by timm.
    assert sum(one.params for one in counts) / 1e6 == pytest.approx(3.77, rel=0.005)
    assert sum(one.flops for one in counts) / 1e6 == pytest.approx(190, rel=0.03)


def test_every_kind_of_universal_bottleneck_is_a_candidate() -> None:
    kinds = {
        (bool(o.start_kernel), bool(o.kernel))
        for layer in make_space("uib-mini").layers
        for o in (choice.operator for choice in layer.choices)
        if o.kind == "uib"
    }
    assert kinds == {(False, True), (True, False), (True, True), (False, False)}
