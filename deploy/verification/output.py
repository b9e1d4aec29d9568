"""The result of a deployment: printed as a table, JSON or CSV, and written to a folder."""

import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.coreml.package import replace_folder
from deploy.verification.details import (
    footprint_lines,
    model_content,
    model_lines,
    profile_lines,
)
from deploy.verification.device_side import (
    Latency,
    LatencyPrediction,
    OutputErrors,
    VerificationReport,
)
from deploy.verification.machine import MachineNow, TodaysPrediction
from deploy.verification.result import DeployResult
from search.architecture import Architecture, write_architecture
from search.console.messages import counted
from search.console.output import emit, to_json
from search.files import write_text

if TYPE_CHECKING:
    from rich.console import Console

RESULT_SCHEMA = 1


def show_result(result: DeployResult, output_format: str) -> None:
    """Print it on standard output."""

    def print_lines(_: "Console") -> None:
        for line in lines(result):
            print(line)

    emit(
        output_format,
        table=print_lines,
        content=lambda: finite(result_content(result)),
        rows=lambda: [as_row(result)],
    )


def write_folder(result: DeployResult, folder: Path) -> None:
    """The file and, named after it, its architecture and its record; each whole or not at all.

    `net-fp32.pte` has `net-fp32.pte.architecture.json` and `net-fp32.pte.deploy.json`, so that
    several formats and networks share a folder.
    """
    assert result.file is not None
    folder.mkdir(parents=True, exist_ok=True)
    if result.file.suffix == ".mlpackage":
        replace_folder(result.artefact.path.read_bytes(), result.file)
    else:
        _copy(result, folder)
    name = result.file.name
    if result.architecture is not None:
        write_architecture(result.architecture, folder / f"{name}.architecture.json")
    write_text(folder / f"{name}.deploy.json", to_json(finite(result_content(result))) + "\n")


def _copy(result: DeployResult, folder: Path) -> None:
    assert result.file is not None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".deploy-") as temporary:
        copy = Path(temporary) / result.file.name
        shutil.copyfile(result.artefact.path, copy)
        copy.replace(result.file)


def result_content(result: DeployResult) -> dict[str, object]:
    """Everything; unknown is null, and so is what is not finite."""
    artefact, report = result.artefact, result.report
    return {
        "schema_version": RESULT_SCHEMA,
        "network": _network(result),
        "artefact": {
            "file": result.file.name if result.file else None,
            "exporter": artefact.exporter,
            "backend": result.backend,
            "sha256": artefact.sha256,
            "size_bytes": artefact.size_bytes,
            "relative_error": artefact.relative_error,
            "weights": result.weights,
            "calibration": result.calibration,
        },
        "proof": _proof(report) if report else None,
        "notes": list(result.notes),
        "problems": list(result.problems),
    }


def _network(result: DeployResult) -> dict[str, object]:
    if result.model is not None:
        return model_content(result.model)
    architecture = result.architecture
    assert architecture is not None
    return {
        "name": architecture.name,
        "dtype": architecture.dtype,
        "resolution": architecture.resolution,
        "batch": architecture.batch,
        "classes": architecture.classes,
        "flops": architecture.flops,
        "params": architecture.params,
    }


def _proof(report: VerificationReport) -> dict[str, object]:
    profile = report.profile.content() if report.profile else None
    sustained = report.sustained.content() if report.sustained else None
    predicted, memory = report.sustained_prediction, report.memory_prediction
    plain = replace(report, profile=None, sustained=None, sustained_prediction=None)
    content = asdict(replace(plain, memory_prediction=None))
    content |= {"profile": profile, "sustained": sustained}
    content |= {"sustained_prediction": predicted.content() if predicted else None}
    content |= {"memory_prediction": memory.content() if memory else None}
    return {**content, "images_per_s": report.images_per_s}


