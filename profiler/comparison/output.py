"""A comparison of networks as a table, JSON or CSV."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table as RichTable

from deploy.verification.breakdown import Footprint
from profiler.comparison.model import (
    Agreement,
    Cell,
    Comparison,
    ComparisonColumn,
    ComparisonVerdict,
    MachineState,
    Ratio,
)
from profiler.comparison.operators import LayerDifference, RelativeCost
from search.console.output import emit
from search.operators.words import short_name

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MB_KB = 1e6 / 1024  # a megabyte, a million bytes, in kilobytes of 1024
_ABREAST = 4  # columns that fit into 80 characters


def show_comparison(comparison: Comparison, output_format: str, top: int) -> None:
    """Print a comparison; `top` operators a pair of networks or tables."""
    emit(
        output_format,
        table=lambda out: _print_comparison(comparison, out, top),
        content=lambda: comparison_content(comparison),
        rows=lambda: as_rows(comparison),
    )


def comparison_content(comparison: Comparison) -> dict[str, object]:
    """Everything, with the networks' counts instead of their operators."""
    return {
        "networks": [
            {
                "name": network.name,
                "resolution": network.architecture.resolution,
                "flops_m": network.architecture.flops / 1e6,
                "params_m": network.architecture.params / 1e6,
            }
            for network in comparison.networks
        ],
        "models": [asdict(model) for model in comparison.models],
        "columns": [asdict(column) for column in comparison.columns],
        "cells": [asdict(cell) for cell in comparison.cells],
        "verdicts": [asdict(verdict) for verdict in comparison.verdicts],
        "agreements": [asdict(agreement) for agreement in comparison.agreements],
        "layers": [
            asdict(layer) | {"difference_us": layer.difference_us} for layer in comparison.layers
        ],
        "shifts": [asdict(shift) for shift in comparison.shifts],
        "states": [asdict(state) for state in comparison.states],
        "sustained": [
            {"column": column, **one.content()} for column, one in comparison.sustained.items()
        ],
    }


def as_rows(comparison: Comparison) -> Iterator[dict[str, object]]:
    """One row a cell."""
    ratios = {
        (ratio.column, ratio.network): ratio
        for verdict in comparison.verdicts
        for ratio in verdict.others
    }
    winners = {verdict.column: verdict.winner for verdict in comparison.verdicts}
    for cell in comparison.cells:
        column = comparison.columns[cell.column]
        won = winners.get(cell.column) == cell.network
        ratio = ratios.get((cell.column, cell.network))
        yield {
            "network": cell.network,
            "setting": column.label,
            "kind": column.kind,
            "batch": column.batch,
            "latency_us": cell.latency_us,
            "images_per_s": _images_per_s(cell, column.batch),
            "low_us": cell.low_us,
            "high_us": cell.high_us,
            "winner": won,
            "ratio_to_winner": 1.0 if won else ratio.ratio if ratio else None,
            "ratio_low": ratio.low if ratio else None,
            "ratio_high": ratio.high if ratio else None,
            "note": cell.note,
            "table_us": cell.table_us,
            "memory_kb": cell.memory_kb,
            "memory_low_kb": cell.memory_low_kb,
            "memory_high_kb": cell.memory_high_kb,
            **_footprint_columns(cell.footprint),
        }


def _footprint_columns(footprint: Footprint | None) -> dict[str, object]:
    return {
        "file_bytes": footprint.file_bytes if footprint else None,
        "load_us": footprint.load_us if footprint else None,
        "first_call_us": footprint.first_us if footprint else None,
        "peak_rss_kb": footprint.peak_rss_kb if footprint else None,
        "base_rss_kb": footprint.base_rss_kb if footprint else None,
        "planned_bytes": footprint.planned_bytes if footprint else None,
    }


