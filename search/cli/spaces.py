"""`python -m search spaces`: the spaces that are known, and their files."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from search.cli.copies import Copy, show_list, show_or_copy
from search.cli.options import OutputFormat, complete_space, examples
from search.console.app import check_format, make_app
from search.console.help import PanelCommand
from search.errors import KitError, UsageError

if TYPE_CHECKING:
    from search.spaces.base import LayeredSpace
    from search.spaces.custom.definition import SpaceDefinition

EXAMPLES = examples(
    "python -m search spaces",
    "python -m search spaces show fbnet-mini -o mine.toml",
    "python -m search spaces check mine.toml",
)
_LEFT = ("space", "searched_by", "from", "problem")
app = make_app(help="List spaces, show the file of one, or check a file.", epilog=EXAMPLES)


@app.callback(invoke_without_command=True)
def spaces(context: typer.Context, output_format: OutputFormat = "table") -> None:
    """List the spaces that the kit and other distributions bring."""
    if context.invoked_subcommand is None:
        check_format(output_format)
        from search.spaces.registry import known_names, origins

        rows = [_row(name, " and ".join(origins(name))) for name in known_names()]
        show_list(rows, output_format, left=_LEFT)


@app.command(cls=PanelCommand, epilog=examples("python -m search spaces show uib-mini"))
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name, .toml file or whole spec of a space, or the folder of a table.",
            autocompletion=complete_space,
        ),
    ],
    output: Copy = None,
) -> None:
    """Print a space as a TOML file: a copy of it is a space of your own."""
    from dataclasses import replace

    from search.spaces.custom.definition import SPACE_NAME
    from search.spaces.custom.toml_text import toml_text
    from search.spaces.registry import known_names

    definition = _find_definition(name)
    if definition.name in known_names():
        stem = "" if output is None else output.stem
        fits = SPACE_NAME.fullmatch(stem) and stem not in known_names()
        definition = replace(definition, name=stem if fits else f"my-{definition.name}")
    show_or_copy(toml_text(definition), output)


@app.command(cls=PanelCommand, epilog=examples("python -m search spaces check mine.toml"))
def check(
    file: Annotated[Path, typer.Argument(help="A .toml file of a space.")],
    output_format: OutputFormat = "table",
) -> None:
    """Read a space's file as `--space` does, and count what it holds."""
    check_format(output_format)
    from search.spaces.registry import find_definition

    if file.suffix != ".toml":
        raise UsageError(f"{file} is no .toml file.", "Name the file of a space.")
    definition = cast("SpaceDefinition", find_definition(str(file)))
    show_list([_facts(definition.space(), definition.name)], output_format, left=_LEFT)


def _find_definition(name: str) -> "SpaceDefinition":
    """The definition of a space by its name, file or spec, or of that of a table."""
    from search.spaces.custom.definition import SpaceDefinition, definition_of
    from search.spaces.registry import find_definition, is_spec, make_space, parse_space
    from search.table.store import MANIFEST, read_manifest

    if (Path(name) / MANIFEST).is_file():
        return definition_of(parse_space(read_manifest(Path(name)).space.spec))
    if is_spec(name):
        return definition_of(parse_space(name))
    found = find_definition(name)
    return found if isinstance(found, SpaceDefinition) else definition_of(make_space(name))


def _row(name: str, origin: str) -> dict[str, Any]:
    """A line of the list; a space that cannot be loaded has its reason there."""
    from search.spaces.registry import make_space

    try:
        return {**_facts(make_space(name), name), "from": origin, "problem": None}
    except KitError as error:
        empty = dict.fromkeys(("layers", "candidates", "networks", "resolution", "searched_by"))
        return {"space": name, **empty, "from": origin, "problem": error.message}


def _facts(space: "LayeredSpace", name: str) -> dict[str, Any]:
    from search.pipeline.options import methods_of

    widths = [len(layer.choices) for layer in space.layers]
    return {
        "space": name,
        "layers": len(widths),
        "candidates": sum(widths),
        "networks": float(prod(widths)),
        "resolution": space.before[0].height,
        "searched_by": " ".join(methods_of(space)),
    }
