"""The command line of cross-builds: parse, call, print."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from search.console.app import make_app, run_app
from search.console.help import PanelCommand, VersionOption

app = make_app(help="Build the native runner for a phone or another Linux machine.")


@app.command(cls=PanelCommand)
def cross_build(
    target: Annotated[str, typer.Option(help="android-arm64 or linux-arm64.")],
    executorch: Annotated[
        Path, typer.Option(help="Checkout of ExecuTorch v1.4.1, with its submodules.")
    ],
    build: Annotated[
        Path | None,
        typer.Option(help="Its installed build for the target.", show_default="cmake-out in it"),
    ] = None,
    ndk: Annotated[
        Path | None,
        typer.Option(
            envvar=["ANDROID_NDK", "ANDROID_NDK_HOME", "ANDROID_NDK_ROOT"],
            help="Android NDK r28c, for android-arm64.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The binary, if not in the cache.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is missing; build nothing.")
    ] = False,
    _version: VersionOption = False,
) -> None:
    """Build the native runner for TARGET against an installed ExecuTorch.

    Everything that is missing is reported at once. The binary is kept where the
    profiler looks for it, with a record of compiler, versions and switches.
    """
    from device_agents.cross.build import build as build_runner
    from device_agents.cross.build import refuse_missing
    from device_agents.cross.checks import BuildInputs
    from device_agents.cross.targets import find_target

    machine = find_target(target)
    inputs = BuildInputs(executorch=executorch, build=build or executorch / "cmake-out", ndk=ndk)
    if check:
        refuse_missing(machine, inputs)
        typer.echo(f"Everything that {target} needs is there.")
        return
    typer.echo(build_runner(machine, inputs, output))


def main() -> NoReturn:
    """Run the command line."""
    run_app(app, "device_agents.cross", "Interrupted; nothing was built.")
