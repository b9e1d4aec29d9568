"""The product's own sources, read with `ast`: its modules and what they import."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("search", "deploy", "device_agents", "profiler")

Modules = Mapping[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_modules() -> dict[str, ast.Module]:
    """Every module of the product by its dotted name."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return modules


def parsed(**sources: str) -> dict[str, ast.Module]:
    """Modules from texts; `search__table` stands for `search.table`."""
    return {name.replace("__", "."): ast.parse(text) for name, text in sources.items()}


def packages_of(modules: Modules) -> set[str]:
    """The names that other modules lie below."""
    return {name.rpartition(".")[0] for name in modules}


def imported(name: str, tree: ast.AST, package: bool) -> Iterator[str]:
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


def imports(modules: Modules) -> Iterator[tuple[str, str]]:
    """Each module with each dotted name that it imports."""
    packages = packages_of(modules)
    for name, tree in modules.items():
        yield from ((name, other) for other in imported(name, tree, name in packages))