def _print_comparison(comparison: Comparison, out: Console, top: int) -> None:
    for number, column in enumerate(comparison.columns):
        out.print(f"{_letter(number)}  {column.kind}: {column.label}")
        if column.detail:
            out.print(f"   {column.detail}")
    out.print("")
    for start in range(0, len(comparison.columns), _ABREAST):
        numbers = range(start, min(start + _ABREAST, len(comparison.columns)))
        out.print(_matrix(comparison, numbers))
    if any(column.batch != 1 for column in comparison.columns):
        for line in _throughputs(comparison):
            out.print(line)
    for line in _notes(comparison.cells):
        out.print(line)
    _print_footprints(comparison.cells, out)
    for place, sustained in comparison.sustained.items():
        out.print("")
        out.print(f"{_letter(place)} sustained for {sustained.asked_s / 60:g} minutes")
        for line in sustained.lines():
            out.print(f"   {line}")
    out.print("")
    for verdict in comparison.verdicts:
        for line in _verdict_lines(verdict, comparison.columns):
            out.print(line)
    for state in comparison.states:
        for line in _state_lines(state):
            out.print(line)
    for agreement in comparison.agreements:
        out.print(_agreement_line(agreement))
    _print_layers(comparison.layers, out, top)
    _print_relative_costs(comparison.shifts, out, top)


def _print_footprints(cells: Sequence[Cell], out: Console) -> None:
    """Memory, size and loading, measured or predicted, a row a network and column."""
    known = [cell for cell in cells if cell.footprint or cell.memory_kb is not None]
    if not known:
        return
    out.print("")
    grid = RichTable(box=None, pad_edge=False)
    grid.add_column("beside time", max_width=18, overflow="fold")
    for name in ("", "own MB", "runner MB", "planned MB", "file MB", "load ms", "first ms"):
        grid.add_column(name, justify="right")
    for cell in known:
        rest = ["-"] * 5 if cell.footprint is None else _footprint_cells(cell.footprint)
        grid.add_row(cell.network, _letter(cell.column), _memory(cell), *rest)
    out.print(grid)


def _footprint_cells(footprint: Footprint) -> list[str]:
    return [
        _number(footprint.base_rss_kb, _MB_KB),
        _number(footprint.planned_bytes, 1e6),
        _number(footprint.file_bytes, 1e6),
        _number(footprint.load_us, 1e3),
        _number(footprint.first_us, 1e3),
    ]


def _memory(cell: Cell) -> str:
    """A network's own peak memory, with the interval of a prediction."""
    if cell.memory_kb is None:
        return "-"
    text = f"{cell.memory_kb / _MB_KB:.2f}"
    if cell.memory_low_kb is None or cell.memory_high_kb is None:
        return text
    half = (cell.memory_high_kb - cell.memory_low_kb) / 2 / cell.memory_kb
    return f"{text} +-{half:.1%}"


def _number(value: float | None, unit: float) -> str:
    return "-" if value is None else f"{value / unit:.2f}"


def _letter(number: int) -> str:
    return _LETTERS[number] if number < len(_LETTERS) else f"#{number + 1}"


def _matrix(comparison: Comparison, numbers: Sequence[int]) -> RichTable:
    grid = RichTable(box=None, pad_edge=False)
    grid.add_column("milliseconds", max_width=18, overflow="fold")
    for number in numbers:
        kind = comparison.columns[number].kind
        grid.add_column(f"{_letter(number)} {kind}", justify="right", no_wrap=True)
    cells = {(cell.column, cell.network): cell for cell in comparison.cells}
    winners = {(verdict.column, verdict.winner) for verdict in comparison.verdicts}
    for name in comparison.names:
        row = [_cell(cells.get((number, name)), (number, name) in winners) for number in numbers]
        grid.add_row(name, *row)
    return grid


def _cell(cell: Cell | None, winner: bool) -> str:
    if cell is None or cell.latency_us is None:
        return "-"
    text = f"{cell.latency_us / 1e3:.3g}" if cell.low_us is None else _with_interval(cell)
    return f"{'* ' if winner else ''}{text}"


def _with_interval(cell: Cell) -> str:
    assert cell.latency_us is not None
    assert cell.low_us is not None
    assert cell.high_us is not None
    half = (cell.high_us - cell.low_us) / 2 / cell.latency_us
    return f"{cell.latency_us / 1e3:.3f} +-{half:.1%}{'' if cell.stable else '!'}"


def _throughputs(comparison: Comparison) -> Iterator[str]:
    """Images a second of each cell, where some calls are on several images."""
    for cell in comparison.cells:
        batch = comparison.columns[cell.column].batch
        if (rate := _images_per_s(cell, batch)) is not None:
            a_call = f"{batch} images a call" if batch != 1 else "1 image a call"
            yield f"{_letter(cell.column)}  {cell.network}: {rate:.0f} images/s, {a_call}"


