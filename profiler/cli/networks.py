"""The verb `networks`: published networks, our counts beside their authors' figures."""

from typing import TYPE_CHECKING, Any

from profiler.cli.options import FormatOption

if TYPE_CHECKING:
    from rich.console import Console

    from search.zoo.definition import Network

Row = dict[str, Any]


def networks(output_format: FormatOption = "table") -> None:
    """List published networks: our counts beside the figures their authors printed.

    \b
    Examples:
      python -m profiler networks
      python -m profiler networks --format csv > networks.csv
    """
    from search.console.app import check_format
    from search.console.output import emit

    check_format(output_format)
    rows = network_rows()
    emit(
        output_format,
        table=lambda out: _print_networks(rows, out),
        content=lambda: rows,
        rows=lambda: rows,
    )


def network_rows() -> list[Row]:
    """One row a network; counts under both conventions for the first 1x1.

    Differences are relative to the printed figure; latencies are the authors', not ours.
    """
    from search.zoo import network_names, published_network

    return [_row(name, published_network(name)) for name in network_names()]


def _row(name: str, network: "Network") -> Row:
    from search.zoo import zoo_architecture

    printed = network.published
    own = zoo_architecture(name)  # under the convention of the published definition
    dropped, kept = (zoo_architecture(name, always_pointwise=keep) for keep in (False, True))
    return {
        "network": name,
        "resolution": network.resolution,
        "keeps_first_pointwise": network.always_pointwise,
        "flops_m": round(own.flops / 1e6, 2),
        "flops_m_dropped": round(dropped.flops / 1e6, 2),
        "flops_m_kept": round(kept.flops / 1e6, 2),
        "flops_m_printed": printed.flops_m,
        "flops_difference": _difference(own.flops, printed.flops_m),
        "params_m": round(own.params / 1e6, 3),
        "params_m_printed": printed.params_m,
        "params_difference": _difference(own.params, printed.params_m),
        "top1_printed": printed.top1,
        "latency_ms_printed": "; ".join(f"{ms} {where}" for where, ms in printed.latency_ms),
        "source": printed.source,
        "remark": network.remark,
    }


def _difference(counted: int, printed_m: float | None) -> float | None:
    """Relative to what is printed, in millions; None where nothing is."""
    return None if printed_m is None else round(counted / 1e6 / printed_m - 1, 4)


def _shown(value: float | None, form: str = "{}") -> str:
    return "-" if value is None else form.format(value)


def _print_networks(rows: list[Row], out: "Console") -> None:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    grid.add_column("network")
    for name in ("FLOPs M", "printed", "diff", "params M", "printed", "diff", "top-1 printed"):
        grid.add_column(name, justify="right")
    for row in rows:
        grid.add_row(
            row["network"],
            f"{row['flops_m']:.1f}",
            _shown(row["flops_m_printed"]),
            _shown(row["flops_difference"], "{:+.1%}"),
            f"{row['params_m']:.2f}",
            _shown(row["params_m_printed"]),
            _shown(row["params_difference"], "{:+.1%}"),
            _shown(row["top1_printed"], "{} %"),
        )
    out.print(grid)
    for row in rows:
        out.print(f"{row['network']}: {row['latency_ms_printed'] or 'no latency printed'}")
        out.print(f"  printed: {row['source']}")
        if row["remark"]:
            out.print(f"  {row['remark']}")
