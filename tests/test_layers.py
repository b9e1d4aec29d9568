"""Rooms and the direction of imports, read from the sources with `ast`.

search <- deploy <- device_agents <- profiler: a package imports only from
those on its left, no modules import each other in a circle, and nothing in
the product can be made to execute a file that it reads.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("search", "deploy", "device_agents", "profiler")
MOST_LINES = 400
SOURCES = (".py", ".cpp", ".h", ".swift", ".sh")
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal"}
UNSAFE_NAMES = {"eval", "exec"}
UNSAFE_ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
}
UNSAFE_WORDS = {"shell": True, "allow_pickle": True, "weights_only": False}

Modules = Mapping[str, ast.Module]


def _modules() -> dict[str, ast.Module]:
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def _imported(name: str, tree: ast.AST, package: bool) -> Iterator[str]:
    """Every dotted name that a module imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")
            above = above[: len(above) - node.level + package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _graph(modules: Modules) -> dict[str, set[str]]:
    """Which module of the product imports which other one."""
    packages = {name.rpartition(".")[0] for name in modules}
    return {
        name: {
            other
            for other in _imported(name, tree, name in packages)
            if other in modules and other != name
        }
        for name, tree in modules.items()
    }


def _wrong_arrows(modules: Modules) -> list[str]:
    order = {room: number for number, room in enumerate(ROOMS)}
    packages = {name.rpartition(".")[0] for name in modules}
    return [
        f"{name} imports {other}"
        for name, tree in modules.items()
        for other in _imported(name, tree, name in packages)
        if order.get(other.split(".")[0], -1) > order[name.split(".")[0]]
    ]


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of imports, or nothing."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := visit(other, [*trail, name]):
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := visit(name, []))), [])


def _unsafe(name: str, tree: ast.AST) -> list[str]:
    """What could execute a file or a text that the kit was given."""
    found = [
        f"{name} imports {other}"
        for other in _imported(name, tree, package=False)
        if other.split(".")[0] in UNSAFE_MODULES
        or tuple(other.split(".")[-2:]) in UNSAFE_ATTRIBUTES
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else None
            if (owner, node.attr) in UNSAFE_ATTRIBUTES or node.attr in ("read_pickle", "to_pickle"):
                found.append(f"{name}:{node.lineno} uses {owner}.{node.attr}")
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_NAMES:
                found.append(f"{name}:{node.lineno} calls {node.func.id}")
            found += [
                f"{name}:{node.lineno} says {word.arg}={word.value.value}"
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
                and word.arg in UNSAFE_WORDS
                and bool(word.value.value) is UNSAFE_WORDS[word.arg]
            ]
    return found


@pytest.fixture(scope="module")
def modules() -> Modules:
    return _modules()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_read(modules: Modules, room: str) -> None:
    assert sum(name.split(".")[0] == room for name in modules) > 5


def test_no_import_points_to_a_room_on_the_right(modules: Modules) -> None:
    assert _wrong_arrows(modules) == []


def test_no_modules_import_each_other_in_a_circle(modules: Modules) -> None:
    assert _cycle(_graph(modules)) == []


def test_nothing_in_the_product_can_execute_what_it_reads(modules: Modules) -> None:
    assert [line for name, tree in modules.items() for line in _unsafe(name, tree)] == []


def test_no_file_of_the_product_is_longer_than_400_lines() -> None:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in paths
        if path.suffix in SOURCES
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


# --- the checks themselves can fail --------------------------------------------


def _parsed(**sources: str) -> dict[str, ast.Module]:
    return {name.replace("__", "."): ast.parse(text) for name, text in sources.items()}


@pytest.mark.parametrize(
    "text",
    [
        "import deploy.artefact",
        "from profiler import stats",
        "def late():\n    from device_agents.host.agent import HostAgent",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import profiler",
    ],
)
def test_an_arrow_pointing_right_is_seen_wherever_it_stands(text: str) -> None:
    assert len(_wrong_arrows(_parsed(search__table=text))) >= 1
    assert _wrong_arrows(_parsed(profiler__cli=text)) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"search__a": "import search.b", "search__b": "from search import a"},
        {"search__a": "from . import b", "search__b": "from .a import x"},
        {
            "search__a": "import search.b",
            "search__b": "from search.c import y",
            "search__c": "def late():\n    import search.a",
        },
        {
            "search__s": "from .a import x",
            "search__s__a": "from . import b",
            "search__s__b": "from ..s import x",
        },
    ],
)
def test_a_circle_is_seen_however_it_is_spelled(sources: dict[str, str]) -> None:
    assert _cycle(_graph(_parsed(**sources)))


def test_a_diamond_is_no_circle() -> None:
    sources = {
        "search__a": "import search.b, search.c",
        "search__b": "import search.d",
        "search__c": "import search.d",
        "search__d": "import json",
    }
    assert _cycle(_graph(_parsed(**sources))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "def late():\n    import dill as d",
        "eval('1')",
        "exec(text)",
        "os.system('ls')",
        "from os import system",
        "run = os.popen",
        "subprocess.run(line, shell=True)",
        "subprocess.Popen(line, shell=1)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path, weights_only=False)",
        "pd.read_pickle(path)",
    ],
)
def test_each_unsafe_word_is_seen(text: str) -> None:
    assert _unsafe("search.x", ast.parse(text))


@pytest.mark.parametrize(
    "text", ["module.eval()", "subprocess.run(['ls'], shell=False)", "import os\nos.fsync(3)"]
)
def test_harmless_words_are_let_through(text: str) -> None:
    assert _unsafe("search.x", ast.parse(text)) == []
