"""`python -m search sweep`: a grid of searches over seeds, with intervals and a front."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import EFFORT, OUTPUT, OutputFormat, Quiet, examples
from search.console.app import check_format
from search.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from search.sweep.grid import Setting
    from search.sweep.work import SweepResult

EXAMPLES = examples(
    "python -m search sweep cpu --set cost.lambda_rate=0.01,0.02 --seeds 0-4 --table T --data D",
    "python -m search sweep cpu --over target-ms=1,2,4 --seeds 0,1,2 --table T --retrain",
)
# Its options end where those of the searches begin; typer passes those on.
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def sweep(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or path of a .toml file.")],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,...",
            help="Values of a key of the recipe; may be repeated, and all are combined.",
            rich_help_panel=EFFORT,
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="OPTION=VALUE,...",
            help="Values of an option of the search, such as target-ms=1,2; may be repeated.",
            rich_help_panel=EFFORT,
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Seeds of every setting: 0,1,2 or 0-4.", rich_help_panel=EFFORT)
    ] = "0,1,2",
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the runs; finished ones are kept.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("sweep"),
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the searches, start none.", rich_help_panel=OUTPUT),
    ] = False,
    quiet: Quiet = False,
    output_format: OutputFormat = "table",
) -> None:
    """Search with every combination of values and seeds; further options are the searches'.

    Prints means over seeds with 95 % t-intervals, and the settings that no other one beats.
    Started again, it takes only the runs that are missing or failed.
    """
    check_format(output_format)
    from search.recipes.document import recipe_source
    from search.sweep.grid import parse_seeds, runs_of, settings_of

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("A sweep runs in one process.", "Start it without torchrun.")
    if recipe.startswith("-"):
        raise UsageError("The recipe stands first.", "For example: search sweep cpu --table T.")
    rest, text = list(context.args), recipe_source(recipe)
    settings = settings_of(sets or (), over or ())
    runs = runs_of(recipe, text, settings, parse_seeds(seeds), rest)
    _check(context.find_root().command, settings, recipe, rest)
    if dry_run:
        for run in runs:
            print(run.name)
        return
    from search.console.progress import make_progress
    from search.files import check_folder
    from search.sweep.work import run_sweep

    check_folder(output, "--output")
    with make_progress(quiet) as progress:
        result = run_sweep(runs, output, progress)
    _show(result, output, output_format, trained="--retrain" in rest)
    if not any(row.runs for row in result.rows):
        raise typer.Exit(1)


def _check(search: Any, settings: Sequence["Setting"], recipe: str, rest: Sequence[str]) -> None:
    """Refuse what every search of a setting would refuse, before the first begins.

    Raises:
        UsageError: Words that the sweep or a search does not take, or a wrong recipe.
        Exception: typer's own, for an option or its value.
    """
    from search.algorithms.recipes import method_of, open_recipe
    from search.sweep.grid import TAKEN

    given = [word.partition("=")[0] for word in rest]
    varied = [f"--{name}" for name, _ in settings[0].options]
    for word in given:
        if word in TAKEN or word in varied:
            raise UsageError(f"{word} is set by the sweep itself.", "Leave it out.")
    for setting in settings:
        words = ["--recipe", recipe, *rest, *setting.words()]
        _, stray, _ = search.make_parser(search.context_class(search)).parse_args(list(words))
        if stray:  # it would be taken for a verb
            raise UsageError(f"{stray[0]!r} is no option of a search.", "Leave it out.")
        parsed = search.make_context("search", words).params
        method = parsed["algorithm"] or method_of(recipe)
        open_recipe(recipe, parsed["settings"] or (), method)


def _show(result: "SweepResult", folder: Path, output_format: str, *, trained: bool) -> None:
    from search.cli.output import grid_of
    from search.console.output import emit, to_json
    from search.files import write_text
    from search.sweep.page import sweep_page
    from search.sweep.work import rows_of

    accuracy = "accuracy on the test images" if trained else "accuracy on images held back"
    document, rows = result.document(), rows_of(result.rows)
    write_text(folder / "sweep.json", to_json(document) + "\n")
    write_text(folder / "sweep.html", sweep_page(result.rows, folder.name, accuracy))

    def table(console: "Console") -> None:
        console.print(grid_of(rows))
        print(f"{accuracy}; 95: half of a 95 % t-interval over seeds")
        for run, outcome in result.runs:
            if outcome.failed:
                print(f"failed     {run.name}: {outcome.failed}")
        print(f"written to {folder / 'sweep.json'} and {folder / 'sweep.html'}")

    emit(output_format, table=table, content=lambda: document, rows=lambda: rows)
