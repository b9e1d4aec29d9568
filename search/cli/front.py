"""`python -m search front`: the best networks under several targets."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import (
    OUTPUT,
    PROBLEM,
    Imported,
    OutputFormat,
    Predicted,
    Simulated,
    Unexamined,
    examples,
    gather,
)
from search.console.app import check_format
from search.console.suggestions import tables as complete_table

EXAMPLES = examples(
    "python -m search front --table TABLE --scores net.run/scores.json -o front",
    "python -m search front --table TABLE --scores S --target-ms 2 --target-ms 3",
)


def front(
    table: Annotated[
        Path,
        typer.Option(
            help="A latency table: its folder, or words such as latest.",
            rich_help_panel=PROBLEM,
            autocompletion=complete_table,
        ),
    ],
    scores: Annotated[
        Path,
        typer.Option(help="scores.json of a search of the same space.", rich_help_panel=PROBLEM),
    ],
    targets_ms: Annotated[
        list[float] | None,
        typer.Option(
            "--target-ms", help="Targets; the whole front if none.", rich_help_panel=PROBLEM
        ),
    ] = None,
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
    from search.cli.output import show_front
    from search.pipeline.front import run_front
    from search.pipeline.problem import Waivers, load_problem
    from search.table.query import find_table

    problem = load_problem(find_table(table), None, gather(Waivers, parameters))
    show_front(run_front(problem, scores, targets_ms or [], output), output_format)
