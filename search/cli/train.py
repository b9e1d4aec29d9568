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

EXAMPLES = examples(
    "python -m search train net.json --data IMAGES -o net.pt",
    "python -m search train FBNet-C --data IMAGES --recipe paper --compute cuda",
)


def train(
    network: Annotated[
        str, typer.Argument(metavar="architecture", help="Architecture file or published name.")
    ],
    source: Source = "digits",
    classes: Classes = None,
    limit: Limit = None,
    train_folder: TrainFolder = None,
    val_folder: ValFolder = None,
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
    """Train one network from scratch and judge it on the test images."""
    parameters = locals() | {"settings": tuple(settings or ())}
    check_format(output_format)
    if recipe == LIST:
        show_recipes(output_format)
        return
    from search.cli.output import show_trained
    from search.pipeline.options import DataOptions, TrainOptions
    from search.pipeline.resources import ComputeOptions
    from search.pipeline.train import run_training

    images = gather(DataOptions, parameters)
    options = gather(TrainOptions, parameters, images=images)
    result = run_training(options, gather(ComputeOptions, parameters))
    if result is not None:
        show_trained(result, output_format)
