"""Spaces that another distribution brings by the entry point group `fbnet_kit.spaces`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.errors import UsageError
from search.spaces.registry import known_names, make_space, parse_space
from tests.search.cli.runner import Desk, is_refusal

CODE = """
from pathlib import Path

from search.spaces.custom.document import read_definition
from search.spaces.fbnet import FBNetSpace
from search.spaces.preset import Macro, Stage


def camera():
    return read_definition(Path(__file__).with_name("camera.toml"))


def broken():
    raise RuntimeError("no licence")


def other():
    return 7


class Twins(FBNetSpace):
    presets = {"twins": Macro(16, 1, (Stage(16, 2, 2),), 64, 32, 10)}
    candidates = ("k3_e3", "k5_e3")
    preset: str = "twins"
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a distribution with these entry points, as pip would leave it."""

    def make(distribution: str = "camera-spaces", **points: str) -> None:
        site = tmp_path / distribution
        facts = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n"
        )
        lines = [f"{name} = {target}" for name, target in points.items()]
        (facts / "entry_points.txt").write_text("\n".join(["[fbnet_kit.spaces]", *lines, ""]))
        module = f"{distribution.replace('-', '_')}_code"
        (site / f"{module}.py").write_text(CODE)
        text = Path(__file__).with_name("edge.toml").read_text()
        (site / "camera.toml").write_text(text.replace('name = "edge"', 'name = "camera"'))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


def test_a_definition_of_another_distribution_is_a_space_by_its_name(install: Install) -> None:
    install(camera="camera_spaces_code:camera")
    space = make_space("camera", classes=7)
    assert space.label.startswith("camera.")
    assert space.after[-1].out_channels == 7
    assert "camera" in known_names()


def test_a_table_of_such_a_definition_is_read_without_the_distribution(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(camera="camera_spaces_code:camera")
    space = make_space("camera")
    monkeypatch.setattr("search.spaces.plugins.entry_points", lambda group: [])
    with pytest.raises(UsageError, match="Unknown space 'camera'"):
        make_space("camera")
    assert parse_space(space.spec) == space


def test_a_class_of_another_distribution_is_a_family_by_its_presets(install: Install) -> None:
    install(twins="camera_spaces_code:Twins")
    space = make_space("twins", resolution=16)
    assert [len(layer.choices) for layer in space.layers] == [2, 2]
    assert parse_space(space.spec) == space


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("camera_spaces_code:broken", "cannot be loaded: RuntimeError: no licence"),
        ("camera_spaces_code:nothing", "cannot be loaded: AttributeError"),
        ("nowhere_at_all:camera", "cannot be loaded: ModuleNotFoundError"),
        ("camera_spaces_code:other", "is no space of this name"),
        ("camera_spaces_code:Twins", "is no space of this name"),
    ],
)
def test_an_entry_point_that_brings_no_space_is_a_sentence(
    install: Install, target: str, said: str
) -> None:
    install(camera=target)
    with pytest.raises(UsageError) as caught:
        make_space("camera")
    assert said in caught.value.message
    assert "camera-spaces" in caught.value.message
    assert make_space("fbnet-mini").label.startswith("fbnet-mini-")


def test_a_name_of_the_kit_or_of_two_distributions_is_refused(install: Install) -> None:
    install(uib="camera_spaces_code:camera", camera="camera_spaces_code:camera")
    with pytest.raises(UsageError, match="that of the kit and that of camera-spaces"):
        make_space("uib")
    make_space("camera")
    install("other-spaces", camera="other_spaces_code:camera")
    with pytest.raises(UsageError, match="Two spaces are named camera"):
        make_space("camera")
    assert make_space("fbnet").label.startswith("fbnet-")


def test_the_list_says_where_a_space_is_from_and_what_is_wrong_with_it(
    install: Install, tmp_path: Path
) -> None:
    install(camera="camera_spaces_code:camera", bad="camera_spaces_code:broken")
    ended = Desk(tmp_path / "desk").call("spaces", "--format", "json")
    assert ended.code == 0, ended.err
    rows = {row["space"]: row for row in json.loads(ended.out)}
    assert (rows["fbnet"]["from"], rows["fbnet"]["layers"]) == ("the kit", 22)
    assert rows["fbnetv2"]["searched_by"] == "fbnetv2"
    assert "single-path" in rows["single-path-mini"]["searched_by"]
    assert (rows["camera"]["from"], rows["camera"]["problem"]) == ("camera-spaces", None)
    assert "no licence" in rows["bad"]["problem"]


def test_a_file_may_not_take_the_name_of_a_distributions_space(
    install: Install, tmp_path: Path
) -> None:
    install(edge="camera_spaces_code:camera")
    desk = Desk(tmp_path / "desk")
    ended = desk.call("spaces", "check", str(Path(__file__).with_name("edge.toml")))
    assert is_refusal(ended)
    assert "another space named edge" in ended.err
