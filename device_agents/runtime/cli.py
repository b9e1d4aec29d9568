"""The command line that makes a runtime: parse, call, print."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from search.console.app import make_app, run_app
from search.console.help import PanelCommand, VersionOption

app = make_app(help="Make the runtime for a phone or for this machine from ExecuTorch's wheels.")


@app.command(cls=PanelCommand)
def make_runtime(
    target: Annotated[
        str,
        typer.Option(help="phone (64-bit ones, and arm64 boards), phone-onnxruntime, or host."),
    ] = "phone",
    find_links: Annotated[
        Path | None,
        typer.Option(help="Folder with the files to be fetched; then no network is used."),
    ] = None,
    compiler: Annotated[
        str, typer.Option(help="For phones: auto, cross (the installed one) or zig.")
    ] = "auto",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it again, even if it is there.")
    ] = False,
    _version: VersionOption = False,
) -> None:
    """Fetch, compile, gather and check the runtime for TARGET, and print its folder.

    Every file that is fetched is named and checked by its hash. What was fetched
    before is used again.
    """
    from device_agents.runtime.build import build
    from device_agents.runtime.downloads import Downloads
    from device_agents.runtime.folder import find
    from device_agents.runtime.targets import find_target
    from search.errors import UsageError

    machine = find_target(target)
    if find_links is not None and not find_links.is_dir():
        raise UsageError(f"{find_links} is no folder.", "Give --find-links a folder with wheels.")
    runtime = None if rebuild else find(machine)
    if runtime is None:
        downloads = Downloads(offline=find_links, say=lambda text: typer.echo(text, err=True))
        runtime = build(machine, downloads, compiler)
    typer.echo(runtime.path)


def main() -> NoReturn:
    """Run the command line."""
    run_app(
        app,
        "device_agents.runtime",
        "Interrupted; files that were fetched are kept.",
        bare_is_help=False,
    )
