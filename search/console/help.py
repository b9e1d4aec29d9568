"""Help of all command lines: options by their panels, and `--version`.

Plain text, for two reasons: it comes twice as fast as rich's boxes (their
imports alone take longer than everything else), and it can be copied.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
_OTHERS = "Options"


def print_version(asked: bool) -> None:
    """Print the kit's version and leave."""
    if asked:
        from search.console.version import kit_version

        typer.echo(f"fbnet-kit {kit_version()}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", callback=print_version, is_eager=True, help="Print the kit's version."
    ),
]


class PanelCommand(TyperCommand):
    """A command whose help shows options under the titles of their panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_panels(self, ctx, formatter)


class PanelGroup(TyperGroup):
    """A group of commands whose help shows options under the titles of their panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_panels(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The first sentence of each command, folded and not cut off."""
        rows = [
            (name, _first_sentence(command.help or ""))
            for name, command in self.commands.items()
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_sentence(text: str) -> str:
    first = " ".join(text.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=\w)[.;:](?: |$)", first, maxsplit=1)[0].rstrip(".") + "."


def _write_panels(command: Any, ctx: Any, formatter: Any) -> None:
    """Panels in the order in which their first options are declared; those without one last."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            is_argument = parameter.param_type_name == "argument"
            title = getattr(parameter, "rich_help_panel", None) or _OTHERS
            panels.setdefault("Arguments" if is_argument else title, []).append(record)
    rest: Sequence[tuple[str, str]] = panels.pop(_OTHERS, ())
    for title, rows in (*panels.items(), (_OTHERS, rest)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=26)