def finite(content: object) -> object:
    """The same with null for numbers that JSON cannot hold."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def as_row(result: DeployResult) -> dict[str, object]:
    """The main figures as one row."""
    report = result.report
    numbers, latency = (report.numbers, report.latency) if report else (None, None)
    prediction = report.prediction if report else None
    machine = prediction.machine if prediction else None
    today = prediction.today if prediction else None
    footprint = report.footprint if report else None
    memory = report.memory_prediction if report else None
    return {
        "network": result.name,
        "dtype": result.dtype,
        "backend": result.backend,
        "device": report.device if report else None,
        "source": report.source if report else None,
        "size_bytes": result.artefact.size_bytes,
        "export_error": result.artefact.relative_error,
        "images": numbers.images if numbers else None,
        "largest_error": numbers.largest_error if numbers else None,
        "rms_error": numbers.rms_error if numbers else None,
        "agreement": numbers.agreement if numbers else None,
        "device_top1": numbers.device_top1 if numbers else None,
        "torch_top1": numbers.torch_top1 if numbers else None,
        "measured_us": latency.centre_us if latency else None,
        "measured_low_us": latency.low_us if latency else None,
        "measured_high_us": latency.high_us if latency else None,
        "batch": report.batch if report else None,
        "images_per_s": report.images_per_s if report else None,
        "predicted_us": prediction.value_us if prediction else None,
        "predicted_low_us": prediction.low_us if prediction else None,
        "predicted_high_us": prediction.high_us if prediction else None,
        "difference": prediction.difference if prediction else None,
        "machine_factor": machine.factor if machine else None,
        "machine_low": machine.low if machine else None,
        "machine_high": machine.high if machine else None,
        "machine_clock_factor": machine.clock_factor if machine else None,
        "today_us": today.value_us if today else None,
        "today_low_us": today.low_us if today else None,
        "today_high_us": today.high_us if today else None,
        "table_error": today.table_error if today else None,
        "within_interval": today.within if today else None,
        "at_table_state_us": report.at_table_state_us if report else None,
        "target_us": report.target_us if report else None,
        "load_us": footprint.load_us if footprint else None,
        "first_call_us": footprint.first_us if footprint else None,
        "peak_rss_kb": footprint.peak_rss_kb if footprint else None,
        "base_rss_kb": footprint.base_rss_kb if footprint else None,
        "planned_bytes": footprint.planned_bytes if footprint else None,
        "predicted_memory_kb": memory.value_kb if memory else None,
        "problems": "; ".join(result.problems),
    }


# --- the table


def lines(result: DeployResult) -> Iterator[str]:
    """At most 80 characters each, paths and messages apart."""
    artefact = result.artefact
    if result.architecture is not None:
        yield from _architecture_lines(result, result.architecture)
    if result.model is not None:
        yield from model_lines(result.model)
    yield (
        f"  file        {artefact.exporter}, {artefact.size_bytes / 1e6:.2f} MB, "
        f"sha256 {artefact.sha256[:12]}, {artefact.relative_error:.1e} off {_reference(result)}"
    )
    if result.report is not None:
        yield from _report_lines(result.report)
    for note in result.notes:
        yield f"  note        {note}"
    for problem in result.problems:
        yield f"  PROBLEM     {problem}"
    if result.file is not None:
        yield f"written to {result.file.parent}"


def _architecture_lines(result: DeployResult, architecture: Architecture) -> Iterator[str]:
    counts = f"{architecture.flops / 1e6:.1f}M FLOPs, {architecture.params / 1e6:.2f}M parameters"
    if architecture.batch != 1:
        counts = f"{architecture.batch} images a call, {counts}"
    yield f"{architecture.name} {architecture.dtype} at {architecture.resolution} px, {counts}"
    if result.weights == "seeded":
        yield "  weights     seeded, not trained: its time is real, its answers mean nothing"
    else:
        yield f"  weights     {result.weights}"
    if architecture.dtype == "int8":
        yield _calibration(result.calibration)


def _reference(result: DeployResult) -> str:
    return "torch" if result.model is None else result.model.reference


def _calibration(text: str) -> str:
    if text == "noise":
        return "  calibrated  on noise: good for time, not for accuracy; --data gives images"
    return f"  calibrated  on {text}"


def _report_lines(report: VerificationReport) -> Iterator[str]:
    simulated = "" if report.source == "measured" else f"  ** {report.source.upper()} **"
    yield (
        f"  device      {report.device}, {report.runtime}, {report.backend}, "
        f"{counted(report.threads, 'thread')}{simulated}"
    )
    if report.numbers is not None:
        yield from _number_lines(report.numbers)
    if report.latency is None:
        yield "  measured    nothing: no block ran undisturbed"
    else:
        yield from _latency_lines(report.latency, report.runner)
        if report.batch != 1:
            yield f"  throughput  {report.images_per_s:.0f} images/s, {report.batch} a call"
    if report.prediction is not None:
        yield from _prediction_lines(report.prediction)
    if report.target_us is not None and report.latency is not None:
        yield from _target_lines(report, report.latency, report.target_us)
    if report.machine is not None:
        yield from _machine_lines(report.machine)
    if report.footprint is not None:
        yield from footprint_lines(report.footprint, report.memory_prediction)
    if report.sustained is not None:
        own = report.sustained_prediction
        said = (*report.sustained.lines(), *(own.lines() if own else ()))
        for number, text in enumerate(said):
            yield f"  {'sustained' if number == 0 else '':<10}  {text}"
    if report.profile is not None:
        yield from profile_lines(report.profile)
    for note in report.notes:
        yield f"  note        {note}"


def _target_lines(report: VerificationReport, latency: Latency, target_us: float) -> Iterator[str]:
    """The verdict on the machine as it is, and what it would be at the table's state."""
    then_us = report.at_table_state_us
    today = "" if then_us is None else " today"
    yield f"  target      {_ms(target_us)}{today}: {_met(latency.centre_us, target_us)}"
    if then_us is not None:
        verdict = _met(then_us, target_us)
        yield f"              at the state of the table it takes {_ms(then_us)}: {verdict}"


