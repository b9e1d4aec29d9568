"""The summary of a table, in lines of text."""

import math
import textwrap

from profiler.tables.memory import memory_lines
from profiler.tables.phones import phone_lines
from profiler.tables.versions import exporter_of
from search.console.messages import counted
from search.latency.trust import table_problems, wide_rows
from search.operators.words import space_label
from search.table.calibration import Calibration
from search.table.manifest import Exam, Manifest, Origin, Prediction, Protocol, Score
from search.table.store import Table

_COLUMNS, _INDENT = 80, 13
_NAMED = 5
# From the 5th to the 95th percentile of the machine's state: what a reader may call it.
_RESTLESSNESS = (("quiet", 0.02), ("busy at times", 0.08), ("restless", math.inf))


def summary(table: Table) -> list[str]:
    """The table's setting, coverage, exam and problems, in a few lines."""
    manifest = table.manifest
    device, runtime, space = manifest.device, manifest.runtime, manifest.space
    system = f"{device.os or ''} {device.os_build or ''}".strip()
    lines = [
        table.label,
        *_source_lines(manifest.source),
        f"  device     {device.model} ({system or 'system unknown'})",
        f"  runtime    {runtime.name} {runtime.version or '?'}, {runtime.backend}, "
        f"{runtime.runner} runner{_programs(manifest)}",
        f"  protocol   {_protocol(manifest.protocol)}",
        *_machine_lines(manifest.protocol),
        f"  space      {space_label(space.spec)}: {space.candidates} candidates",
        *_batch_lines(table),
        f"  coverage   {space.operators_measured} of {space.operators_expected} operators, "
        f"{space.operators_unstable} wide, {space.operators_failed} failed, "
        f"{space.operators_missing} missing{_predicted(space.operators_predicted)}"
        f"{_extra(space.operators_extra)}",
        *_origin_lines(manifest.origin),
        *_prediction_lines(manifest.prediction),
        *_calibration_lines(manifest.calibration),
        *_exam_lines(manifest.exam),
        *memory_lines(table),
        *phone_lines(manifest.phones),
        *_wide_lines(table),
        *(f"  note       {note}" for note in manifest.notes),
        *_verdict_lines(table),
    ]
    return [part for line in lines for part in _wrapped(line)]


def _batch_lines(table: Table) -> list[str]:
    if table.batch == 1:
        return []
    return [f"  batch      {table.batch} images a call; all times are of a call"]


def _programs(manifest: Manifest) -> str:
    exporter, runtime = exporter_of(manifest), manifest.runtime
    other = exporter not in (None, f"{runtime.name} {runtime.version}")
    return f", programs by {exporter}" if other else ""


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
    threads = "? threads" if protocol.threads is None else counted(protocol.threads, "thread")
    text = f"{protocol.dtype}, {threads}, {protocol.preset}"
    if protocol.preset == "imported":
        return f"{text}: the publisher's, not known here"
    return f"{text}, {_floor(protocol.dispatch_floor_us)}{_clock(protocol)}"


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


def _calibration_lines(calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return []
    terms = " + ".join(
        f"{slope:.3g} {name}"
        for name, slope in zip(calibration.features, calibration.slopes, strict=True)
    )
    pairs = " + neighbours" if calibration.pairs else ""
    return [
        f"  model      {calibration.intercept_us:.0f} us + {terms}{pairs}",
        f"             cross-validated MAPE {calibration.cross_validated_mape:.2%} on "
        f"{calibration.networks} networks; plain sum {calibration.raw_sum_mape:.2%}",
    ]


def _floor(floor_us: float | None) -> str:
    return "dispatch floor unknown" if floor_us is None else f"dispatch floor {floor_us:.2f} us"


def _predicted(operators: int) -> str:
    return f", {operators} PREDICTED" if operators else ""


def _extra(operators: int) -> str:
    return f" ({operators} beyond the space)" if operators else ""


def _clock(protocol: Protocol) -> str:
    if protocol.clock_khz is None:
        return ""
    return (
        f"\n             stated at {protocol.clock_khz / 1e6:.2f} GHz; the clock ran at "
        f"{(protocol.clock_low_khz or 0) / 1e6:.2f} to {(protocol.clock_high_khz or 0) / 1e6:.2f}"
    )


def _machine_lines(protocol: Protocol) -> list[str]:
    """How restless the machine was, in one line; none where that is not known."""
    if protocol.state_low is None or protocol.state_high is None:
        return []
    spread = protocol.state_high / protocol.state_low - 1
    word = next(word for word, most in _RESTLESSNESS if spread <= most)
    return [
        f"  machine    {word}: at an unchanged clock it ran {1 - protocol.state_low:.1%} faster to "
        f"{protocol.state_high - 1:.1%} slower than in its mean state, at which times are stated"
    ]


def _wide_lines(table: Table) -> list[str]:
    """Rows with wide intervals, which are listed and fail nothing by themselves."""
    rows = wide_rows(table)
    if not rows:
        return []
    named = ", ".join(f"{row.key} +-{row.relative_half_width:.1%}" for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return [f"  wide       {named}{more}; networks with them get wider intervals"]


def _verdict_lines(table: Table) -> list[str]:
    """The problems, and in plain words what the table may be used for."""
    manifest, problems = table.manifest, table_problems(table)
    lines = [f"  PROBLEM    {problem}" for problem in problems]
    if manifest.source == "imported":
        return lines
    if problems:
        return [*lines, "  use        not for networks: their latencies cannot be trusted yet"]
    if manifest.exam is None or manifest.calibration is None:
        return [*lines, "  use        for these operators alone; it prices no networks"]
    if manifest.source == "simulated":
        return [*lines, "  use        for rehearsals alone: nothing here was measured"]
    error = manifest.calibration.relative_residual * manifest.calibration.interval_factor
    return [
        *lines,
        f"  use        prices networks of this space on this device to +-{error:.1%} (95 %); "
        f"two that differ by more than {error * 2**0.5:.1%} are told apart",
    ]


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
