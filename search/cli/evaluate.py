"""`python -m search evaluate`: the accuracy of given weights."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import (
    DATA,
    EFFORT,
    OUTPUT,
    Compile,
    Device,
    OutputFormat,
    Precision,
    Quiet,
    Seed,
    Source,
    Threads,
    TrainFolder,
    ValFolder,
    examples,
    gather,
)
from search.console.app import check_format

EXAMPLES = examples(
    "python -m search evaluate net.json --weights net.pt --data IMAGES",
    "python -m search evaluate FBNet-C-mobile-cv --weights fbnetc_100.pth --data IMAGENET",
)


def evaluate(
    network: Annotated[
        str, typer.Argument(metavar="architecture", help="Architecture file or published name.")
    ],
    weights: Annotated[
        Path,
        typer.Option(
            "--weights", "-w", help="State dict or checkpoint; ours, timm's or mobile-vision's."
        ),
    ],
    source: Source = "digits",
    split: Annotated[
        str, typer.Option(help="Images to judge on: test or train.", rich_help_panel=DATA)
    ] = "test",
    limit: Annotated[
        int | None,
        typer.Option(help="At most that many images of the split.", min=1, rich_help_panel=DATA),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            help="Side of the square that the network sees; its own by default.",
            min=1,
            rich_help_panel=DATA,
        ),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            help="Shorter side that the square is cut from; crop x 256/224 beyond 64 px.",
            min=1,
            rich_help_panel=DATA,
        ),
    ] = None,
    train_folder: TrainFolder = None,
    val_folder: ValFolder = None,
    seed: Seed = 0,
    batch: Annotated[
        int, typer.Option(help="Images a forward pass.", min=1, rich_help_panel=EFFORT)
    ] = 64,
    device: Device = "auto",
    precision: Precision = "float32",
    compile: Compile = False,
    threads: Threads = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the weights in our layout, and the network beside them.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Quiet = False,
    output_format: OutputFormat = "table",
) -> None:
    """Judge weights on images: top-1 and top-5, with their 95 % intervals.

    The seed decides which images are held out where the data are not split.
    """
    parameters = locals()
    check_format(output_format)
    from search.cli.output import show_evaluation
    from search.pipeline.networks.evaluate import EvaluateOptions, run_evaluation
    from search.pipeline.options import DataOptions
    from search.pipeline.resources import ComputeOptions

    images = gather(DataOptions, parameters)
    options = gather(EvaluateOptions, parameters, images=images)
    show_evaluation(run_evaluation(options, gather(ComputeOptions, parameters)), output_format)
