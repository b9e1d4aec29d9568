"""Architectures and their files."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.architecture import (
    Architecture,
    dump_architecture,
    parse_architecture,
    read_architecture,
    write_architecture,
)
from search.errors import UsageError
from search.operators.counts import count
from search.operators.spec import DTYPES
from search.spaces.base import LayeredSpace

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.fixture
def network(mini: LayeredSpace) -> Architecture:
    return mini.random_architecture(random.Random(5), "five")


@given(seed=st.integers(0, 10**6), name=_NAMES, dtype=st.sampled_from(DTYPES))
@settings(max_examples=40, deadline=None)
def test_a_network_comes_back_from_json_as_it_was(
    mini: LayeredSpace, seed: int, name: str, dtype: str
) -> None:
    network = mini.random_architecture(random.Random(seed), name).with_dtype(dtype)
    text = dump_architecture(network)
    assert parse_architecture(text) == network
    assert dump_architecture(parse_architecture(text)) == text


def test_a_network_comes_back_from_its_file_as_it_was(
    network: Architecture, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "folder" / "arch.json"
    named = replace(network, name="größer × 2")
    write_architecture(named, path)
    assert read_architecture(path) == named


def test_the_file_lists_the_keys_in_order_of_execution(network: Architecture) -> None:
    content = json.loads(dump_architecture(network))
    assert content == {
        "schema_version": 1,
        "name": "five",
        "space": network.space,
        "operators": [operator.key for operator in network.operators],
    }


def test_a_network_counts_as_the_sum_of_its_operators(network: Architecture) -> None:
    counts = [count(operator) for operator in network.operators]
    assert network.flops == sum(one.flops for one in counts) > 0
    assert network.params == sum(one.params for one in counts) > 0
    assert (network.resolution, network.classes, network.dtype) == (32, 10, "fp32")


def test_a_newer_schema_is_refused(network: Architecture) -> None:
    content = json.loads(dump_architecture(network)) | {"schema_version": 2}
    with pytest.raises(UsageError, match="schema 2, newer than 1") as caught:
        parse_architecture(json.dumps(content), "arch.json")
    assert "arch.json" in caught.value.message
    assert "Update" in caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 0},
        {"schema_version": None},
        {"schema_version": "1"},
        {"name": None},
        {"name": 3},
        {"operators": []},
        {"operators": None},
        {"operators": "ir_k3"},
        {"operators": [1]},
        {"operators": ["ir_k3"]},
        {"space": 5},
        {"weights": "x.pt"},
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_refused(
    network: Architecture, changes: dict[str, Any]
) -> None:
    content = json.loads(dump_architecture(network))
    changed = {word: value for word, value in (content | changes).items() if value is not None}
    with pytest.raises(UsageError):
        parse_architecture(json.dumps(changed))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"text"', "{}", "\0"])
def test_text_that_is_no_architecture_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"arch\.json"):
        parse_architecture(text, "arch.json")


def test_a_file_cut_anywhere_is_refused(network: Architecture) -> None:
    text = dump_architecture(network).rstrip()
    for length in range(0, len(text), 7):
        with pytest.raises(UsageError):
            parse_architecture(text[:length])


def test_a_file_that_is_missing_a_folder_or_not_text_is_refused_by_name(tmp_path: Path) -> None:
    bytes_file = tmp_path / "bytes.json"
    bytes_file.write_bytes(b"\xff\xfe\x00{")
    for path in (tmp_path / "absent.json", tmp_path, bytes_file):
        with pytest.raises(UsageError, match=str(path)):
            read_architecture(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"in_channels": 8, "residual": False},
        {"height": 31},
        {"width": 33},
        {"batch": 2},
        {"dtype": "int8"},
    ],
)
def test_operators_that_do_not_fit_each_other_are_refused(
    mini: LayeredSpace, changes: dict[str, Any]
) -> None:
    first, second, *rest = mini.architecture(["k3_e6"] * len(mini.layers)).operators
    if "in_channels" in changes:
        changes = {**changes, "mid_channels": 6 * changes["in_channels"]}
    odd = replace(second, **changes)
    with pytest.raises(UsageError, match="cannot follow") as caught:
        Architecture(name="odd", operators=(first, odd, *rest))
    assert first.key in caught.value.message
    assert odd.key in caught.value.message


def test_a_missing_layer_is_refused_where_sizes_no_longer_agree(network: Architecture) -> None:
    with pytest.raises(UsageError, match="cannot follow"):
        Architecture(name="hole", operators=(network.operators[0], *network.operators[-2:]))


def test_a_network_without_operators_is_refused() -> None:
    with pytest.raises(UsageError, match="no operators"):
        Architecture(name="nothing", operators=())


def test_a_skip_passes_channels_and_size_on(mini: LayeredSpace) -> None:
    choices = ["skip" if layer.choices[-1].is_skip else "k3_e1" for layer in mini.layers]
    network = mini.architecture(choices)
    assert [operator.kind for operator in network.operators].count("skip") == 3
    assert parse_architecture(dump_architecture(network)) == network
