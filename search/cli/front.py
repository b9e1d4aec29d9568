"""`python -m search front`: the best networks under several targets."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import (
    OUTPUT,
    PROBLEM,
    Cost,
    Imported,
    Most,
    OutputFormat,
    Predicted,
    Simulated,
    TargetsMb,
    TargetsMflops,
    TargetsMparams,
    Unexamined,
    complete_space,
    examples,
    gather,
)
from search.console.app import check_format
from search.console.suggestions import tables as complete_table
from search.errors import UsageError

EXAMPLES = examples(
    "python -m search front --table TABLE --scores net.run/scores.json -o front",
    "python -m search front --table T --scores S --target-ms 2 --target-ms 3 --most mflops=300",
)


def front(
    scores: Annotated[
        Path,
        typer.Option(help="scores.json of a search of the same space.", rich_help_panel=PROBLEM),
    ],
    table: Annotated[
        Path | None,
        typer.Option(
            help="A latency table: its folder, or words such as latest.",
            rich_help_panel=PROBLEM,
            autocompletion=complete_table,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Without --table: a space (name or .toml), for --cost flops, params or memory.",
            rich_help_panel=PROBLEM,
            autocompletion=complete_space,
        ),
    ] = None,
    targets_ms: Annotated[
        list[float] | None,
        typer.Option(
            "--target-ms", help="Targets; the whole front if none.", rich_help_panel=PROBLEM
        ),
    ] = None,
    cost: Cost = "latency",
    targets_mflops: TargetsMflops = None,
    targets_mparams: TargetsMparams = None,
    targets_mb: TargetsMb = None,
    most: Most = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the architectures.", rich_help_panel=OUTPUT
        ),
    ] = None,
    output_format: OutputFormat = "table",
    unexamined: Unexamined = False,
    simulated: Simulated = False,
    imported: Imported = False,
    predicted: Predicted = False,
) -> None:
    """The best networks under several targets: exact, without any training."""
    parameters = locals()
    check_format(output_format)
    from search.cli.front_output import show_front
    from search.pipeline.front import run_front
    from search.pipeline.limits.targets import TypedTargets, problems_of
    from search.pipeline.problem import Waivers, load_problem, untimed_problem
    from search.table.query import find_table

    waivers = gather(Waivers, parameters)
    if (table is None) == (space is None):
        raise UsageError("One of --table and --space is needed.", "Give --table, or --space NAME.")
    if table is not None:
        problem = load_problem(find_table(table), None, waivers)
    else:
        problem = untimed_problem(space or "", None, cost, waivers)
    problems = problems_of(problem, gather(TypedTargets, parameters))
    show_front(run_front(problems, scores, output), output, output_format)
