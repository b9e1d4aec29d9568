"""Published networks: what this kit counts beside what their authors printed."""

from rich.table import Table as RichTable

from search.console.output import console, to_csv, to_json
from search.zoo import network_names, published_network, zoo_architecture


def network_rows() -> list[dict[str, object]]:
    """One row a network; counts under both conventions for the first 1x1.

    `own` is the convention of the published definition. Differences are
    relative to the printed figure; latencies are the authors', not ours.
    """
    rows: list[dict[str, object]] = []
    for name in network_names():
        network = published_network(name)
        printed = network.published
        own = zoo_architecture(name)
        dropped, kept = (zoo_architecture(name, always_pointwise=keep) for keep in (False, True))
        rows.append(
            {
                "network": name,
                "resolution": network.resolution,
                "keeps_first_pointwise": network.always_pointwise,
                "flops_m": round(own.flops / 1e6, 2),
                "flops_m_dropped": round(dropped.flops / 1e6, 2),
                "flops_m_kept": round(kept.flops / 1e6, 2),
                "flops_m_printed": printed.flops_m,
                "flops_difference": round(own.flops / 1e6 / printed.flops_m - 1, 4),
                "params_m": round(own.params / 1e6, 3),
                "params_m_printed": printed.params_m,
                "params_difference": round(own.params / 1e6 / printed.params_m - 1, 4),
                "top1_printed": printed.top1,
                "latency_ms_printed": "; ".join(
                    f"{ms} {where}" for where, ms in printed.latency_ms
                ),
                "source": printed.source,
                "remark": network.remark,
            }
        )
    return rows


def show_networks(form: str) -> None:
    """Print the zoo."""
    rows = network_rows()
    if form == "json":
        print(to_json(rows))
    elif form == "csv":
        print(to_csv(rows), end="")
    else:
        _for_people(rows)


def _for_people(rows: list[dict[str, object]]) -> None:
    out = console()
    grid = RichTable(box=None, pad_edge=False)
    grid.add_column("network")
    for name in ("FLOPs M", "printed", "diff", "params M", "printed", "diff", "top-1 printed"):
        grid.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row['flops_m']:.1f}", f"{row['flops_m_printed']}", _percent(row, "flops")]
        cells += [f"{row['params_m']:.2f}", f"{row['params_m_printed']}", _percent(row, "params")]
        grid.add_row(str(row["network"]), *cells, f"{row['top1_printed']} %")
    out.print(grid)
    for row in rows:
        latency = row["latency_ms_printed"]
        out.print(f"{row['network']}: {latency or 'no latency printed'}")
        out.print(f"  printed: {row['source']}")
        if row["remark"]:
            out.print(f"  {row['remark']}")


def _percent(row: dict[str, object], what: str) -> str:
    difference = row[f"{what}_difference"]
    assert isinstance(difference, float)
    return f"{difference:+.1%}"
