"""`python -m search specialise`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from search.console.app import check_format
from search.errors import UsageError


def specialise(
    supernet: Annotated[Path, typer.Option(help="Folder of a search's run (<output>.run).")],
    target_ms: Annotated[
        list[float], typer.Option(help="Latency to meet: once for all tables, or once each.")
    ],
    table: Annotated[
        list[Path] | None, typer.Option(help="Folders of latency tables; more may follow.")
    ] = None,
    tables: Annotated[list[Path] | None, typer.Argument(help="More tables.")] = None,
    probability: Annotated[
        float | None, typer.Option(help="Meet it with this probability, by the tables' intervals.")
    ] = None,
    data: Annotated[str, typer.Option(help="The images of the search.")] = "digits",
    classes: Annotated[int | None, typer.Option(help="As in the search.", min=2)] = None,
    limit: Annotated[int | None, typer.Option(help="As in the search.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="As in the search.", min=0)] = 0,
    networks: Annotated[
        int | None, typer.Option(help="Networks to judge; four a candidate by default.", min=15)
    ] = None,
    rescore: Annotated[bool, typer.Option("--rescore", help="Judge networks again.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch.", min=1)] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for architectures and comparison.")
    ] = Path("specialised"),
    allow_unexamined: Annotated[
        bool, typer.Option("--allow-unexamined", help="Take tables without a passed exam.")
    ] = False,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Take tables that were not measured.")
    ] = False,
    allow_imported: Annotated[
        bool, typer.Option("--allow-imported", help="Take tables of others.")
    ] = False,
    allow_predicted: Annotated[
        bool, typer.Option("--allow-predicted", help="Take tables with predicted rows.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
) -> None:
    """One network a table from one trained supernet, without any training."""
    check_format(form)
    every = [*(table or []), *(tables or [])]
    if not every:
        raise UsageError("No latency table is given.", "Add --table tables/<device>/<name> ...")
    from search.cli.output import show_specialisation
    from search.pipeline.options import DataOptions
    from search.pipeline.problem import Waivers
    from search.pipeline.resources import ComputeOptions, compute_resources
    from search.pipeline.specialise import load_problems, run_specialise
    from search.pipeline.supernet_scores import Scoring
    from search.training.progress import make_observer

    waivers = Waivers(
        unexamined=allow_unexamined,
        simulated=allow_simulated,
        imported=allow_imported,
        predicted=allow_predicted,
    )
    tasks = load_problems(every, target_ms, waivers, probability)
    scoring = Scoring(
        images=DataOptions(source=data, classes=classes, limit=limit),
        networks=networks,
        seed=seed,
        anew=rescore,
    )
    with compute_resources(ComputeOptions(threads=threads)):
        comparison = run_specialise(supernet, tasks, scoring, make_observer(quiet), output)
    show_specialisation(comparison, output, form)
