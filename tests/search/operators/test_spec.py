"""Operators and their keys."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import UsageError
from search.operators.spec import (
    ACTIVATIONS,
    DTYPES,
    EXAMPLE_KEY,
    FIELD_NAMES,
    GATES,
    KINDS,
    OperatorSpec,
    parse_key,
)

_SMALL = st.integers(1, 300)
_ODD = st.integers(0, 5).map(lambda half: 2 * half + 1)
_EXPANSIONS = st.one_of(
    st.integers(1, 12).map(float), st.integers(1, 99_999).map(lambda n: n / 1000)
)


@st.composite
def _ir(draw: st.DrawFn) -> dict[str, Any]:
    groups, first = draw(st.integers(1, 4)), draw(st.booleans())
    channels = st.integers(1, 90).map(lambda number: number * groups)
    in_channels = draw(channels)
    out_channels = draw(st.one_of(st.just(in_channels), channels))
    stride, squeeze = draw(st.integers(1, 4)), draw(st.integers(0, 64))
    splits = draw(st.sampled_from([1, 1, 2, 4, 12])) if squeeze else 1
    return {
        "depthwise": draw(st.sampled_from([1, 1, 2, 12])) if splits == 1 else 1,
        "kernel": draw(_ODD),
        "expansion": draw(_EXPANSIONS),
        "mid_channels": draw(channels) if first else in_channels,
        "groups": groups,
        "squeeze_channels": squeeze,
        "gate": draw(st.sampled_from(GATES)) if squeeze and splits == 1 else "hsigmoid",
        "splits": splits,
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "in_channels": in_channels,
        "out_channels": out_channels,
        "height": draw(_SMALL),
        "width": draw(_SMALL),
        "stride": stride,
        "residual": stride == 1 and in_channels == out_channels and draw(st.booleans()),
        "first_pointwise": first,
    }


@st.composite
def _uib(draw: st.DrawFn) -> dict[str, Any]:
    start, kernel = draw(st.one_of(st.just(0), _ODD)), draw(st.one_of(st.just(0), _ODD))
    into = draw(_SMALL)
    out = draw(st.one_of(st.just(into), _SMALL))
    stride = draw(st.integers(1, 3)) if start or kernel else 1
    return {
        "start_kernel": start,
        "kernel": kernel,
        "expansion": draw(_EXPANSIONS),
        "mid_channels": draw(_SMALL),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "in_channels": into,
        "out_channels": out,
        "height": draw(_SMALL),
        "width": draw(_SMALL),
        "stride": stride,
        "residual": stride == 1 and into == out and draw(st.booleans()),
    }


@st.composite
def _conv(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.integers(1, 4))
    return {
        "kernel": draw(_ODD),
        "groups": groups,
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "in_channels": groups * draw(_SMALL),
        "out_channels": groups * draw(_SMALL),
        "height": draw(_SMALL),
        "width": draw(_SMALL),
        "stride": draw(st.integers(1, 4)),
    }


@st.composite
def _classifier(draw: st.DrawFn) -> dict[str, Any]:
    sizes = ("in_channels", "out_channels", "height", "width")
    values: dict[str, Any] = {name: draw(_SMALL) for name in sizes}
    if draw(st.booleans()):
        values |= {"mid_channels": draw(_SMALL), "activation": draw(st.sampled_from(ACTIVATIONS))}
    return values


_FIELDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ir": _ir(),
    "uib": _uib(),
    "conv": _conv(),
    "classifier": _classifier(),
    "pool": st.fixed_dictionaries(dict.fromkeys(("in_channels", "height", "width"), _SMALL)),
    "skip": st.fixed_dictionaries(dict.fromkeys(("in_channels", "height", "width"), _SMALL)),
    "empty": st.just({}),
}


@st.composite
def _specs(draw: st.DrawFn, kind: str) -> OperatorSpec:
    batch, dtype = draw(st.integers(1, 64)), draw(st.sampled_from(DTYPES))
    return OperatorSpec(kind=kind, batch=batch, dtype=dtype, **draw(_FIELDS[kind]))


_ANY_SPEC = st.sampled_from(KINDS).flatmap(_specs)
_EXAMPLE = {name: getattr(parse_key(EXAMPLE_KEY), name) for name in FIELD_NAMES}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_key_parses_back_to_the_operator_that_printed_it(kind: str, data: st.DataObject) -> None:
    spec = data.draw(_specs(kind))
    assert parse_key(spec.key) == spec
    assert parse_key(spec.key).key == str(spec) == spec.key


@given(spec=_ANY_SPEC, other=_ANY_SPEC)
@settings(max_examples=60, deadline=None)
def test_two_operators_share_a_key_only_when_they_are_equal(
    spec: OperatorSpec, other: OperatorSpec
) -> None:
    assert (spec.key == other.key) == (spec == other)


@given(spec=_ANY_SPEC, data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_key_with_a_word_removed_doubled_or_swapped_is_refused(
    spec: OperatorSpec, data: st.DataObject
) -> None:
    words = spec.key.split("_")
    at = data.draw(st.integers(0, len(words) - 1))
    # Squeeze-excite, splits and a classifier's hidden layer are the words that may be left out.
    optional = "-" in words[at]
    if not optional:
        with pytest.raises(UsageError):
            parse_key("_".join(words[:at] + words[at + 1 :]))
    with pytest.raises(UsageError):
        parse_key("_".join([*words[: at + 1], *words[at:]]))
    if at:
        words[at - 1], words[at] = words[at], words[at - 1]
        with pytest.raises(UsageError):
            parse_key("_".join(words))


@given(spec=_ANY_SPEC, data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_key_that_is_cut_short_is_refused(spec: OperatorSpec, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(spec.key) - 1))
    with pytest.raises(UsageError, match="not an operator key"):
        parse_key(spec.key[:length])


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("ir", "mb"),
        ("ir", "IR"),
        ("k3", "q3"),
        ("k3", "k"),
        ("k3", "k-3"),
        ("k3", "k3.5"),
        ("k3", "k３"),
        ("e6", "e6.5.5"),
        ("e6", "einf"),
        ("e6", "enan"),
        ("relu", "tanh"),
        ("relu", "se_relu"),
        ("relu", "se8-tanh_relu"),
        ("relu", "se0-sigmoid_relu"),
        ("relu", "se8_relu"),
        ("relu", "m8-hsigmoid_relu"),
        ("relu", "sa1-8_relu"),
        ("relu", "sa2-0_relu"),
        ("relu", "dw-1_relu"),
        ("relu", "dw2_relu"),
        ("relu", "dw-2_sa2-8_relu"),
        ("relu", "sa2-8-sigmoid_relu"),
        ("relu", "sa2-8_se8-sigmoid_relu"),
        ("r0", "r2"),
        ("p1", "p9"),
        ("b1", "b0"),
        ("b1", "b1_x1"),
        ("fp32", "fp64"),
        ("fp32", "fp32\n"),
        ("fp32", ""),
    ],
)
def test_an_unknown_word_in_a_key_is_refused(word: str, instead: str) -> None:
    words = [instead if part == word else part for part in EXAMPLE_KEY.split("_")]
    with pytest.raises(UsageError) as caught:
        parse_key("_".join(words))
    assert EXAMPLE_KEY in caught.value.remedy


@pytest.mark.parametrize(
    ("word", "instead"), [("e6", "e6.0"), ("e6", "e06"), ("k3", "k03"), ("e6", "e6.0000001")]
)
def test_another_spelling_of_the_same_operator_is_refused(word: str, instead: str) -> None:
    with pytest.raises(UsageError):
        parse_key(EXAMPLE_KEY.replace(f"_{word}_", f"_{instead}_"))


def test_digits_of_another_script_are_refused_and_the_canonical_key_is_named() -> None:
    with pytest.raises(UsageError, match="is not canonical") as caught:
        parse_key("conv_k1１_g1_relu_i3_o8_h9_w9_s1_b1_fp32")
    assert "conv_k11_g1_relu_i3_o8_h9_w9_s1_b1_fp32" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": "lstm"}, "unknown kind"),
        ({"dtype": "bf16"}, "unknown dtype"),
        ({"activation": "tanh"}, "unknown activation"),
        ({"squeeze_channels": 8, "gate": "tanh"}, "unknown gate"),
        ({"batch": 0}, "batch"),
        ({"in_channels": 0}, "no channels"),
        ({"out_channels": 0}, "no channels"),
        ({"height": 0}, "no pixels"),
        ({"width": -1}, "no pixels"),
        ({"kernel": 4}, "even kernel"),
        ({"kernel": -1}, "even kernel"),
        ({"kernel": 0}, "even kernel"),
        ({"start_kernel": 4}, "even kernel at the start"),
        ({"depthwise": 0}, "depthwise convolutions below 1"),
        ({"depthwise": 2, "splits": 2, "squeeze_channels": 8}, "one depthwise"),
        ({"stride": 0}, "stride"),
        ({"mid_channels": 0}, "no middle channels"),
        ({"mid_channels": -8}, "middle channels"),
        ({"squeeze_channels": -8}, "squeezed channels"),
        ({"splits": 0}, "splits below 1"),
        ({"splits": 2}, "splits need squeezed channels"),
        ({"groups": 0}, "groups"),
        ({"groups": 5}, "groups"),
        ({"residual": True}, "residual"),
        ({"residual": True, "stride": 1}, "residual"),
        ({"residual": True, "out_channels": 24}, "residual"),
        ({"first_pointwise": False}, "cannot widen"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        OperatorSpec(**{**_EXAMPLE, **changes})


@pytest.mark.parametrize("expansion", [-1.0, 7 / 3, 1e-7, 1e7, float("inf"), float("nan")])
def test_an_expansion_that_the_key_would_round_is_refused(expansion: float) -> None:
    with pytest.raises(UsageError, match="cannot spell"):
        OperatorSpec(**{**_EXAMPLE, "expansion": expansion})


@pytest.mark.parametrize(
    ("key", "hidden"),
    [
        ("classifier_i8_o4_h7_w7_b1_fp32", {"activation": "relu"}),
        ("classifier_i8_o4_h7_w7_b1_fp32", {"stride": 2}),
        ("classifier_m6-relu_i8_o4_h7_w7_b1_fp32", {"kernel": 3}),
        ("conv_k3_g1_relu_i3_o8_h9_w9_s1_b1_fp32", {"mid_channels": 5}),
        ("conv_k3_g1_relu_i3_o8_h9_w9_s1_b1_fp32", {"squeeze_channels": 5}),
        ("skip_i24_h56_w56_b1_fp32", {"out_channels": 24}),
        ("empty_b1_fp32", {"kernel": 3}),
        (EXAMPLE_KEY, {"gate": "sigmoid"}),
        (EXAMPLE_KEY, {"start_kernel": 3}),
        ("uib_d0_k3_e2_m16_relu_i8_o8_h9_w9_s1_r0_b1_fp32", {"groups": 2}),
        ("uib_d0_k3_e2_m16_relu_i8_o8_h9_w9_s1_r0_b1_fp32", {"squeeze_channels": 2}),
        (EXAMPLE_KEY, {"gate": "sigmoid", "splits": 2, "squeeze_channels": 8}),
        ("conv_k3_g1_relu_i3_o8_h9_w9_s1_b1_fp32", {"splits": 2, "squeeze_channels": 8}),
    ],
)
def test_a_field_that_the_key_does_not_show_is_refused(key: str, hidden: dict[str, Any]) -> None:
    spec = parse_key(key)
    values = {name: getattr(spec, name) for name in FIELD_NAMES}
    with pytest.raises(UsageError, match="does not show"):
        OperatorSpec(**{**values, **hidden})


def test_changing_the_dtype_changes_nothing_else() -> None:
    spec = parse_key(EXAMPLE_KEY)
    assert spec.with_dtype("int8").key == EXAMPLE_KEY.replace("fp32", "int8")
    assert spec.with_dtype("int8").with_dtype("fp32") == spec
    with pytest.raises(UsageError, match="unknown dtype"):
        spec.with_dtype("fp8")


@pytest.mark.parametrize(("size", "stride", "out"), [(7, 1, 7), (7, 2, 4), (8, 2, 4), (1, 2, 1)])
def test_same_padding_rounds_the_output_up(size: int, stride: int, out: int) -> None:
    spec = OperatorSpec(
        kind="conv", kernel=3, in_channels=3, out_channels=4, height=size, width=9, stride=stride
    )
    assert (spec.out_height, spec.out_width) == (out, -(-9 // stride))
    assert spec.input_shape == (1, 3, size, 9)


def test_a_universal_bottleneck_strides_only_by_a_depthwise_convolution() -> None:
    feed_forward = parse_key("uib_d0_k0_e2_m16_relu_i8_o8_h9_w9_s1_r0_b1_fp32")
    values = {name: getattr(feed_forward, name) for name in FIELD_NAMES}
    with pytest.raises(UsageError, match="cannot stride"):
        OperatorSpec(**{**values, "stride": 2})
    assert OperatorSpec(**{**values, "stride": 2, "start_kernel": 3}).out_height == 5
