"""Blocks as words, layouts as text, and spaces that are rebuilt from them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import UsageError
from search.operators.spec import ACTIVATIONS, GATES
from search.spaces.custom.definition import SpaceDefinition, definition_of
from search.spaces.frame import Frame
from search.spaces.layout.block import Block, Place
from search.spaces.layout.model import Candidate, Convolution, Layout, StageRow
from search.spaces.layout.space import LayoutSpace, named
from search.spaces.layout.text import layout_text, parse_layout
from search.spaces.layout.words import EXAMPLES, parse_words
from search.spaces.registry import make_space, parse_space, space_names

LAID_OUT = tuple(name for name in space_names() if isinstance(make_space(name), LayoutSpace))
KERNELS = st.sampled_from((1, 3, 5, 7))
EXPANSIONS = st.sampled_from((0.5, 1.0, 2.5, 3.0, 6.0))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Any block that can be."""
    kind = draw(st.sampled_from(("ir", "uib", "conv", "skip")))
    values: dict[str, Any] = {"kind": kind}
    if kind == "skip":
        return Block(**values, projection=draw(st.booleans()))
    values["activation"] = draw(st.sampled_from(ACTIVATIONS))
    if kind == "conv":
        return Block(**values, kernel=draw(KERNELS), groups=draw(st.sampled_from((1, 2))))
    values["expansion"] = draw(EXPANSIONS)
    if kind == "uib":
        none_too = st.sampled_from((0, 3, 5))
        return Block(**values, kernel=draw(none_too), start_kernel=draw(none_too))
    squeeze = draw(st.sampled_from((0.0, 0.25, 0.125)))
    splits = draw(st.sampled_from((1, 2))) if squeeze else 1
    return Block(
        **values,
        kernel=draw(KERNELS),
        groups=draw(st.sampled_from((1, 2))),
        squeeze=squeeze,
        splits=splits,
        depthwise=draw(st.sampled_from((1, 2))) if splits == 1 else 1,
        gate=draw(st.sampled_from(GATES)) if squeeze and splits == 1 else GATES[0],
        keep_pointwise=draw(st.sampled_from((None, True, False))),
    )


@given(block=blocks())
@settings(max_examples=200, deadline=None)
def test_the_words_of_a_block_give_it_back(block: Block) -> None:
    assert parse_words(block.words) == block


@given(block=blocks(), stride=st.sampled_from((1, 2)), out=st.sampled_from((8, 16)))
@settings(max_examples=100, deadline=None)
def test_a_block_keeps_the_shape_it_is_placed_in_or_cannot_stand_there(
    block: Block, stride: int, out: int
) -> None:
    operator = block.operator(Frame(False, 1, "fp32"), Place(8, out, 16, stride))
    if operator is None:
        assert block.kind == "skip" or not (block.kernel or block.start_kernel)
        assert stride > 1 or block.kind == "skip"
        return
    assert (operator.out_channels or operator.in_channels) == out
    assert operator.out_height == 16 // stride


