"""Tables for people: what `show` and the end of a campaign print."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table as RichTable

from profiler.comparison.operators import describe
from profiler.planning.estimate import Coverage
from profiler.tables.checks import problems
from search.console.output import console, to_csv, to_json
from search.table.entries import Entry, entries_to_csv
from search.table.manifest import Exam, Origin, Prediction, Protocol, Score
from search.table.store import Table

_COLUMNS, _INDENT = 80, 13


def show_table(
    table: Table, form: str, top: int | None, pattern: str | None, keys: bool = False
) -> None:
    """Print one table; `pattern` is looked for in keys and in their short words."""
    entries = [
        entry
        for entry in table.entries
        if pattern is None or pattern in entry.key or pattern in describe(entry.key)
    ]
    if form == "json":
        content = {
            "manifest": table.manifest.model_dump(mode="json"),
            "entries": [asdict(entry) for entry in entries],
        }
        print(to_json(content))
    elif form == "csv":
        print(entries_to_csv(entries), end="")
    else:
        _show_for_people(table, entries, top, keys)


def _show_for_people(table: Table, entries: Sequence[Entry], top: int | None, keys: bool) -> None:
    out = console()
    for line in summary(table):
        out.print(line)
    rows = sorted(entries, key=lambda entry: -(entry.centre_us or 0))[:top]
    grid = RichTable(title=None, box=None, pad_edge=False)
    grid.add_column("operator", overflow="fold", no_wrap=keys)
    for name in ("us", "+-%", "first us", "blocks"):
        grid.add_column(name, justify="right")
    grid.add_column("status")
    for entry in rows:
        name = entry.key if keys else describe(entry.key)
        grid.add_row(name, *_cells(entry))
    out.print(grid)
    if len(rows) < len(entries):
        guessed = sum(entry.status == "predicted" for entry in entries)
        kinds = f", {len(entries) - guessed} measured and {guessed} predicted" if guessed else ""
        out.print(f"({len(rows)} slowest of {len(entries)} rows{kinds}; --all shows every one)")


def _cells(entry: Entry) -> tuple[str, ...]:
    if entry.centre_us is None:
        return "-", "-", "-", "0", f"failed: {entry.reason}"
    first = "-" if entry.first_us is None else f"{entry.first_us:.1f}"
    half = "-" if entry.low_us is None else f"{100 * entry.relative_half_width:.1f}"
    return f"{entry.centre_us:.1f}", half, first, str(entry.blocks), entry.status


def summary(table: Table) -> list[str]:
    """What a table is and how far it can be trusted, in a few lines."""
    m = table.manifest
    runtime = f"{m.runtime.name} {m.runtime.version or '?'}, {m.runtime.backend}"
    system = f"{m.device.os or ''} {m.device.os_build or ''}"
    lines = [
        table.label,
        *_source_lines(m.source),
        f"  device     {m.device.model} ({system.strip() or 'system unknown'})",
        f"  runtime    {runtime}, {m.runtime.runner} runner",
        f"  protocol   {_protocol(m.protocol)}",
        f"  space      {m.space.spec}: {m.space.candidates} candidates",
        f"  coverage   {m.space.operators_measured} of {m.space.operators_expected} operators, "
        f"{m.space.operators_unstable} unstable, {m.space.operators_failed} failed, "
        f"{m.space.operators_missing} missing{_predicted(m.space.operators_predicted)}"
        f"{_extra(m.space.operators_extra)}",
    ]
    lines += _origin_lines(m.origin) + _prediction_lines(m.prediction)
    if m.calibration is not None:
        terms = " + ".join(
            f"{slope:.3g} {name}"
            for name, slope in zip(m.calibration.features, m.calibration.slopes, strict=True)
        )
        lines.append(f"  model      {m.calibration.intercept_us:.0f} us + {terms}")
        lines.append(
            f"             cross-validated MAPE {m.calibration.cross_validated_mape:.2%} on "
            f"{m.calibration.networks} networks; plain sum {m.calibration.raw_sum_mape:.2%}"
        )
    lines += _exam_lines(m.exam)
    lines += [f"  note       {note}" for note in m.notes]
    lines += [f"  PROBLEM    {problem}" for problem in problems(table)]
    return [part for line in lines for part in _wrapped(line)]


def _wrapped(line: str) -> list[str]:
    """A line of a summary within `_COLUMNS`; the rest goes below the first word's column."""
    indent = " " * _INDENT
    return [
        part
        for piece in line.split("\n")
        for part in textwrap.wrap(
            piece,
            _COLUMNS,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        or [""]
    ]


def _source_lines(source: str) -> list[str]:
    if source == "measured":
        return []
    partly = "PARTLY PREDICTED" if source == "predicted" else f"{source.upper()}, NOT MEASURED"
    return [f"  source     ** {partly} **"]


def _protocol(protocol: Protocol) -> str:
    threads = "?" if protocol.threads is None else protocol.threads
    words = f"{protocol.dtype}, {threads} thread(s), {protocol.preset}"
    if protocol.preset == "imported":
        return f"{words}: the publisher's, not known here"
    return f"{words}, {_floor(protocol.dispatch_floor_us)}{_clock(protocol)}"


def _origin_lines(origin: Origin | None) -> list[str]:
    if origin is None:
        return []
    lines = [
        f"  origin     {origin.publisher}",
        f"             {origin.source}",
        f"             {origin.rows} rows of {origin.file}, sha256 {origin.file_sha256[:12]}, "
        f"in {origin.value_unit}, licence {origin.licence or 'not stated'}",
    ]
    if origin.constant_us is not None:
        lines.append(
            f"             {origin.constant_us:.0f} us for every network, "
            f"{len(origin.covered)} operators included"
        )
    return lines


def _prediction_lines(prediction: Prediction | None) -> list[str]:
    if prediction is None:
        return []
    return [
        f"  predictor  {prediction.method}, from {prediction.operators_measured} operators "
        f"({prediction.design})",
        f"             held-out rows: MAPE {prediction.mape:.2%}, Spearman "
        f"{prediction.spearman:.4f}, {prediction.level:.0%} intervals held "
        f"{prediction.coverage:.0%}",
    ]


def show_unsure(entries: Sequence[Entry], form: str) -> None:
    """Print the predicted rows that a refinement would measure."""
    rows = [
        {"operator": e.key, "us": e.centre_us, "low_us": e.low_us, "high_us": e.high_us}
        for e in entries
    ]
    if form == "json":
        print(to_json(rows))
    elif form == "csv":
        print(to_csv(rows), end="")
    else:
        out = console()
        grid = RichTable(box=None, pad_edge=False)
        grid.add_column("to be measured", overflow="fold")
        for name in ("us", "90 % interval"):
            grid.add_column(name, justify="right")
        for e in entries:
            grid.add_row(
                describe(e.key), f"{e.centre_us:.1f}", f"{e.low_us:.1f} .. {e.high_us:.1f}"
            )
        out.print(grid)


def _floor(floor_us: float | None) -> str:
    return "dispatch floor unknown" if floor_us is None else f"dispatch floor {floor_us:.2f} us"


def _predicted(operators: int) -> str:
    return f", {operators} PREDICTED" if operators else ""


def _extra(operators: int) -> str:
    return f" ({operators} for published networks)" if operators else ""


def _clock(protocol: Protocol) -> str:
    if protocol.clock_khz is None:
        return ""
    return (
        f"\n             stated at {protocol.clock_khz / 1e6:.2f} GHz; the clock ran at "
        f"{(protocol.clock_low_khz or 0) / 1e6:.2f} to {(protocol.clock_high_khz or 0) / 1e6:.2f}"
    )


def _exam_lines(exam: Exam | None) -> list[str]:
    if exam is None:
        return ["  exam       none"]
    verdict = "passed" if exam.passed else "FAILED"
    return [
        f"  exam       {verdict} on {exam.networks} networks held out, MAPE {_percent(exam.mape)}",
        f"             within 5 % {_percent(exam.within_5_percent)}, "
        f"within 10 % {_percent(exam.within_10_percent)}, worst {exam.max_relative_error:.1%}",
        f"             RMSE {exam.rmse_us.value:.0f} us [{exam.rmse_us.low:.0f}, "
        f"{exam.rmse_us.high:.0f}], Spearman {exam.spearman.value:.4f} "
        f"[{exam.spearman.low:.4f}, {exam.spearman.high:.4f}]",
        f"             95 % intervals held {exam.interval_coverage:.0%} of them",
    ]


def _percent(score: Score) -> str:
    return f"{score.value:.2%} [{score.low:.2%}, {score.high:.2%}]"


def show_coverage(coverage: Coverage, form: str) -> None:
    """Print what a campaign would do."""
    if form == "json":
        print(to_json(asdict(coverage)))
        return
    if form == "csv":
        print(to_csv([asdict(coverage)]), end="")
        return
    out = console()
    out.print(f"space             {coverage.space}")
    out.print(f"layers            {coverage.layers}")
    out.print(f"candidates        {coverage.candidates}")
    out.print(f"networks          {coverage.networks:.3g}")
    out.print(
        f"unique operators  {coverage.unique_operators} and {coverage.published_operators} of "
        f"published networks ({coverage.selected_operators} asked)"
    )
    if coverage.predicted_operators:
        out.print(f"to be predicted   {coverage.predicted_operators}")
    out.print(f"already measured  {coverage.measured}")
    out.print(f"missing           {coverage.missing}")
    out.print(f"whole networks    {coverage.whole_networks} for calibration and exam")
    out.print(f"artefacts         {coverage.built} built, {coverage.to_build} to build")
    out.print(f"estimated time    {coverage.estimated_seconds:.0f} s")
