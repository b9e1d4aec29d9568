"""The direction of imports, read from the sources with `ast`.

search <- deploy <- device_agents <- profiler: a package imports only from
those on its left, a room of a package only from the rooms below it (`ORDER`),
no modules import each other in a circle, and nothing in the product can be
made to execute a file that it reads.
"""

import ast
from collections.abc import Mapping

import pytest

from tests.product import (
    PACKAGES,
    Modules,
    imported,
    imports,
    parsed,
    read_modules,
)

# The rooms of each package, lowest first.
ORDER = {
    "search": (
        "errors",
        "files",
        "documents",
        "cache",
        "console",
        "operators",
        "costs",
        "table",
        "architecture",
        "data",
        "spaces",
        "recipes",
        "training",
        "latency",
        "zoo",
        "supernets",
        "selection",
        "algorithms",
        "pipeline",
        "sweep",
        "cli",
        "__main__",
    ),
    "deploy": (
        "artefact",
        "network",
        "xnnpack",
        "coreml",
        "chains",
        "exporters",
        "models",
        "build",
        "verification",
        "bundle",
        "cli",
        "__main__",
    ),
    "device_agents": (
        "tools",
        "protocol",
        "device",
        "arm_cores",
        "processor",
        "cpu",
        "lock",
        "farm",
        "native",
        "base",
        "checkup_report",
        "cross",
        "runtime",
        "adb",
        "host",
        "simulated",
        "iphone",
        "android",
        "farm_hosts",
        "farm_ray",
        "registry",
    ),
    "profiler": (
        "settings",
        "analysis",
        "prediction",
        "journal",
        "planning",
        "measuring",
        "results",
        "tables",
        "campaign",
        "anchors",
        "comparison",
        "verification",
        "report",
        "cli",
        "__main__",
    ),
}
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal"}
UNSAFE_NAMES = {"eval", "exec"}
UNSAFE_ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
}
UNSAFE_WORDS = {"shell": True, "allow_pickle": True, "weights_only": False}


def _graph(modules: Modules) -> dict[str, set[str]]:
    """Which module of the product imports which other one."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, other in imports(modules):
        if other in modules and other != name:
            graph[name].add(other)
    return graph


def _wrong_arrows(modules: Modules) -> list[str]:
    order = {package: number for number, package in enumerate(PACKAGES)}
    return [
        f"{name} imports {other}"
        for name, other in imports(modules)
        if order.get(other.split(".")[0], -1) > order[name.split(".")[0]]
    ]


def _room(name: str) -> tuple[str, str]:
    """The package and the room of a dotted name; a package's own file has no room."""
    package, _, rest = name.partition(".")
    return package, rest.partition(".")[0]


def _homeless(modules: Modules) -> set[str]:
    """Rooms that have no place in the order."""
    rooms = {_room(name) for name in modules}
    return {f"{package}.{room}" for package, room in rooms if room not in ("", *ORDER[package])}


def _arrows_up(modules: Modules) -> list[str]:
    """Imports of a room from one that stands above it, within one package."""
    place = {
        (package, room): number
        for package, rooms in ORDER.items()
        for number, room in enumerate(rooms)
    }
    return sorted(
        {
            f"{name} imports {other}"
            for name, other in imports(modules)
            if _room(name)[0] == _room(other)[0]
            and place.get(_room(other), -1) > place.get(_room(name), -1)
        }
    )


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
        for other in imported(name, tree, package=False)
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
                f"{name}:{node.lineno} says {word.arg}={word.value.value!r}"
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
                and word.arg in UNSAFE_WORDS
                and bool(word.value.value) is UNSAFE_WORDS[word.arg]
            ]
    return found


@pytest.fixture(scope="module")
def modules() -> Modules:
    return read_modules()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_read(modules: Modules, package: str) -> None:
    assert sum(name.split(".")[0] == package for name in modules) > 5


def test_no_import_points_to_a_package_on_the_right(modules: Modules) -> None:
    assert _wrong_arrows(modules) == []


def test_every_room_has_its_place_in_the_order(modules: Modules) -> None:
    assert _homeless(modules) == set()


def test_no_room_imports_from_one_above_it(modules: Modules) -> None:
    assert _arrows_up(modules) == []


def test_no_modules_import_each_other_in_a_circle(modules: Modules) -> None:
    assert _cycle(_graph(modules)) == []


def test_nothing_in_the_product_can_execute_what_it_reads(modules: Modules) -> None:
    assert [line for name, tree in modules.items() for line in _unsafe(name, tree)] == []


# --- the checks themselves can fail --------------------------------------------


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
    assert len(_wrong_arrows(parsed(search__table=text))) >= 1
    assert _wrong_arrows(parsed(profiler__cli=text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "import profiler.report.page",
        "from profiler.report import page",
        "from ..report.page import render",
        "from .. import report",
        "def late():\n    from profiler.report.page import render",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from profiler import report",
    ],
)
def test_an_arrow_pointing_up_is_seen_wherever_it_stands(text: str) -> None:
    assert _arrows_up(parsed(profiler__tables__diff=text))
    assert _arrows_up(parsed(profiler__report__data=text)) == []
    assert _arrows_up(parsed(profiler__cli__app=text)) == []


def test_a_room_may_import_from_itself_and_from_other_packages() -> None:
    text = "from . import clocks\nimport search.cli.app\nimport profiler"
    assert _arrows_up(parsed(profiler__tables__diff=text)) == []


def test_a_package_itself_imports_none_of_its_rooms() -> None:
    assert _arrows_up(parsed(search="from search.errors import KitError", search__errors=""))


def test_a_room_without_a_place_is_seen() -> None:
    assert _homeless(parsed(search__helpers__text="", search__table__store="")) == {
        "search.helpers"
    }


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
    assert _cycle(_graph(parsed(**sources)))


def test_a_diamond_is_no_circle() -> None:
    sources = {
        "search__a": "import search.b, search.c",
        "search__b": "import search.d",
        "search__c": "import search.d",
        "search__d": "import json",
    }
    assert _cycle(_graph(parsed(**sources))) == []


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
