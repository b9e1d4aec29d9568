"""Command line of the search: its verbs."""

from typing import NoReturn

import typer

from search.cli import evaluate, front, plot, search, specialise, train
from search.console.app import run_app

app = typer.Typer(
    add_completion=True,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Find a network for a device from its latency table, and train it.",
)
app.callback(invoke_without_command=True, epilog=search.EXAMPLES)(search.search)
app.command(epilog=train.EXAMPLES)(train.train)
app.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(epilog=front.EXAMPLES)(front.front)
app.command(epilog=plot.EXAMPLES)(plot.plot)
app.command(epilog=specialise.EXAMPLES)(specialise.specialise)

_INTERRUPTED = (
    "Interrupted. Finished work is kept; the same command with --resume continues from there."
)


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "search", _INTERRUPTED)
