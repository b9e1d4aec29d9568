"""`python -m search specialise`: one network a table from one supernet."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import (
    EFFORT,
    OUTPUT,
    PROBLEM,
    Classes,
    Cost,
    Imported,
    Limit,
    Most,
    OutputFormat,
    Predicted,
    Probability,
    Quiet,
    Seed,
    Simulated,
    Source,
    TargetsMb,
    TargetsMflops,
    TargetsMparams,
    Threads,
    TrainFolder,
    Unexamined,
    ValFolder,
    examples,
    gather,
)
from search.console.app import check_format
from search.console.suggestions import tables as complete_table
from search.errors import UsageError

EXAMPLES = examples(
    "python -m search specialise --supernet net.run --data IMAGES --target-ms 3 --table T1 T2",
    "python -m search specialise --supernet R --target-ms 3 --target-ms 5 --table T1 T2",
)


def specialise(
    supernet: Annotated[
        Path,
        typer.Option(help="Folder of a search's run (<output>.run).", rich_help_panel=PROBLEM),
    ],
    targets_ms: Annotated[
        list[float] | None,
        typer.Option(
            "--target-ms",
            help="Latency at the tables' states: once for all, or once each.",
            rich_help_panel=PROBLEM,
        ),
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(
            help="Latency tables: folders, or words such as latest; more may follow.",
            rich_help_panel=PROBLEM,
            autocompletion=complete_table,
        ),
    ] = None,
    tables: Annotated[list[Path] | None, typer.Argument(help="More tables.")] = None,
    cost: Cost = "latency",
    targets_mflops: TargetsMflops = None,
    targets_mparams: TargetsMparams = None,
    targets_mb: TargetsMb = None,
    most: Most = None,
    probability: Probability = None,
    source: Source = "digits",
    classes: Classes = None,
    limit: Limit = None,
    train_folder: TrainFolder = None,
    val_folder: ValFolder = None,
    seed: Seed = 0,
    networks: Annotated[
        int | None,
        typer.Option(
            help="Networks to judge; four a candidate by default.", min=15, rich_help_panel=EFFORT
        ),
    ] = None,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Judge networks again.", rich_help_panel=EFFORT)
    ] = False,
    threads: Threads = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for architectures and comparison.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("specialised"),
    quiet: Quiet = False,
    output_format: OutputFormat = "table",
    unexamined: Unexamined = False,
    simulated: Simulated = False,
    imported: Imported = False,
    predicted: Predicted = False,
) -> None:
    """One network a table from one trained supernet, without any training.

    Data options and seed must be those of the search.
    """
    parameters = locals()
    check_format(output_format)
    folders = [*(table or []), *(tables or [])]
    if not folders:
        raise UsageError("No latency table is given.", "Add --table tables/<device>/<name> ...")
    from search.cli.front_output import show_specialisation
    from search.console.progress import make_progress
    from search.pipeline.limits.targets import TypedTargets
    from search.pipeline.options import DataOptions
    from search.pipeline.problem import Waivers
    from search.pipeline.resources import ComputeOptions, compute_resources
    from search.pipeline.specialise import load_problems, run_specialise
    from search.pipeline.supernet_scores import Scoring
    from search.table.query import find_table

    folders = [find_table(folder) for folder in folders]
    problems = load_problems(
        folders, gather(TypedTargets, parameters), gather(Waivers, parameters), probability
    )
    scoring = gather(Scoring, parameters, images=gather(DataOptions, parameters))
    compute = gather(ComputeOptions, parameters)
    with compute_resources(compute), make_progress(quiet) as progress:
        result = run_specialise(supernet, problems, scoring, progress, output)
    show_specialisation(result, output, output_format)
