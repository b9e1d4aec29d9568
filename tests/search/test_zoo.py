"""Published networks against their authors' releases and the paper's figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from search.errors import UsageError
from search.operators import OperatorSpec
from search.zoo import network_names, published_network, zoo_architecture

# Our name: file of the shared facts, sub-key of its counts.
FACTS = {
    "FBNet-A": ("fbnet_a", None),
    "FBNet-B": ("fbnet_b", None),
    "FBNet-C": ("fbnet_c", None),
    "FBNet-96-0.35-1": ("fbnet_96", None),
    "FBNet-S8": ("fbnet_samsung_s8", "head1504"),
    "FBNet-iPhoneX": ("fbnet_iphonex", "head1504"),
}
CONVENTIONS = {"skip_pw_when_expansion1": False, "always_pw": True}


def _facts(shared: Path, name: str) -> dict[str, Any]:
    path = shared / "facts" / "architectures" / f"{FACTS[name][0]}.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_the_zoo_holds_the_six_published_networks() -> None:
    assert set(network_names()) == set(FACTS)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", FACTS)
def test_counts_agree_with_the_released_networks(shared: Path, name: str, convention: str) -> None:
    counted = _facts(shared, name)["computed_macs_m_params_m"]
    if FACTS[name][1]:
        counted = counted[FACTS[name][1]]
    flops_m, params_m = counted[convention]
    network = zoo_architecture(name, always_pointwise=CONVENTIONS[convention])
    assert network.flops / 1e6 == pytest.approx(flops_m, rel=0.005)
    assert network.params / 1e6 == pytest.approx(params_m, rel=0.005)


def _as_facts(operator: OperatorSpec) -> dict[str, Any]:
    """An operator in the words of the shared files."""
    row: dict[str, Any] = {
        "type": {"ir": "mbconv"}.get(operator.kind, operator.kind),
        "in_channels": operator.in_channels,
        "input_resolution": operator.height,
        "stride": operator.stride,
        "group": operator.groups,
        "kernel": None if operator.kind == "skip" else operator.kernel,
        "out_channels": operator.out_channels or operator.in_channels,
        "expansion": operator.expansion if operator.kind == "ir" else None,
    }
    return row | ({"mid_channels": operator.mid_channels} if operator.kind == "ir" else {})


@pytest.mark.parametrize("name", FACTS)
def test_layers_agree_with_the_released_networks_one_by_one(shared: Path, name: str) -> None:
    facts = _facts(shared, name)
    released = [layer for layer in facts["layers"] if layer["type"] != "linear"]
    *ours, classifier = zoo_architecture(name).operators
    assert classifier.kind == "classifier"
    assert len(ours) == len(released)
    for operator, layer in zip(ours, released, strict=True):
        row = _as_facts(operator)
        assert row == {word: layer.get(word) for word in row}
        assert operator.squeeze_channels == 0
        assert layer["se"] is False


@pytest.mark.parametrize("name", FACTS)
def test_the_printed_figures_are_those_of_the_paper(shared: Path, name: str) -> None:
    printed, published = (
        _facts(shared, name).get("paper_flops_params_top1"),
        published_network(name).published,
    )
    if printed is None:
        pytest.skip("the shared file does not restate the paper's figures")
    assert [published.flops_m, published.params_m, published.top1] == printed


@pytest.mark.parametrize("name", FACTS)
def test_flops_are_within_2_percent_of_what_the_paper_prints(name: str) -> None:
    published = published_network(name).published
    assert zoo_architecture(name).flops / 1e6 == pytest.approx(published.flops_m, rel=0.02)


# FBNet-B has 4.77M in its authors' release too; FBNet-96 has 1.845M, printed as 1.8M.
MORE_PARAMS = {"FBNet-B": (0.06, 0.07), "FBNet-96-0.35-1": (0.02, 0.03)}


@pytest.mark.parametrize("name", FACTS)
def test_parameters_differ_from_what_the_paper_prints_by_no_more_than_is_known(name: str) -> None:
    low, high = MORE_PARAMS.get(name, (-0.02, 0.02))
    published = published_network(name).published
    assert low <= zoo_architecture(name).params / 1e6 / published.params_m - 1 <= high


def test_the_difference_of_fbnet_b_is_said_in_its_remark() -> None:
    assert "4.77M" in published_network("FBNet-B").remark


@pytest.mark.parametrize("name", FACTS)
def test_a_name_is_found_in_any_case(name: str) -> None:
    networks = [zoo_architecture(word) for word in (name, name.lower(), name.upper())]
    assert networks[0] == networks[1] == networks[2]
    assert networks[0].name == name


@pytest.mark.parametrize("name", ["", "FBNet", "FBNet-D", "FBNet-A "])
def test_an_unknown_name_is_refused_and_the_known_ones_are_named(name: str) -> None:
    with pytest.raises(UsageError, match="Unknown network") as caught:
        zoo_architecture(name)
    assert all(known in caught.value.remedy for known in FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_each_network_follows_its_own_convention_unless_told_otherwise(name: str) -> None:
    own = published_network(name).always_pointwise
    assert zoo_architecture(name) == zoo_architecture(name, always_pointwise=own)
    other = zoo_architecture(name, always_pointwise=not own)
    assert (other.flops > zoo_architecture(name).flops) == (not own)


def test_a_network_is_built_in_the_dtype_asked_for() -> None:
    network = zoo_architecture("FBNet-S8", dtype="int8")
    assert {operator.dtype for operator in network.operators} == {"int8"}
    assert network.with_dtype("fp32") == zoo_architecture("FBNet-S8")
