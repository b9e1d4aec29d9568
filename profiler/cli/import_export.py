"""The verbs `import` and `export`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from search.console.app import check_format

Form = Annotated[str, typer.Option("--format", help="table, json or csv (on standard output).")]


def import_(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="single-path-nas, proxylessnas, once-for-all or hw-nas-bench."
        ),
    ],
    file: Annotated[Path, typer.Argument(help="The published file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of tables.")] = Path(
        "tables"
    ),
    device: Annotated[str | None, typer.Option(help="Only this device of the file.")] = None,
    unit: Annotated[
        str | None, typer.Option(help="s, ms or us, where it is not the format's own.")
    ] = None,
    form: Form = "table",
) -> None:
    """Read a table that others published; it is marked as imported and has no exam."""
    from profiler.tables.importers.import_file import import_file
    from profiler.tables.summary import summary
    from search.console.output import to_csv, to_json

    check_format(form)
    tables = import_file(name, file, output, device=device, unit=unit)
    rows = [
        {
            "table": str(table.path),
            "source": table.manifest.source,
            "rows": table.manifest.origin.rows if table.manifest.origin else None,
            "operators": len(table.entries),
        }
        for table in tables
    ]
    if form == "json":
        typer.echo(to_json(rows))
    elif form == "csv":
        typer.echo(to_csv(rows), nl=False)
    else:
        for table in tables:
            typer.echo("\n".join(summary(table)))
            typer.echo(f"written to {table.path}")


def export(
    name: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help="csv, once-for-all, or what it was imported from."),
    ],
    tables: Annotated[list[Path], typer.Argument(help="Folder of a table.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File (default: standard output).")
    ] = None,
) -> None:
    """Write a table for other programs."""
    from profiler.tables.export import export_tables
    from search.files import write_text
    from search.table.store import read_table

    text = export_tables(name, [read_table(folder) for folder in tables])
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
        typer.echo(f"written to {output}", err=True)
