"""`python -m search train`: one network from scratch."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import (
    EFFORT,
    OUTPUT,
    AcceptChanges,
    Batch,
    Classes,
    Compile,
    Device,
    LearningRate,
    Limit,
    OutputFormat,
    Precision,
    Quiet,
    Recipe,
    Resume,
    Seed,
    Settings,
    Source,
    Threads,
    TrainFolder,
    ValFolder,
    examples,
    gather,
)
from search.cli.recipes import LIST, show_recipes
from search.console.app import check_format
from search.errors import UsageError

EXAMPLES = examples(
    "python -m search train net.json --data IMAGES -o net.pt",
    "python -m search train net.run/candidates --best --data IMAGES -o net.pt",
)


def train(
    network: Annotated[
        str,
        typer.Argument(
            metavar="architecture",
            help="Architecture file or published name; with --best a folder of files.",
        ),
    ],
    source: Source = "digits",
    classes: Classes = None,
    limit: Limit = None,
    train_folder: TrainFolder = None,
    val_folder: ValFolder = None,
    best: Annotated[
        bool,
        typer.Option(
            "--best",
            help="Train all networks of a folder, and keep the best on images held out.",
            rich_help_panel=EFFORT,
        ),
    ] = False,
    held_out: Annotated[
        float | None,
        typer.Option(
            help="With --best: share of the training images that decides; 0.1 by default.",
            min=0,
            max=0.9,
            rich_help_panel=EFFORT,
        ),
    ] = None,
    recipe: Recipe = "cpu",
    settings: Settings = None,
    epochs: Annotated[
        int | None, typer.Option(help="Instead of the recipe's.", min=1, rich_help_panel=EFFORT)
    ] = None,
    batch: Batch = None,
    learning_rate: LearningRate = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    compile: Compile = False,
    threads: Threads = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File of weights.", rich_help_panel=OUTPUT)
    ] = Path("weights.pt"),
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; <output>.train by default.", rich_help_panel=OUTPUT),
    ] = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    quiet: Quiet = False,
    output_format: OutputFormat = "table",
) -> None:
    """Train one network from scratch and judge it on the test images.

    With --best, all networks of a folder, such as the candidates of a search.
    """
    parameters = locals() | {"settings": tuple(settings or ())}
    check_format(output_format)
    if recipe == LIST:
        show_recipes(output_format)
        return
    _check_folder(network, best, held_out)
    from search.cli.output import show_trained, show_trained_all
    from search.pipeline.networks.train_all import run_training_of_all
    from search.pipeline.options import DataOptions, TrainOptions
    from search.pipeline.resources import ComputeOptions
    from search.pipeline.train import run_training

    images = gather(DataOptions, parameters)
    options = gather(TrainOptions, parameters, images=images)
    compute = gather(ComputeOptions, parameters)
    if best:
        all_trained = run_training_of_all(options, compute, 0.1 if held_out is None else held_out)
        if all_trained is not None:
            show_trained_all(all_trained, output_format)
        return
    result = run_training(options, compute)
    if result is not None:
        show_trained(result, output_format)


def _check_folder(network: str, best: bool, held_out: float | None) -> None:
    """A folder goes with --best, and one network without.

    Raises:
        UsageError: Otherwise.
    """
    if best and not Path(network).is_dir():
        raise UsageError(
            f"--best chooses among the networks of a folder; {network} is none.",
            "Name the candidates of a search (<output>.run/candidates), or leave --best out.",
        )
    if not best and Path(network).is_dir():
        raise UsageError(
            f"{network} is a folder.",
            "Add --best to train all of its networks and keep the best, or name one file.",
        )
    if held_out is not None and not best:
        raise UsageError("--held-out is of --best, which is not given.")
