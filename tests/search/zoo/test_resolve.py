"""Networks are found by file and by published name."""

from pathlib import Path

import pytest

from search.architecture import write_architecture
from search.errors import UsageError
from search.spaces.registry import make_space
from search.zoo import network_names, zoo_architecture
from search.zoo.resolve import find_network

MINI = make_space("fbnet-mini")
NET = MINI.architecture(["k3_e3"] * len(MINI.layers), "mine")


@pytest.mark.parametrize("name", network_names())
def test_a_published_name_is_found_in_any_case_as_published(name: str) -> None:
    for text in (name, name.lower(), name.upper()):
        found = find_network(text)
        assert found.name == name
        assert found.architecture == zoo_architecture(name)
        assert found.published is not None


def test_a_file_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("net.json", "FBNet-A"):
        write_architecture(NET, tmp_path / name)
        found = find_network(str(tmp_path / name))
        assert found.architecture == NET
        assert found.published is None


def test_the_other_convention_is_the_same_network_but_for_its_first_pointwise() -> None:
    found = find_network("FBNet-S8").with_dtype("int8")
    other = found.other_convention()
    assert other is not None
    expected = zoo_architecture("FBNet-S8", always_pointwise=False, dtype="int8")
    assert other.architecture == expected != found.architecture


def test_a_network_of_ones_own_has_no_other_convention(tmp_path: Path) -> None:
    write_architecture(NET, tmp_path / "net.json")
    assert find_network(str(tmp_path / "net.json")).other_convention() is None


def test_an_unknown_name_is_refused_with_those_known() -> None:
    with pytest.raises(UsageError, match="Unknown network") as raised:
        find_network("MobileNet")
    assert "FBNet-iPhoneX" in raised.value.remedy
