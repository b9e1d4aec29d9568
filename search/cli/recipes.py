"""`python -m search recipes`: the recipes that come with the kit, and their files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import OUTPUT, OutputFormat, examples
from search.console.app import check_format, make_app
from search.console.help import PanelCommand
from search.errors import UsageError
from search.files import check_file, write_text

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = examples("python -m search recipes", "python -m search recipes show fbnet -o mine.toml")
LIST = "list"
app = make_app(help="List recipes, or show the file of one.", epilog=EXAMPLES)


@app.callback(invoke_without_command=True)
def recipes(context: typer.Context, output_format: OutputFormat = "table") -> None:
    """List the recipes that come with the kit."""
    if context.invoked_subcommand is None:
        show_recipes(output_format)


@app.command(cls=PanelCommand, epilog=examples("python -m search recipes show single-path"))
def show(
    name: Annotated[str, typer.Argument(help="Name of a recipe, or path of a .toml file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write it there, to be changed.", rich_help_panel=OUTPUT
        ),
    ] = None,
) -> None:
    """Print the file of a recipe: a copy of it is a recipe of your own."""
    from search.recipes.document import recipe_source

    text = recipe_source(name)
    if output is None:
        print(text, end="")
        return
    check_file(output, "--output", (".toml",))
    if output.exists():
        raise UsageError(f"{output} exists.", "Choose another --output.")
    write_text(output, text)
    print(f"written to {output}")


def show_recipes(output_format: str) -> None:
    """Print name, methods, length of the training and description of each recipe."""
    check_format(output_format)
    from search.algorithms.registry import METHODS
    from search.cli.output import grid_of
    from search.console.output import emit
    from search.recipes.document import load_recipe, recipe_names

    rows = []
    for name in recipe_names():
        recipe = load_recipe(name)
        rows.append(
            {
                "recipe": name,
                "searches": " ".join(table for table in recipe.tables if table in METHODS),
                "train_epochs": recipe.tables.get("train", {}).get("epochs"),
                "what": recipe.description,
                "source": recipe.source,
            }
        )

    def table(console: "Console") -> None:
        shown = [{key: row[key] for key in row if key != "source"} for row in rows]
        console.print(grid_of(shown, left=("recipe", "searches", "what")))

    emit(output_format, table=table, content=lambda: rows, rows=lambda: rows)
