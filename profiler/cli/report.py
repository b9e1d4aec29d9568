"""The verb `report`: tables, networks and fronts on one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from profiler.cli.options import (
    FormatOption,
    QuietOption,
    SimulatedOption,
    TablesArgument,
)


def report(
    tables: TablesArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
    network: Annotated[
        list[str] | None,
        typer.Option(help="Network to price and draw (repeatable; default: the published ones)."),
    ] = None,
    front: Annotated[
        list[Path] | None,
        typer.Option(help="front.json or .result.json of a search (repeatable)."),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Latency tables",
    allow_simulated: SimulatedOption = False,
    no_curves: Annotated[
        bool, typer.Option("--no-curves", help="Leave the cost curves out (they take seconds).")
    ] = False,
    quiet: QuietOption = False,
    output_format: FormatOption = "table",
) -> None:
    """Write tables, exams, networks and fronts to one page that opens in any browser.

    \b
    Examples:
      python -m profiler report tables/host/fbnet-v1 -o report.html
      python -m profiler report TABLE TABLE --network FBNet-S8 --front front.json
    """
    from profiler.comparison.compare import refuse_mixture
    from profiler.comparison.sources import find_networks
    from profiler.report.data import PageContents
    from profiler.report.fronts import read_front
    from profiler.report.page import write_page
    from search.console.app import check_format
    from search.console.output import emit
    from search.console.progress import make_progress
    from search.files import check_file
    from search.table.query import read_named
    from search.zoo import network_names

    check_format(output_format)
    read = tuple(read_named(folder) for folder in tables)
    refuse_mixture([table.manifest.source == "simulated" for table in read], allow_simulated)
    contents = PageContents(
        tables=read,
        networks=find_networks(network or list(network_names())),
        fronts=tuple(read_front(path) for path in front or ()),
        curves=not no_curves,
    )
    check_file(output, "--output", (".html", ".htm"))
    with make_progress(quiet) as progress:
        size = write_page(contents, output, title, progress)
    rows = [{"page": str(output), "bytes": size, "tables": len(read)}]
    emit(
        output_format,
        table=lambda _: typer.echo(f"written to {output} ({size / 1e6:.1f} MB)"),
        content=lambda: rows,
        rows=lambda: rows,
    )
