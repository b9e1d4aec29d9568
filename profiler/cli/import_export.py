"""The verbs `import` and `export`: tables of other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.cli.options import (
    FormatOption,
    TablesArgument,
    TablesOption,
)
from search.console.app import check_format

if TYPE_CHECKING:
    from rich.console import Console


def import_(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="single-path-nas, proxylessnas, once-for-all, hw-nas-bench, or csv of this kit.",
        ),
    ],
    file: Annotated[Path, typer.Argument(help="The published file.")],
    output: TablesOption = Path("tables"),
    device: Annotated[
        str | None, typer.Option(help="Only this device of a file that names several.")
    ] = None,
    device_name: Annotated[
        str | None, typer.Option(help="The device, where the file does not say it.")
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="What ran the operators, where the file does not say it.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Who published it, where the file does not say it.")
    ] = None,
    constant: Annotated[
        float | None,
        typer.Option(help="What every network costs beside these rows, in the file's unit."),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="s, ms or us, where it is not the format's own.")
    ] = None,
    output_format: FormatOption = "table",
) -> None:
    """Read a table that others published; it is marked as imported and has no exam.

    \b
    Examples:
      python -m profiler import hw-nas-bench fbnet.json --device raspi4 --runtime tflite
      python -m profiler import once-for-all gpu.yaml --device-name "Xavier GPU" --runtime tensorrt
    """
    from profiler.tables.importers.import_file import import_file
    from profiler.tables.importers.stated import Stated
    from profiler.tables.summary import summary
    from search.console.output import emit

    check_format(output_format)
    stated = Stated(device_name=device_name, runtime=runtime, source=source, constant=constant)
    tables = import_file(name, file, output, device=device, unit=unit, stated=stated)
    rows = [
        {
            "table": str(table.path),
            "source": table.manifest.source,
            "rows": table.manifest.origin.rows if table.manifest.origin else None,
            "operators": len(table.entries),
        }
        for table in tables
    ]

    def print_summaries(_: "Console") -> None:
        for table in tables:
            typer.echo("\n".join(summary(table)))
            typer.echo(f"written to {table.path}")

    emit(output_format, table=print_summaries, content=lambda: rows, rows=lambda: rows)


def export(
    name: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help="csv, once-for-all, or what it was imported from."),
    ],
    tables: TablesArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File (default: standard output).")
    ] = None,
) -> None:
    """Write a table for other programs.

    \b
    Examples:
      python -m profiler export csv tables/host/fbnet-v1 -o fbnet.csv
      python -m profiler export once-for-all tables/pixel/fbnet-v1 > table.yaml
    """
    from profiler.tables.export import export_tables
    from search.console.plain import print_whole
    from search.files import write_text
    from search.table.query import read_named

    text = export_tables(name, [read_named(folder) for folder in tables])
    if output is None:
        print_whole(text)
    else:
        write_text(output, text)
        typer.echo(f"written to {output}", err=True)
