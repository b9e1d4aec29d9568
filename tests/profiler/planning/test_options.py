"""Option values, presets and settings."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.planning.options import adjust_effort, choose_effort, parse_affinity, parse_context
from profiler.settings import PRESETS
from search.console.output import to_json
from search.errors import UsageError

NOTHING = {
    "iterations": None,
    "warmup": None,
    "min_time_us": None,
    "precision": None,
    "networks": None,
}


def adjusted(preset: str = "fast", **changes: Any):
    return adjust_effort(PRESETS[preset], **{**NOTHING, **changes})


def test_presets_ask_for_more_in_order() -> None:
    fast, default, rigorous = (
        choose_effort(True, False),
        choose_effort(False, False),
        choose_effort(False, True),
    )
    assert [e.preset for e in (fast, default, rigorous)] == ["fast", "default", "rigorous"]
    assert fast.passes * fast.rounds < default.passes * default.rounds
    assert default.passes * default.rounds < rigorous.passes * rigorous.rounds
    assert fast.target_relative_ci > default.target_relative_ci > rigorous.target_relative_ci
    assert rigorous.exam >= 100


def test_fast_and_rigorous_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--fast and --rigorous"):
        choose_effort(True, True)


@pytest.mark.parametrize("preset", PRESETS)
def test_without_changes_a_preset_stays_as_it_is(preset: str) -> None:
    assert adjusted(preset) == PRESETS[preset]


@given(iterations=st.integers(1, 10_000), preset=st.sampled_from(sorted(PRESETS)))
def test_iterations_are_the_least_number_of_blocks_an_operator(
    iterations: int, preset: str
) -> None:
    effort = adjusted(preset, iterations=iterations)
    assert iterations <= effort.passes * effort.rounds < iterations + effort.passes
    assert 1 <= effort.passes <= PRESETS[preset].passes


def test_each_option_changes_its_own_value_only() -> None:
    fast = PRESETS["fast"]
    assert adjusted(warmup=7) == replace(fast, warmup=7)
    assert adjusted(min_time_us=50.0) == replace(fast, min_block_us=50.0)
    assert adjusted(precision=2.0) == replace(fast, target_relative_ci=0.02)
    assert adjusted(networks=3) == replace(fast, exam=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": 0},
        {"iterations": -1},
        {"networks": -1},
        {"min_time_us": 0.0},
        {"min_time_us": math.nan},
        {"min_time_us": math.inf},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        adjusted(**wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 0},
        {"passes": 0},
        {"rounds": 0},
        {"warmup": 0},
        {"target_relative_ci": 0.0},
        {"target_relative_ci": math.nan},
        {"target_relative_ci": 1.0},
        {"threads": 2, "affinity": (0,)},
        {"timeout_s": 0.0},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(bench, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        bench.settings(**changes)


def test_settings_that_measure_something_else_have_another_identity(bench) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"threads": 2},
        {"rounds": 9},
        {"dtype": "int8"},
        {"filter": "k5"},
        {"affinity": (1,)},
        {"runner": "python"},
        {"backend": "xnnpack"},
        {"device": "another"},
        {"space": "fbnet-mini-r64-x1-c10-h256-p0-b1-fp32"},
    ]
    identities = {bench.settings(**changes).identity for changes in variants}
    assert len(identities) == len(variants)
    assert bench.settings().identity == bench.settings().identity


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("none", None),
        ("0", (0,)),
        ("0-3,6", (0, 1, 2, 3, 6)),
        ("mask:f0", (4, 5, 6, 7)),
        ("mask:1", (0,)),
        ("auto", None),
    ],
)
def test_affinity_is_read_as_it_is_written_elsewhere(
    text: str, cores: tuple[int, ...] | None
) -> None:
    assert parse_affinity(text, 1, "simulated") == cores


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,,2", "-1", "mask:", "mask:0", "mask:zz", "0-"])
def test_an_affinity_that_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--affinity"):
        parse_affinity(text, 1, "host")


def test_context_is_split_at_its_first_equals_sign() -> None:
    assert parse_context(["a=b=c", "x.y-z=", "a=later"]) == {"a": "later", "x.y-z": ""}
    assert parse_context([]) == {}


@pytest.mark.parametrize("pair", ["novalue", "=x", "1a=x", "a b=x", ""])
def test_a_context_that_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="--context"):
        parse_context([pair])


def test_json_holds_no_values_that_json_has_not() -> None:
    assert json.loads(to_json({"a": [1, None]})) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        to_json({"a": math.nan})


def test_cores_of_an_iphone_are_not_chosen() -> None:
    assert parse_affinity("auto", 1, "ios") is None
    with pytest.raises(UsageError, match="not pinned"):
        parse_affinity("0-3", 1, "ios")
