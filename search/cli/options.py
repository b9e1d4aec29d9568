"""Options that several verbs share, and their way into typed options."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from search.console.suggestions import names_or_files
from search.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Kind = TypeVar("Kind", bound=DataclassInstance)

# Panels of the help.
PROBLEM, DATA, EFFORT = "Problem", "Data", "Effort"
COMPUTE, OUTPUT, WAIVERS = "Compute", "Output", "Waivers"

Probability = Annotated[
    float | None,
    typer.Option(
        help="Meet it with this probability, by the table's intervals.", rich_help_panel=PROBLEM
    ),
]

Most = Annotated[
    list[str] | None,
    typer.Option(
        help="One more limit: mflops=300, mparams=5, mb=12, ms=20, or ms@TABLE=8 by another table.",
        rich_help_panel=PROBLEM,
    ),
]

Cost = Annotated[
    str,
    typer.Option(help="What to weigh: latency, flops, params or memory.", rich_help_panel=PROBLEM),
]
TargetsMflops = Annotated[
    list[float] | None,
    typer.Option(
        "--target-mflops",
        help="With --cost flops: millions of multiply-adds.",
        rich_help_panel=PROBLEM,
    ),
]
TargetsMparams = Annotated[
    list[float] | None,
    typer.Option(
        "--target-mparams",
        help="With --cost params: millions of parameters.",
        rich_help_panel=PROBLEM,
    ),
]
TargetsMb = Annotated[
    list[float] | None,
    typer.Option(
        "--target-mb", help="With --cost memory: millions of bytes.", rich_help_panel=PROBLEM
    ),
]

Source = Annotated[
    str,
    typer.Option(
        "--data",
        help="'digits', or a folder (or archive) of class sub-folders.",
        rich_help_panel=DATA,
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(help="Only that many classes, drawn by the seed.", min=2, rich_help_panel=DATA),
]
Limit = Annotated[
    int | None,
    typer.Option(help="At most that many training images.", min=1, rich_help_panel=DATA),
]

TrainFolder = Annotated[
    str | None,
    typer.Option(
        "--train-folder",
        help="Where in --data the training images are, if names do not say it.",
        rich_help_panel=DATA,
    ),
]
ValFolder = Annotated[
    str | None,
    typer.Option(
        "--val-folder",
        help="Where in --data the test images are, if names do not say it.",
        rich_help_panel=DATA,
    ),
]

Recipe = Annotated[
    str,
    typer.Option(
        help="Hyperparameters: a name ('list' lists them), 'paper' (the method's own), or a "
        ".toml file.",
        rich_help_panel=EFFORT,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A value in place of the recipe's; may be repeated.",
        rich_help_panel=EFFORT,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(help="Images a step; the recipe's by default.", min=2, rich_help_panel=EFFORT),
]
LearningRate = Annotated[
    float | None,
    typer.Option(help="Of the weights; the recipe's by default.", min=0, rich_help_panel=EFFORT),
]
Seed = Annotated[
    int, typer.Option(help="Fixes everything that is random.", min=0, rich_help_panel=EFFORT)
]

Device = Annotated[
    str,
    typer.Option(
        "--compute",
        "--device",
        help="Where to train: auto, cpu, cuda, cuda:1.",
        rich_help_panel=COMPUTE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="float32, or bfloat16 or float16 (mixed precision).", rich_help_panel=COMPUTE
    ),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=COMPUTE)
]


def check_threads(threads: int | None) -> int | None:
    """Refuse more threads than this machine runs at once, before any work.

    Raises:
        UsageError: More.
    """
    cores = os.cpu_count()
    if threads is not None and cores is not None and threads > cores:
        raise UsageError(
            f"--threads {threads} is more than this machine's {cores} cores.",
            f"Give at most {cores}, or leave it out.",
        )
    return threads


Threads = Annotated[
    int | None,
    typer.Option(
        help="CPU threads of torch.", min=1, callback=check_threads, rich_help_panel=COMPUTE
    ),
]

Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an unfinished run.", rich_help_panel=OUTPUT)
]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Resume although recipe, batch, seed or kit version have changed.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=OUTPUT)]
OutputFormat = Annotated[
    str,
    typer.Option(
        "--format", help="table, json or csv (on standard output).", rich_help_panel=OUTPUT
    ),
]

Unexamined = Annotated[
    bool,
    typer.Option(
        "--allow-unexamined", help="Take a table without a passed exam.", rich_help_panel=WAIVERS
    ),
]
Simulated = Annotated[
    bool,
    typer.Option(
        "--allow-simulated", help="Take a table of a simulated device.", rich_help_panel=WAIVERS
    ),
]
Imported = Annotated[
    bool,
    typer.Option("--allow-imported", help="Take a table of others.", rich_help_panel=WAIVERS),
]
Predicted = Annotated[
    bool,
    typer.Option(
        "--allow-predicted",
        help="Take a table with predicted operators.",
        rich_help_panel=WAIVERS,
    ),
]


@names_or_files(".toml")
def complete_space() -> tuple[str, ...]:
    """Search spaces, for a shell that completes them."""
    from search.spaces.registry import known_names

    return known_names()


def gather(kind: "type[Kind]", parameters: Mapping[str, object], **others: object) -> "Kind":
    """Options of one kind from the parameters of a verb that carry its fields' names.

    Args:
        kind: A dataclass.
        parameters: All parameters of the verb; those of other names are left out.
        others: Fields that are not parameters.

    Raises:
        TypeError: A field without a default is neither.
    """
    own: dict[str, Any] = {
        field.name: parameters[field.name] for field in fields(kind) if field.name in parameters
    }
    return kind(**own, **others)


def examples(*commands: str) -> str:
    """Commands as the text below a verb's help, one a line."""
    return "\n".join(("\b", "Examples:", *(f"  {command}" for command in commands)))
