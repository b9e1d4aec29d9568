"""The command line of the search: parse, call, print. No logic of its own."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from search.algorithms.registry import METHODS
from search.cli.specialise import specialise
from search.console.app import check_format, run_app
from search.errors import UsageError

ALGORITHMS = (*METHODS, "exact", "evolution", "random")

app = typer.Typer(
    add_completion=True,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Find a network for a device from its latency table, and train it.",
)

DataSource = Annotated[
    str, typer.Option(help="'digits', or a folder (or archive) of class sub-folders.")
]
Classes = Annotated[
    int | None, typer.Option(help="Only that many classes, drawn by the seed.", min=2)
]
Limit = Annotated[int | None, typer.Option(help="At most that many training images.", min=1)]
Seed = Annotated[int, typer.Option(help="Fixes everything that is random.", min=0)]
Recipe = Annotated[str, typer.Option(help="Hyperparameters: cpu or paper.")]
Rate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Of the weights; the recipe's by default.", min=0),
]
Batch = Annotated[
    int | None, typer.Option(help="DataOptions a step; the recipe's by default.", min=2)
]
Device = Annotated[str, typer.Option(help="Where to train: auto, cpu, cuda, cuda:1.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16 (mixed precision).")]
Compile = Annotated[bool, typer.Option("--compile", help="Use torch.compile.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of torch.", min=1)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Resume although recipe, batch, seed or kit version have changed.",
    ),
]
Unexamined = Annotated[
    bool, typer.Option("--allow-unexamined", help="Take a table without a passed exam.")
]
Simulated = Annotated[
    bool, typer.Option("--allow-simulated", help="Take a table of a simulated device.")
]
Imported = Annotated[bool, typer.Option("--allow-imported", help="Take a table of others.")]
Predicted = Annotated[
    bool, typer.Option("--allow-predicted", help="Take a table with predicted operators.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Form = Annotated[str, typer.Option("--format", help="table, json or csv (on standard output).")]


@app.callback(invoke_without_command=True)
def find(
    context: typer.Context,
    table: Annotated[Path | None, typer.Option(help="Folder of a latency table.")] = None,
    algorithm: Annotated[
        str,
        typer.Option(help=f"{', '.join(METHODS)}, exact (needs --scores), evolution or random."),
    ] = "fbnet",
    target_ms: Annotated[
        float | None,
        typer.Option(help="Latency to meet; without one, fbnet uses the paper's product loss."),
    ] = None,
    cost: Annotated[
        str, typer.Option(help="What to weigh: latency, flops or params (fbnet, fbnetv2).")
    ] = "latency",
    target_mflops: Annotated[
        float | None, typer.Option(help="With --cost flops: millions of multiply-adds to meet.")
    ] = None,
    target_mparams: Annotated[
        float | None, typer.Option(help="With --cost params: millions of parameters to meet.")
    ] = None,
    probability: Annotated[
        float | None, typer.Option(help="Meet it with this probability, by the table's intervals.")
    ] = None,
    data: DataSource = "digits",
    classes: Classes = None,
    limit: Limit = None,
    recipe: Recipe = "cpu",
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the search (of a trial).", min=1)
    ] = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    budget: Annotated[int, typer.Option(help="Networks tried by evolution and random.", min=1)] = 8,
    scores: Annotated[Path | None, typer.Option(help="scores.json of an earlier search.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    compile_: Compile = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Keep no activations of searched layers.")
    ] = False,
    threads: Threads = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Architecture file.")] = Path(
        "arch.json"
    ),
    folder: Annotated[
        Path | None, typer.Option("--run", help="Folder of the run; <output>.run by default.")
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the network found; writes <output>.pt.")
    ] = False,
    retrain_epochs: Annotated[int | None, typer.Option(help="Epochs of that.", min=1)] = None,
    allow_unexamined: Unexamined = False,
    allow_simulated: Simulated = False,
    allow_imported: Imported = False,
    allow_predicted: Predicted = False,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    quiet: Quiet = False,
    form: Form = "table",
) -> None:
    """Search a network for the device of a table (the default verb)."""
    if context.invoked_subcommand is not None:
        return
    check_format(form)
    if table is None:
        raise UsageError("No latency table is given.", "Add --table tables/<device>/<name>.")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"Unknown --algorithm {algorithm!r}.", f"Known: {', '.join(ALGORITHMS)}.")
    if (algorithm == "exact") != (scores is not None):
        raise UsageError(
            "--algorithm exact and --scores go together.",
            "A search leaves its scores.json in the folder of its run.",
        )
    from search.pipeline.problem import Waivers, load_problem, weigh

    waivers = Waivers(
        unexamined=allow_unexamined,
        simulated=allow_simulated,
        imported=allow_imported,
        predicted=allow_predicted,
    )
    task = load_problem(table, target_ms, waivers, probability)
    task = weigh(task, cost, target_mflops=target_mflops, target_mparams=target_mparams)
    from search.pipeline.options import DataOptions, SearchOptions
    from search.pipeline.resources import ComputeOptions
    from search.pipeline.run import run_search

    resources = ComputeOptions(
        device=device, precision=precision, compile=compile_, recompute=recompute, threads=threads
    )
    request = SearchOptions(
        algorithm=algorithm,
        images=DataOptions(source=data, classes=classes, limit=limit),
        recipe=recipe,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        budget=budget,
        scores=scores,
        seed=seed,
        output=output,
        run=folder,
        retrain=retrain,
        retrain_epochs=retrain_epochs,
        resume=resume,
        accept_changes=accept_changes,
        quiet=quiet,
    )
    run_search(task, request, resources, form)


@app.command()
def train(
    architecture: Annotated[str, typer.Argument(help="Architecture file or published name.")],
    data: DataSource = "digits",
    classes: Classes = None,
    limit: Limit = None,
    recipe: Recipe = "cpu",
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)] = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    compile_: Compile = False,
    threads: Threads = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File of weights.")] = Path(
        "weights.pt"
    ),
    folder: Annotated[
        Path | None, typer.Option("--run", help="Folder of the run; <output>.train by default.")
    ] = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    quiet: Quiet = False,
    form: Form = "table",
) -> None:
    """Train one network from scratch and judge it on the test images."""
    check_format(form)
    from search.pipeline.options import DataOptions, TrainOptions
    from search.pipeline.resources import ComputeOptions
    from search.pipeline.train import run_training

    request = TrainOptions(
        network=architecture,
        images=DataOptions(source=data, classes=classes, limit=limit),
        recipe=recipe,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        output=output,
        run=folder,
        resume=resume,
        accept_changes=accept_changes,
        quiet=quiet,
    )
    resources = ComputeOptions(
        device=device, precision=precision, compile=compile_, threads=threads
    )
    run_training(request, resources, form)


@app.command()
def front(
    table: Annotated[Path, typer.Option(help="Folder of a latency table.")],
    scores: Annotated[Path, typer.Option(help="scores.json of a search of the same space.")],
    targets_ms: Annotated[
        list[float] | None, typer.Option("--target-ms", help="Targets; the whole front if none.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the architectures.")
    ] = None,
    allow_unexamined: Unexamined = False,
    allow_simulated: Simulated = False,
    allow_imported: Imported = False,
    allow_predicted: Predicted = False,
    form: Form = "table",
) -> None:
    """The best networks under several targets: exact, without any training."""
    check_format(form)
    from search.cli.output import show_front
    from search.pipeline.problem import Waivers, load_problem

    waivers = Waivers(
        unexamined=allow_unexamined,
        simulated=allow_simulated,
        imported=allow_imported,
        predicted=allow_predicted,
    )
    show_front(load_problem(table, None, waivers), scores, targets_ms or [], output, form)


@app.command()
def plot(
    run: Annotated[Path, typer.Argument(help="Folder of a run (or its trace.jsonl).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file; <run>/trace.html by default.")
    ] = None,
) -> None:
    """Draw loss, accuracy, expected latency, entropy and temperature over the epochs."""
    from search.files import check_file
    from search.training.plot import write_plot
    from search.training.trace import read_trace

    trace = run / "trace.jsonl" if run.is_dir() else run
    lines = read_trace(trace)
    target = output or trace.with_suffix(".html")
    check_file(target, "--output", (".html",))
    write_plot(lines, target, trace.parent.name)
    typer.echo(f"written to {target}")


app.command()(specialise)

_INTERRUPTED = "Interrupted. What was finished is kept; the same command with --resume goes on."


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "search", _INTERRUPTED)