@pytest.mark.parametrize("words", EXAMPLES)
def test_every_example_of_a_candidate_is_one(words: str) -> None:
    assert parse_words(words).words == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("k3e6", "no candidate"),
        ("k4_e3", "odd numbers"),
        ("k3_e03", "no candidate"),
        ("k3_e3_relu", "Write k3_e3"),
        ("k3_e3_se0.25", "Write k3_e3_se"),
        ("k3_e3_sigmoid", "squeeze-excite"),
        ("k3_e3_sa2", "need a squeeze"),
        ("extradw_k0_k3_e4", "Write ib_k3_e4"),
        ("skip\n", "no candidate"),
        ("", "no candidate"),
    ],
)
def test_words_that_spell_no_block_are_refused(words: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_words(words)
    assert said in str(caught.value.message + caught.value.remedy)


def test_a_slip_of_the_hand_names_the_candidate_that_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        parse_words("k5e3_se")
    assert caught.value.remedy == "The nearest is k5_e3_se."


def _row(*names: str, **changes: Any) -> StageRow:
    return StageRow(**{"channels": 16, "candidates": named(*names), **changes})


def _layout(*rows: StageRow, **changes: Any) -> Layout:
    return Layout(stem=(Convolution(3, 8),), stages=rows, **changes)


def test_the_text_of_a_layout_gives_it_back() -> None:
    attention = Candidate("mine", Block(kind="ir", squeeze=0.5, splits=2))
    layout = _layout(
        _row("k3_e1", fixed=True),
        _row("k3_e3", "skip", repeats=2),
        StageRow(channels=24, stride=2, candidates=(attention, *named("conv_k1_none"))),
        _row("k3_e6", channels=32, fixed=True),
        head_activation="hswish",
        hidden=40,
        hidden_activation="hswish6",
    )
    assert parse_layout(layout_text(layout)) == layout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k3_o16_s1_relu:o24_n2_s2_c0:relu",
        "k3_o16_s1_relu:o24_n2_s2_c1:relu:k3_e3",
        "k3_o16_s1_relu:o24_n2_s2_f0:relu:k3_e3",
        "k3_o16_s1_relu:o24_n2_s2_c0:gelu:k3_e3",
        "k3_o16_s1_relu:o024_n2_s2_c0:relu:k3_e3",
        "k3_o16_s1_relu:o24_n2_s2_c0:relu:k3_e3,k3_e3",
        "k3_o16_s1_relu:o24_n2_s2_c0:relu:k3_e3:k5_e3",
        "k3_o16_s1_relu:o24_n9999_s2_c0:relu:k3_e3",
        "k3_o16_s1_relu:o24_n2_s2_c0:relu:k3_e3=k3_e3",
        "k3_o16_s1_relu:o24_n2_s2_c0:relu:" + "k3_e3," * 100_000,
    ],
)
def test_a_text_that_no_layout_has_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_layout(text)


@pytest.mark.parametrize("name", LAID_OUT)
def test_a_known_space_has_a_definition_that_gives_equal_layers(name: str) -> None:
    known = make_space(name)
    again = definition_of(known).space()
    assert (again.before, again.layers, again.after) == (known.before, known.layers, known.after)
    assert again.sha256 == known.sha256


@given(
    width=st.sampled_from((0.35, 1, 1.5)),
    resolution=st.sampled_from((32, 64)),
    classes=st.integers(2, 1000),
    dtype=st.sampled_from(("fp32", "int8")),
    keep=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_the_spec_of_ones_own_space_rebuilds_it_without_its_file(
    width: float, resolution: int, classes: int, dtype: str, keep: bool
) -> None:
    layout = _layout(_row("k3_e3", "k5_e3_se", "skip", repeats=2), _row("k3_e1", "ffn_e2"))
    definition = SpaceDefinition(
        name="own+1", layout=layout, resolution=16, classes=10, head_channels=32
    )
    space = definition.space(
        width=width, resolution=resolution, classes=classes, dtype=dtype, always_pointwise=keep
    )
    again = parse_space(space.spec)
    assert again == space
    assert again.layers == space.layers
    assert again.label == space.spec.partition(":")[0]


def test_a_spec_whose_layout_was_edited_is_refused() -> None:
    layout = _layout(_row("k3_e3", "k5_e3"))
    own = SpaceDefinition(name="own", layout=layout, resolution=16, classes=4, head_channels=8)
    spec = own.space().spec
    with pytest.raises(UsageError, match="not the one that its name was made of"):
        parse_space(spec.replace("k5_e3", "k7_e3"))
    with pytest.raises(UsageError):
        parse_space(spec.partition(":")[0])
    with pytest.raises(UsageError, match="not canonical"):
        parse_space(spec.replace("-x1-", "-x1.0-"))


def test_two_layouts_of_one_name_have_two_labels() -> None:
    def label(*names: str) -> str:
        layout = _layout(_row(*names))
        return (
            SpaceDefinition(name="own", layout=layout, resolution=16, classes=4, head_channels=8)
            .space()
            .label
        )

    assert label("k3_e3", "k5_e3") != label("k3_e3", "k5_e6")
