"""What `recipes` and `spaces` share: a list, and a file to be shown or copied and changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import OUTPUT
from search.errors import UsageError
from search.files import check_file, write_text

if TYPE_CHECKING:
    from rich.console import Console

Copy = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write it there, to be changed.", rich_help_panel=OUTPUT),
]


def show_or_copy(text: str, output: Path | None) -> None:
    """Print the text of a TOML file as it is, or write it to a new file.

    Raises:
        UsageError: The file exists, or is none that may be written.
    """
    if output is None:
        from search.console.plain import print_whole

        print_whole(text)
        return
    check_file(output, "--output", (".toml",))
    if output.exists():
        raise UsageError(f"{output} exists.", "Choose another --output.")
    write_text(output, text)
    print(f"written to {output}")


def show_list(
    rows: Sequence[Mapping[str, Any]],
    output_format: str,
    left: Sequence[str],
    hidden: Sequence[str] = (),
) -> None:
    """Print rows of equal columns; those of `hidden` only for other programs."""
    from search.cli.output import grid_of
    from search.console.output import emit

    def table(console: "Console") -> None:
        shown = [{key: row[key] for key in row if key not in hidden} for row in rows]
        console.print(grid_of(shown, left=left))

    emit(output_format, table=table, content=lambda: list(rows), rows=lambda: rows)
