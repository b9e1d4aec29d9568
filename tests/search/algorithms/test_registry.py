"""Search methods by name."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from search.algorithms import registry
from search.errors import UsageError


def test_a_known_method_is_found() -> None:
    assert registry.algorithm_class("fbnet").name == "fbnet"


def test_an_unknown_method_is_refused_with_the_known_names() -> None:
    with pytest.raises(UsageError, match="Known: fbnet"):
        registry.algorithm_class("darts")


def test_names_can_be_added_but_not_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_CLASSES", dict(registry._CLASSES))
    registry.register("ordered", "collections:OrderedDict")
    assert registry.algorithm_class("ordered").__name__ == "OrderedDict"
    for name in ("ordered", "fbnet"):
        with pytest.raises(UsageError, match="Two methods claim"):
            registry.register(name, "collections:Counter")
    with pytest.raises(UsageError, match="module:Class"):
        registry.register("other", "collections")


def test_an_outside_method_is_found_but_cannot_replace_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, "collections:Counter", group) for name in ("counting", "fbnet")]

    monkeypatch.setattr(registry, "entry_points", points)
    assert registry.algorithm_class("counting").__name__ == "Counter"
    with pytest.raises(UsageError, match="Two methods claim"):
        registry.algorithm_class("fbnet")


def test_names_are_listed_without_importing_torch() -> None:
    code = "import sys; from search.algorithms import registry as r; print(r.algorithm_names())"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fbnet" in done.stdout