def _images_per_s(cell: Cell, batch: int) -> float | None:
    return None if cell.latency_us is None else batch / cell.latency_us * 1e6


def _notes(cells: Iterable[Cell]) -> Iterator[str]:
    for cell in cells:
        if cell.note:
            yield f"{_letter(cell.column)}  {cell.network}: {cell.note}"


def _verdict_lines(
    verdict: ComparisonVerdict, columns: Sequence[ComparisonColumn]
) -> Iterator[str]:
    where = f"{_letter(verdict.column)} ({columns[verdict.column].kind})"
    doubt = "" if verdict.clear is not False else ", within the errors"
    yield f"on {where} the fastest is {verdict.winner}{doubt}"
    for ratio in verdict.others:
        yield f"   {ratio.network} takes {_ratio(ratio)} times as long"


def _ratio(ratio: Ratio) -> str:
    if ratio.low is None or ratio.high is None:
        return f"{ratio.ratio:.3f}"
    return f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _state_lines(state: MachineState) -> Iterator[str]:
    """The machine of a measured column, against the table of a predicted one."""
    if state.machine is not None:
        first, *more = state.machine.sentences()
        one, other = _letter(state.predicted), _letter(state.measured)
        yield f"{one} is restated for the machine of {other} as it is, which is"
        yield f"   {first}"
        for sentence in more:
            yield f"   {sentence}"
    for note in state.notes:
        yield f"{_letter(state.predicted)}  {note}"


def _agreement_line(agreement: Agreement) -> str:
    one, other = _letter(agreement.predicted), _letter(agreement.measured)
    clock = agreement.at_clock
    if agreement.within is not None:
        stated = f", {'inside' if agreement.within else 'OUTSIDE'} its interval"
    else:
        stated = "" if clock is None else f" ({clock:+.1%} at the clock of {one})"
    if agreement.minute is not None:
        other = f"minute {agreement.minute} of {other}"
    return f"{agreement.network}: {one} is {agreement.difference:+.1%} off {other}{stated}"


def _print_layers(layers: Sequence[LayerDifference], out: Console, top: int) -> None:
    pairs: dict[tuple[int, str, str], list[LayerDifference]] = {}
    for layer in layers:
        pairs.setdefault((layer.column, layer.faster, layer.slower), []).append(layer)
    for (column, faster, slower), rows in pairs.items():
        out.print("")
        out.print(f"{_letter(column)}: where {slower} and {faster} differ, microseconds")
        grid = RichTable(box=None, pad_edge=False)
        grid.add_column(slower, max_width=28, overflow="fold")
        grid.add_column("us", justify="right")
        grid.add_column(faster, max_width=28, overflow="fold")
        grid.add_column("us", justify="right")
        grid.add_column("more", justify="right")
        for row in rows[:top]:
            ours = (short_name(row.slower_key), f"{row.slower_us:.0f}")
            theirs = (short_name(row.faster_key), f"{row.faster_us:.0f}")
            grid.add_row(*ours, *theirs, f"{row.difference_us:+.0f}")
        if len(rows) > top:
            rest_us = sum(row.difference_us for row in rows[top:])
            grid.add_row(f"({len(rows) - top} more places)", "", "", "", f"{rest_us:+.0f}")
        grid.add_row("all", "", "", "", f"{sum(row.difference_us for row in rows):+.0f}")
        out.print(grid)


def _print_relative_costs(costs: Sequence[RelativeCost], out: Console, top: int) -> None:
    pairs: dict[tuple[int, int], list[RelativeCost]] = {}
    for cost in costs:
        pairs.setdefault((cost.first, cost.second), []).append(cost)
    for (first, second), rows in pairs.items():
        one, other = _letter(first), _letter(second)
        out.print("")
        out.print(f"operators whose cost on {other} over {one} is furthest from usual (1 = usual)")
        grid = RichTable(box=None, pad_edge=False)
        grid.add_column("operator", max_width=34, overflow="fold")
        for name in (f"{one} us", f"{other} us", "relative"):
            grid.add_column(name, justify="right")
        for row in rows[:top]:
            cells = (f"{row.first_us:.0f}", f"{row.second_us:.0f}", f"{row.relative:.2f}")
            grid.add_row(short_name(row.key), *cells)
        out.print(grid)
