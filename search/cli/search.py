"""`python -m search`: the search itself, the default verb."""

from pathlib import Path
from typing import Annotated

import typer

from search.algorithms.registry import METHODS
from search.cli.options import (
    COMPUTE,
    EFFORT,
    OUTPUT,
    PROBLEM,
    AcceptChanges,
    Batch,
    Classes,
    Compile,
    Cost,
    Device,
    Imported,
    LearningRate,
    Limit,
    Most,
    OutputFormat,
    Precision,
    Predicted,
    Probability,
    Quiet,
    Recipe,
    Resume,
    Seed,
    Settings,
    Simulated,
    Source,
    Threads,
    TrainFolder,
    Unexamined,
    ValFolder,
    complete_space,
    examples,
    gather,
)
from search.cli.recipes import LIST, show_recipes
from search.console.app import check_format
from search.console.help import VersionOption
from search.console.suggestions import one_of
from search.console.suggestions import tables as complete_table
from search.errors import UsageError

ALGORITHMS = (*METHODS, "exact", "evolution", "random", "zero-cost")
EXAMPLES = examples(
    "python -m search --table T --target-ms 3 --data IMAGES --retrain -o net.json",
    "python -m search --table T --target-ms 2 --algorithm exact --scores S -o 2.json",
)


def search(
    context: typer.Context,
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
    algorithm: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(METHODS)}, exact (needs --scores), evolution, random, or zero-cost "
            "(no training: --set score=zico, params or flops); by default the recipe's, or fbnet.",
            rich_help_panel=PROBLEM,
            autocompletion=one_of(lambda: ALGORITHMS),
        ),
    ] = None,
    target_ms: Annotated[
        float | None,
        typer.Option(
            help="Latency to meet at the table's state; without one, fbnet's product loss.",
            rich_help_panel=PROBLEM,
        ),
    ] = None,
    target_share: Annotated[
        float | None,
        typer.Option(
            help="Instead: this share of the way from the fastest network's latency to the "
            "slowest's.",
            min=0,
            max=1,
            rich_help_panel=PROBLEM,
        ),
    ] = None,
    cost: Cost = "latency",
    target_mflops: Annotated[
        float | None,
        typer.Option(
            help="With --cost flops: millions of multiply-adds to meet.", rich_help_panel=PROBLEM
        ),
    ] = None,
    target_mparams: Annotated[
        float | None,
        typer.Option(
            help="With --cost params: millions of parameters to meet.", rich_help_panel=PROBLEM
        ),
    ] = None,
    target_mb: Annotated[
        float | None,
        typer.Option(
            help="With --cost memory: millions of bytes to meet, weights and all activations.",
            rich_help_panel=PROBLEM,
        ),
    ] = None,
    most: Most = None,
    probability: Probability = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="scores.json of an earlier search.", rich_help_panel=PROBLEM),
    ] = None,
    source: Source = "digits",
    classes: Classes = None,
    limit: Limit = None,
    train_folder: TrainFolder = None,
    val_folder: ValFolder = None,
    recipe: Recipe = "cpu",
    settings: Settings = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of the search (of a trial).", min=1, rich_help_panel=EFFORT),
    ] = None,
    batch: Batch = None,
    learning_rate: LearningRate = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Networks tried: 8 by evolution and random, 100 by zero-cost.",
            min=1,
            rich_help_panel=EFFORT,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="NAS-Bench-Macro's JSON file: report true accuracy and regret of what is found.",
            rich_help_panel=EFFORT,
        ),
    ] = None,
    seed: Seed = 0,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train the network found; writes <output>.pt.",
            rich_help_panel=EFFORT,
        ),
    ] = False,
    retrain_epochs: Annotated[
        int | None, typer.Option(help="Epochs of --retrain.", min=1, rich_help_panel=EFFORT)
    ] = None,
    device: Device = "auto",
    precision: Precision = "float32",
    compile: Compile = False,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Keep no activations of searched layers.",
            rich_help_panel=COMPUTE,
        ),
    ] = False,
    threads: Threads = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Architecture file.", rich_help_panel=OUTPUT)
    ] = Path("arch.json"),
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; <output>.run by default.", rich_help_panel=OUTPUT),
    ] = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    quiet: Quiet = False,
    output_format: OutputFormat = "table",
    unexamined: Unexamined = False,
    simulated: Simulated = False,
    imported: Imported = False,
    predicted: Predicted = False,
    version: VersionOption = False,
) -> None:
    """Search a network for the device of a table (the default verb)."""
    parameters = locals() | {"settings": tuple(settings or ())}
    if context.invoked_subcommand is not None:
        return
    check_format(output_format)
    if recipe == LIST:
        show_recipes(output_format)
        return
    _check_together(table, space, algorithm, scores)
    if target_ms is not None and target_share is not None:
        raise UsageError("--target-share is a target too.", "Give it or --target-ms, not both.")
    from search.algorithms.recipes import method_of, open_recipe
    from search.pipeline.problem import Waivers, load_problem, untimed_problem, weigh
    from search.table.query import find_table

    algorithm = parameters["algorithm"] = algorithm or method_of(recipe)
    open_recipe(recipe, settings or (), algorithm)  # refused before the table is read
    waivers = gather(Waivers, parameters)
    if table is not None:
        problem = load_problem(find_table(table), target_ms, waivers, probability, target_share)
    else:
        if (target_ms, target_share, probability) != (None, None, None):
            raise UsageError(
                "--target-ms, --target-share and --probability need a latency.", "Give --table."
            )
        problem = untimed_problem(space or "", classes, cost, waivers)
    problem = weigh(
        problem,
        cost,
        target_mflops=target_mflops,
        target_mparams=target_mparams,
        target_mb=target_mb,
    )
    from search.pipeline.limits.most import with_limits

    problem = with_limits(problem, most or [])
    from search.cli.output import show_search
    from search.pipeline.options import DataOptions, SearchOptions
    from search.pipeline.resources import ComputeOptions
    from search.pipeline.run import run_search

    images = gather(DataOptions, parameters)
    options = gather(SearchOptions, parameters, images=images)
    result = run_search(problem, options, gather(ComputeOptions, parameters))
    if result is not None:
        show_search(result, output_format)


def _check_together(
    table: Path | None, space: str | None, algorithm: str | None, scores: Path | None
) -> None:
    """Refuse what names no problem, or two, before anything heavy is imported."""
    if table is None and space is None:
        raise UsageError(
            "No latency table is given.",
            "Add --table tables/<device>/<name>, or --space NAME --cost flops.",
        )
    if table is not None and space is not None:
        raise UsageError("A table has its own space.", "Give --table or --space, not both.")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise UsageError(f"Unknown --algorithm {algorithm!r}.", f"Known: {', '.join(ALGORITHMS)}.")
    if (algorithm == "exact") != (scores is not None):
        raise UsageError(
            "--algorithm exact and --scores go together.",
            "A search leaves its scores.json in the folder of its run.",
        )
