"""The command line: every verb in a file of its own, registered here."""

from typing import NoReturn

import typer

from profiler.cli.checkup import checkup
from profiler.cli.compare import compare
from profiler.cli.completion import completion
from profiler.cli.curve import curve
from profiler.cli.devices import clean, devices
from profiler.cli.diff import diff
from profiler.cli.import_export import export, import_
from profiler.cli.measure import measure
from profiler.cli.networks import networks
from profiler.cli.refine import refine
from profiler.cli.report import report
from profiler.cli.show import show, validate
from search.console.app import run_app

app = typer.Typer(add_completion=True, no_args_is_help=False, pretty_exceptions_enable=False)
app.callback(invoke_without_command=True)(measure)
app.command()(networks)
app.command()(show)
app.command()(validate)
app.command()(diff)
app.command()(compare)
app.command()(checkup)
app.command("import")(import_)
app.command()(export)
app.command()(report)
app.command()(curve)
app.command()(refine)
app.command()(completion)

devices_app = typer.Typer()
devices_app.callback(invoke_without_command=True)(devices)
devices_app.command()(clean)
app.add_typer(devices_app, name="devices")

_INTERRUPTED = "Interrupted. Everything measured is kept; the same command with --resume goes on."


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "profiler", _INTERRUPTED)
