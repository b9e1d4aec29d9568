"""The verb `report`: tables, networks and fronts on one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from profiler.cli.options import (
    FormatOption,
    QuietOption,
    SimulatedOption,
    complete_table,
)


def report(
    tables: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Tables: folders or words; none with --proof alone.",
            autocompletion=complete_table,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
    network: Annotated[
        list[str] | None,
        typer.Option(help="Network to price and draw (repeatable; default: the published ones)."),
    ] = None,
    front: Annotated[
        list[Path] | None,
        typer.Option(help="front.json or .result.json of a search (repeatable)."),
    ] = None,
    proof: Annotated[
        list[Path] | None,
        typer.Option(help=".deploy.json of deploy --profile: time by operator (repeatable)."),
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
      python -m profiler report --proof out/net-fp32.pte.deploy.json -o time.html
    """
    from profiler.comparison.compare import refuse_mixture
    from profiler.comparison.sources import find_networks
    from profiler.report.data import PageContents
    from profiler.report.fronts import read_front
    from profiler.report.page import write_page
    from profiler.report.proofs import read_proof
    from search.console.app import check_format
    from search.console.output import emit
    from search.console.progress import make_progress
    from search.errors import UsageError
    from search.files import check_file
    from search.table.query import read_named
    from search.zoo import network_names

    check_format(output_format)
    if not tables and not proof:
        raise UsageError("There is nothing to report.", "Name a table, or a --proof of deploy.")
    read = tuple(read_named(folder) for folder in tables or ())
    refuse_mixture([table.manifest.source == "simulated" for table in read], allow_simulated)
    contents = PageContents(
        tables=read,
        networks=find_networks(network or list(network_names())),
        fronts=tuple(read_front(path) for path in front or ()),
        curves=not no_curves,
        proofs=tuple(read_proof(path) for path in proof or ()),
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
