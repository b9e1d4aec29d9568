"""Command line of the search: its verbs."""

from typing import NoReturn

from search.cli import (
    evaluate,
    front,
    images,
    plot,
    recipes,
    search,
    spaces,
    specialise,
    sweep,
    train,
)
from search.console.app import make_app, run_app
from search.console.help import PanelCommand

app = make_app(help="Find a network for a device from its latency table, and train it.")
app.callback(invoke_without_command=True, epilog=search.EXAMPLES)(search.search)
app.command(cls=PanelCommand, epilog=train.EXAMPLES)(train.train)
app.command(cls=PanelCommand, epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(cls=PanelCommand, epilog=images.EXAMPLES)(images.images)
app.add_typer(recipes.app, name="recipes")
app.add_typer(spaces.app, name="spaces")
app.command(cls=PanelCommand, epilog=front.EXAMPLES)(front.front)
app.command(cls=PanelCommand, epilog=plot.PLOT_EXAMPLES)(plot.plot)
app.command(cls=PanelCommand, epilog=plot.WATCH_EXAMPLES)(plot.watch)
app.command(cls=PanelCommand, epilog=specialise.EXAMPLES)(specialise.specialise)
app.command(cls=PanelCommand, epilog=sweep.EXAMPLES, context_settings=sweep.CONTEXT)(sweep.sweep)

_INTERRUPTED = (
    "Interrupted. Finished work is kept; the same command with --resume continues from there "
    "(a sweep without it)."
)


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "search", _INTERRUPTED)
