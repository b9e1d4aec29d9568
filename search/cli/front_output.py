"""Output of `front` and `specialise`, as `compare` prints: columns by letters, with intervals."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Grid

from search.console.messages import counted
from search.console.output import emit
from search.costs.base import LATENCY
from search.pipeline.result import FrontResult

if TYPE_CHECKING:  # it imports torch, which a front does not need
    from search.cli.output import Row
    from search.pipeline.specialise import Specialisation, SpecialisationRow

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ABREAST = 4  # columns that fit into 80 characters
# More tables than this are compared in CSV and JSON alone.
_MOST_TABLES = 8
_MOST_NOTES = 5
_COUNTED = {
    "mflops": "million multiply-adds",
    "mparams": "million parameters",
    "mb": "million bytes",
    "peak_memory_mb": "million bytes of its own at the peak",
}


def _letter(number: int) -> str:
    return _LETTERS[number] if number < len(_LETTERS) else f"#{number + 1}"


def _print(out: Console, text: str) -> None:
    """A line, or several of 80 columns; a path is never broken."""
    for line in textwrap.wrap(
        text,
        80,
        initial_indent=text[: len(text) - len(text.lstrip())],
        subsequent_indent="   ",
        break_long_words=False,
        break_on_hyphens=False,
    ):
        out.print(line)


def _grid(first: str, titles: Sequence[str]) -> Grid:
    """A first column of names that may fold, and columns of numbers that may not."""
    grid = Grid(box=None, pad_edge=False)
    grid.add_column(first, max_width=22, overflow="fold")
    for title in titles:
        grid.add_column(title, justify="right", no_wrap=True)
    return grid


def _interval(value: float, low: float | None, high: float | None) -> str:
    """A number with half of its 95 % interval, as a share of it."""
    if low is None or high is None or not value:
        return f"{value:.4g}"
    return f"{value:.4g} +-{(high - low) / 2 / value:.1%}"


# --- front ---------------------------------------------------------------------


def show_front(result: FrontResult, output: Path | None, output_format: str) -> None:
    """Print the best network under each target."""
    emit(
        output_format,
        table=lambda console: _print_front(result, output, console),
        content=lambda: list(result.networks),
        rows=lambda: result.networks,
    )


def _print_front(result: FrontResult, output: Path | None, out: Console) -> None:
    columns = list(_front_columns(result))
    for number, (kind, label, _) in enumerate(columns):
        _print(out, f"{_letter(number)}  {kind}: {label}")
    out.print("")
    target = next(name for name in result.networks[0] if name.startswith("target_"))
    for start in range(0, len(columns), _ABREAST):
        part = list(enumerate(columns))[start : start + _ABREAST]
        titles = [f"{_letter(number)} {kind}" for number, (kind, _, _) in part]
        aimed = any(row[target] is not None for row in result.networks)
        grid = _grid("network", [*([target.replace("_", " ")] if aimed else []), *titles])
        for number, row in enumerate(result.networks):
            cells = [f"{row[target]:.4g}"] if aimed else []
            cells += [values[number] for _, (_, _, values) in part]
            grid.add_row(str(row["network"]), *cells)
        out.print(grid)
    for line in _front_notes(result):
        _print(out, line)
    if output is not None:
        _print(out, f"written to {output}: the networks, front.json, front.html")


def _front_columns(result: FrontResult) -> Iterator[tuple[str, str, list[str]]]:
    """(kind, what it is, cells) of each column that has values."""
    rows = result.networks
    if result.table:
        yield (
            "predicted",
            f"{result.table}, milliseconds with 95 % intervals",
            [
                _interval(row["predicted_ms"], row["low_ms"], row["high_ms"])  # type: ignore[arg-type]
                for row in rows
            ],
        )
    yield (
        "score",
        f"{result.scores}; it ranks networks and is no accuracy",
        [f"{row['score']:.4g}" for row in rows],
    )
    for name, label in _COUNTED.items():
        if name in rows[0]:
            yield name, label, [f"{row[name]:.4g}" for row in rows]
    for limit in result.limits:
        yield "of limit", f"share of {limit} that is used", [str(row[limit]) for row in rows]


def _front_notes(result: FrontResult) -> Iterator[str]:
    """What the numbers do not say: proofs that were not finished, and differences in doubt."""
    for row in result.networks:
        if row.get("gap"):
            yield f"{row['network']} is at most {row['gap']:.4g} below the best: no proof yet"
    doubtful = [
        (one["network"], other["network"])
        for one, other in pairwise(result.networks)
        if one["high_ms"] is not None
        and other["low_ms"] is not None
        and one["high_ms"] > other["low_ms"]  # type: ignore[operator]
    ]
    for one, other in doubtful[:_MOST_NOTES]:
        yield f"{one} and {other} differ within the errors of the table"
    if len(doubtful) > _MOST_NOTES:
        yield f"so do {counted(len(doubtful) - _MOST_NOTES, 'more pair')} of neighbours"


# --- specialise ----------------------------------------------------------------


def show_specialisation(result: "Specialisation", output: Path, output_format: str) -> None:
    """Print a row a network and, where there are few, a column a table."""
    emit(
        output_format,
        table=lambda console: _print_specialisation(result, output, console),
        content=lambda: result.model_dump(mode="json"),
        rows=lambda: _specialised_rows(result.networks),
    )


def _print_specialisation(result: "Specialisation", output: Path, out: Console) -> None:
    networks = result.networks
    for number, network in enumerate(networks):
        _print(out, f"{_letter(number)}  predicted: {network.table}")
        _print(out, f"   {_aim(network)}; its network: {network.architecture}")
    _print(out, f"scores by {result.scores}")
    out.print("")
    if len(networks) > _MOST_TABLES:
        _print_own(networks, out)
    else:
        for start in range(0, len(networks), _ABREAST):
            numbers = range(start, min(start + _ABREAST, len(networks)))
            out.print(_tables_grid(networks, numbers))
        out.print("* the network of this table")
    out.print("")
    for line in _verdicts(networks):
        _print(out, line)
    _print(out, f"written to {output}")


def _aim(network: "SpecialisationRow") -> str:
    if network.cost == LATENCY:
        target = "no target" if network.target_us is None else f"{network.target_us / 1000:.4g} ms"
    else:
        target = f"{(network.most or 0) / 1e6:.4g} million {network.cost}"
    peak = network.peak_memory_mb
    memory = [] if peak is None else [f"{peak:.2f} MB of its own at the peak"]
    return ", ".join([f"target {target}", *network.limits, *memory])


def _tables_grid(networks: "Sequence[SpecialisationRow]", numbers: Sequence[int]) -> Grid:
    grid = _grid("milliseconds", [f"{_letter(number)} predicted" for number in numbers])
    for row, network in enumerate(networks):
        cells = [
            f"{'* ' if number == row else ''}{_own_interval(network, number)}" for number in numbers
        ]
        grid.add_row(f"of {_letter(row)}", *cells)
    return grid


def _own_interval(network: "SpecialisationRow", number: int) -> str:
    low = network.low_us[number] / 1000 if network.low_us else None
    high = network.high_us[number] / 1000 if network.high_us else None
    return _interval(network.predicted_us[number] / 1000, low, high)


def _print_own(networks: "Sequence[SpecialisationRow]", out: Console) -> None:
    """One table a row: so many would not stand beside each other."""
    grid = _grid("network", ["own ms", "score", "others take"])
    for number, network in enumerate(networks):
        others = network.slowdown_of_others
        grid.add_row(
            f"of {_letter(number)}",
            f"{network.own_us / 1000:.4g}",
            f"{network.score:.4g}",
            "-" if others is None else f"{others:.3f} x",
        )
    out.print(grid)


def _verdicts(networks: "Sequence[SpecialisationRow]") -> Iterator[str]:
    for number, network in enumerate(networks[:_MOST_TABLES]):
        others = network.slowdown_of_others
        if others is not None:
            yield (
                f"on {_letter(number)} the other networks take {others:.3f} times as long as its "
                "own, on average"
            )


def _specialised_rows(networks: "Sequence[SpecialisationRow]") -> "list[Row]":
    """As CSV: a column a table."""
    return [
        {
            "network": network.network,
            **_own_target(network),
            "own_ms": round(network.own_us / 1000, 6),
            "score": round(network.score, 6),
            "others_slower": network.slowdown_of_others and round(network.slowdown_of_others, 4),
            **{
                f"on_{other.network}": round(us / 1000, 6)
                for other, us in zip(networks, network.predicted_us, strict=True)
            },
        }
        for network in networks
    ]


def _own_target(network: "SpecialisationRow") -> dict[str, object]:
    if network.cost == LATENCY:
        return {"target_ms": network.target_us and round(network.target_us / 1000, 6)}
    return {f"target_m_{network.cost}": network.most and round(network.most / 1e6, 6)}
