"""The size of the product's folders, files and functions, and what their docstrings say."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.product import PACKAGES, ROOT, Function, Modules, packages_of, parsed, read_modules

MOST_FILES = 15
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
SOURCES = (".py", ".cpp", ".h", ".mm", ".swift", ".sh")
# Words that add nothing to a name.
EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a all an and are as at be by class do does for from function get give given gives has
        have helper ignored ignores in into is it its make makes method module new nothing
        object of on one or our return returned returns see set sets some that the their them
        these they this to used utility value values what which with
        """,
    )
)


def _sources() -> dict[str, str]:
    """Every source of the product by its path."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*")]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in paths
        if path.is_file() and path.suffix in SOURCES
    }


def _full_folders(paths: list[str]) -> dict[str, int]:
    """Folders of too many files; a header and its source are one, `__init__` is none."""
    files: dict[str, set[str]] = defaultdict(set)
    for path in map(PurePosixPath, paths):
        if path.stem != "__init__":
            files[str(path.parent)].add(path.stem)
    return {folder: len(names) for folder, names in files.items() if len(names) > MOST_FILES}


def _long_files(texts: dict[str, str]) -> dict[str, int]:
    lengths = {path: len(text.splitlines()) for path, text in texts.items()}
    return {path: length for path, length in lengths.items() if length > MOST_LINES}


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _is_registration(call: ast.AST) -> bool:
    """Whether this is `app.command(...)` or `app.callback(...)`, with or without brackets."""
    target = call.func if isinstance(call, ast.Call) else call
    return isinstance(target, ast.Attribute) and target.attr in ("command", "callback")


def _verbs(modules: Modules) -> set[str]:
    """Names of functions that are registered as verbs of a command line."""
    names = set()
    for tree in modules.values():
        for node in ast.walk(tree):
            if isinstance(node, Function) and any(map(_is_registration, node.decorator_list)):
                names.add(node.name)
            elif isinstance(node, ast.Call) and _is_registration(node.func):
                names.update(
                    argument.id if isinstance(argument, ast.Name) else argument.attr
                    for argument in node.args
                    if isinstance(argument, ast.Name | ast.Attribute)
                )
    return names


def _declares_options(function: Function) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("Option", "Argument")
        for node in ast.walk(function.args)
    )


def _length(function: Function, is_verb: bool) -> int:
    """Its lines; declarations of command-line options are left out."""
    assert function.end_lineno is not None
    start = function.body[0].lineno if is_verb else function.lineno
    return function.end_lineno - start + 1


def _is_verb(module: str, function: Function, verbs: set[str]) -> bool:
    """Whether it is registered as a verb; others of its name elsewhere are not."""
    return function.name in verbs and "cli" in module.split(".")


def _long_functions(modules: Modules) -> list[str]:
    verbs = _verbs(modules)
    lengths = {
        f"{name}.{function.name}": _length(
            function, _is_verb(name, function, verbs) or _declares_options(function)
        )
        for name, tree in modules.items()
        for function in _functions(tree)
    }
    return [
        f"{name}: {length} lines"
        for name, length in lengths.items()
        if length > MOST_LINES_OF_A_FUNCTION
    ]


Described = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(tree: ast.Module) -> Iterator[tuple[str, Described, bool]]:
    """Public classes, functions and methods: dotted name, node, must it be described?

    A method may go without: what it overrides is described where it is promised.
    """
    for node in tree.body:
        if not isinstance(node, Described) or node.name.startswith("_"):
            continue
        yield node.name, node, True
        if isinstance(node, ast.ClassDef):
            yield from (
                (f"{node.name}.{member.name}", member, False)
                for member in node.body
                if isinstance(member, Function) and not member.name.startswith("_")
            )


def _undescribed(modules: Modules) -> list[str]:
    """Packages, public classes and functions without a docstring."""
    packages = packages_of(modules)
    missing = [
        name for name, tree in modules.items() if name in packages and not ast.get_docstring(tree)
    ]
    for name, tree in modules.items():
        missing += [
            f"{name}.{dotted}"
            for dotted, node, is_required in _public(tree)
            if is_required and not ast.get_docstring(node)
        ]
    return missing


def _words(text: str) -> set[str]:
    """The words of a text or a name in one form: `TableRows` and `a table's row` agree."""
    text = re.sub(r"'s\b", "", text)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    words = set(re.findall(r"[a-z0-9]+", text.lower().replace("_", " ")))
    return {_stem(word) for word in words - EMPTY_WORDS}


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _filler(modules: Modules) -> list[str]:
    """Docstrings that say no more than the name they stand under."""
    return [
        f"{name}.{dotted}: {text}"
        for name, tree in modules.items()
        for dotted, node, _ in _public(tree)
        if (text := ast.get_docstring(node)) is not None and _words(text) <= _words(dotted)
    ]


@pytest.fixture(scope="module")
def modules() -> Modules:
    return read_modules()


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return _sources()


def test_every_package_has_sources(sources: dict[str, str]) -> None:
    assert {path.split("/")[0] for path in sources} == set(PACKAGES)


def test_no_folder_holds_more_than_15_files(sources: dict[str, str]) -> None:
    assert _full_folders(list(sources)) == {}


def test_no_file_of_the_product_is_longer_than_400_lines(sources: dict[str, str]) -> None:
    assert _long_files(sources) == {}


def test_no_function_is_longer_than_60_lines(modules: Modules) -> None:
    assert _long_functions(modules) == []


def test_every_folder_with_modules_is_a_package(sources: dict[str, str]) -> None:
    folders = {str(Path(path).parent) for path in sources if path.endswith(".py")}
    assert [folder for folder in folders if f"{folder}/__init__.py" not in sources] == []


def test_packages_and_public_names_are_described(modules: Modules) -> None:
    assert _undescribed(modules) == []


def test_no_docstring_only_restates_its_name(modules: Modules) -> None:
    assert _filler(modules) == []


# --- the checks themselves can fail --------------------------------------------


def test_a_sixteenth_file_is_one_too_many() -> None:
    paths = [f"search/data/m{number}.py" for number in range(15)]
    assert _full_folders([*paths, "search/data/__init__.py", "search/data/deep/m.py"]) == {}
    assert _full_folders([*paths, "search/data/more.py"]) == {"search/data": 16}


def test_a_header_and_its_source_are_one_file() -> None:
    paths = [f"runners/m{number}.{end}" for number in range(15) for end in ("h", "cpp")]
    assert _full_folders(paths) == {}


def test_a_file_of_401_lines_is_too_long() -> None:
    assert _long_files({"a.py": "x\n" * 400, "b.py": "x\n" * 401}) == {"b.py": 401}


def _body(lines: int) -> str:
    return "    x = 1\n" * lines


@pytest.mark.parametrize(
    "text",
    [
        f"def long():\n{_body(60)}",
        f"async def long():\n{_body(60)}",
        "class Table:\n    def long(self):\n" + "        x = 1\n" * 60,
        "def outer():\n    def long():\n" + "        x = 1\n" * 60,
        f"@app.command()\ndef long(\n    table: str,\n):\n{_body(61)}",
        f"@other.decorator\ndef long():\n{_body(60)}",
    ],
)
def test_a_function_of_61_lines_is_too_long(text: str) -> None:
    assert any(".long: 61 lines" in line for line in _long_functions(parsed(search__cli=text)))


SIGNATURE = "(\n" + "".join(f"    p{number}: T,\n" for number in range(40)) + "):\n"


@pytest.mark.parametrize(
    "sources",
    [
        {"search__cli__x": f"def short():\n{_body(59)}"},
        {"search__cli__x": f"@app.command()\ndef verb{SIGNATURE}{_body(60)}"},
        {"search__cli__x": f"@app.callback\ndef verb{SIGNATURE}{_body(60)}"},
        {
            "search__cli__x": f"def verb{SIGNATURE}{_body(60)}",
            "search__cli__app": "app.command('verb')(x.verb)",
        },
        {
            "search__cli__x": "def shared(\n"
            + "".join(f"    p{number}: str = typer.Option(),\n" for number in range(40))
            + f"):\n{_body(60)}"
        },
    ],
)
def test_declarations_of_options_are_not_counted(sources: dict[str, str]) -> None:
    assert _long_functions(parsed(**sources)) == []


def test_a_long_function_that_has_a_verbs_name_elsewhere_is_counted() -> None:
    verb = "@app.command()\ndef train():\n    x = 1\n"
    engine = f"def train{SIGNATURE}{_body(30)}"
    assert _long_functions(parsed(search__cli=verb, search__engine=engine))


def test_another_long_signature_is_counted() -> None:
    assert _long_functions(parsed(search__x=f"def long{SIGNATURE}{_body(30)}"))


@pytest.mark.parametrize(
    "sources",
    [
        {"search__x": "class Table:\n    pass"},
        {"search__x": "def read():\n    pass"},
        {"search__x": "async def read():\n    pass"},
        {"search__table": "", "search__table__store": ""},
    ],
)
def test_a_missing_docstring_is_seen(sources: dict[str, str]) -> None:
    assert _undescribed(parsed(search="'The package.'", **sources))


def test_private_names_and_methods_need_no_docstring() -> None:
    text = "class _Part:\n    pass\ndef _part():\n    pass\n"
    text += "class Table:\n    'Rows.'\n    def rows(self):\n        pass"
    assert _undescribed(parsed(search="'The package.'", search__x=text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "def read():\n    'Ignored.'",
        "def read_table():\n    'Read the table.'",
        "def read_tables():\n    'Returns a table that is read.'",
        "class TableReader:\n    'A table reader.'",
        "class Table:\n    'Rows in one place.'\n    def rows(self):\n        'The rows.'",
        "class Table:\n    'One place.'\n    def rows(self):\n        \"The table's rows.\"",
    ],
)
def test_a_docstring_that_restates_its_name_is_seen(text: str) -> None:
    assert _filler(parsed(search__x=text))


def test_a_docstring_that_says_more_is_let_through() -> None:
    assert _filler(parsed(search__x="def read_table():\n    'The table of a folder.'")) == []


def test_the_test_files_that_begin_first_exist() -> None:
    from tests.conftest import LONG_FILES

    assert [name for name in LONG_FILES if not (ROOT / "tests" / name).is_file()] == []
