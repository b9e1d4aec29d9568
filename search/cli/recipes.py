"""`python -m search recipes`: the recipes that come with the kit, and their files."""

from typing import Annotated

import typer

from search.cli.copies import Copy, show_list, show_or_copy
from search.cli.options import OutputFormat, examples
from search.console.app import check_format, make_app
from search.console.help import PanelCommand

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
    output: Copy = None,
) -> None:
    """Print the file of a recipe: a copy of it is a recipe of your own."""
    from search.recipes.document import recipe_source

    show_or_copy(recipe_source(name), output)


def show_recipes(output_format: str) -> None:
    """Print name, methods, length of the training and description of each recipe."""
    check_format(output_format)
    from search.algorithms.registry import METHODS
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
    show_list(rows, output_format, left=("recipe", "searches", "what"), hidden=("source",))