def _met(us: float, target_us: float) -> str:
    return "met" if us <= target_us else "MISSED"


def _number_lines(numbers: OutputErrors) -> Iterator[str]:
    error, kind = numbers.largest_error, "largest"
    if numbers.judged == "rms_error":
        error, kind = numbers.rms_error, "RMS"
    by_torch = numbers.reference == "torch"
    verdict = "as torch's" if numbers.passed else "NOT torch's"
    if not by_torch:
        verdict = "as expected" if numbers.passed else "NOT as expected"
    yield (
        f"  numbers     {verdict} on {numbers.images} {numbers.of}: {kind} error {error:.1e} "
        f"(allowed {numbers.limit:g})"
    )
    if not by_torch:
        yield f"              expected by {numbers.reference}"
    yield f"              same first class on {numbers.agreement:.2%}"
    if numbers.device_top1 is not None and numbers.torch_top1 is not None:
        yield (
            f"  top-1       {numbers.device_top1:.2%} on the device, "
            f"{numbers.torch_top1:.2%} with torch in fp32"
        )


def _latency_lines(latency: Latency, runner: str) -> Iterator[str]:
    clock = f" at {latency.clock_khz / 1e6:.2f} GHz" if latency.clock_khz else ""
    yield f"  measured    {_interval(latency.centre_us, latency.low_us, latency.high_us)}{clock}"
    yield f"              {runner} runner, {latency.blocks} blocks in {latency.passes} passes"


def _prediction_lines(prediction: LatencyPrediction) -> Iterator[str]:
    value = _interval(prediction.value_us, prediction.low_us, prediction.high_us)
    if prediction.machine is None:
        yield f"  predicted   {value}{_chance(prediction.probability)}"
    else:
        yield f"  predicted   {value} at the state of the table"
    yield f"              by {prediction.table}"
    at_clock = prediction.difference_at_clock
    stated = "" if at_clock is None else f" ({at_clock:+.1%} at the table's clock)"
    yield f"  difference  predicted is {prediction.difference:+.1%} off measured{stated}"
    if prediction.machine is not None and prediction.today is not None:
        yield from _today_lines(prediction.machine, prediction.today)


def _today_lines(machine: MachineNow, today: TodaysPrediction) -> Iterator[str]:
    """How the machine is now, the prediction for that, and what is left as the table's error."""
    yield from _machine_lines(machine)
    value = _interval(today.value_us, today.low_us, today.high_us)
    yield f"  for today   {value}{_chance(today.probability)}"
    where = "inside" if today.within else "OUTSIDE"
    yield f"  table       measured is {today.table_error:+.1%} off that, {where} its interval"


def _machine_lines(machine: MachineNow) -> Iterator[str]:
    for number, sentence in enumerate(machine.sentences()):
        yield f"  {'machine' if number == 0 else '':<10}  {sentence}"


def _chance(probability: float | None) -> str:
    return "" if probability is None else f", meets the target with probability {probability:.2f}"


def _interval(value: float, low: float, high: float) -> str:
    return f"{_ms(value)} [{low / 1e3:.3f}, {high / 1e3:.3f}]"


def _ms(us: float) -> str:
    return f"{us / 1e3:.3f} ms"
