"""The command line: verbs from their files, registered here."""

from typing import Annotated, NoReturn

import typer

from profiler.cli.checkup import checkup
from profiler.cli.compare import compare
from profiler.cli.curve import curve
from profiler.cli.devices import clean, devices
from profiler.cli.diff import diff
from profiler.cli.farm.verbs import farm_app
from profiler.cli.import_export import export, import_
from profiler.cli.measure import measure
from profiler.cli.networks import networks
from profiler.cli.refine import refine
from profiler.cli.report import report
from profiler.cli.show import show, validate
from profiler.cli.tables import tables
from search.console.app import make_app, run_app
from search.console.help import PanelCommand


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")] = "bash",
) -> None:
    """Print a shell's completion script: eval "$(python -m profiler completion bash)".

    \b
    Examples:
      eval "$(python -m profiler completion bash)"
      python -m profiler completion fish > ~/.config/fish/completions/kit.fish
    """
    from search.console.completion import completion_script
    from search.console.plain import print_whole

    print_whole(completion_script(shell))


app = make_app()
app.callback(invoke_without_command=True)(measure)
app.command(cls=PanelCommand)(networks)
app.command(cls=PanelCommand)(tables)
app.command(cls=PanelCommand)(show)
app.command(cls=PanelCommand)(validate)
app.command(cls=PanelCommand)(diff)
app.command(cls=PanelCommand)(compare)
app.command(cls=PanelCommand)(checkup)
app.command("import", cls=PanelCommand)(import_)
app.command(cls=PanelCommand)(export)
app.command(cls=PanelCommand)(report)
app.command(cls=PanelCommand)(curve)
app.command(cls=PanelCommand)(refine)
app.command(cls=PanelCommand)(completion)

devices_app = make_app()
devices_app.callback(invoke_without_command=True)(devices)
devices_app.command(cls=PanelCommand)(clean)
app.add_typer(devices_app, name="devices")
app.add_typer(farm_app, name="farm")

_INTERRUPTED = "Interrupted. Everything measured is kept; the same command with --resume goes on."


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "profiler", _INTERRUPTED)
