"""What came of a deployment: for people, as JSON, as CSV."""

import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from deploy.coreml.package import replace_folder
from deploy.verification.device_side import Latency, OutputErrors, Prediction, VerificationReport
from deploy.verification.job import DeployResult
from search.architecture import write_architecture
from search.console.app import FORMATS
from search.console.output import to_csv, to_json
from search.errors import UsageError
from search.files import write_text

RESULT_SCHEMA = 1


def check_form(form: str) -> None:
    """Refuse an output format that is not known.

    Raises:
        UsageError: Unknown.
    """
    if form not in FORMATS:
        raise UsageError(
            f"Unknown --output-format {form!r}.",
            f"Known: {', '.join(FORMATS)} (--format is for pte, onnx and mlpackage).",
        )


def show_result(result: DeployResult, form: str) -> None:
    """Print it on standard output."""
    if form == "json":
        print(_to_json(result), end="")
    elif form == "csv":
        print(to_csv([as_row(result)]), end="")
    else:
        for line in lines(result):
            print(line)


def write_folder(result: DeployResult, folder: Path) -> None:
    """The file, `architecture.json` and `deploy.json`, each whole or not at all."""
    assert result.file is not None
    folder.mkdir(parents=True, exist_ok=True)
    if result.file.suffix == ".mlpackage":
        replace_folder(result.artefact.path.read_bytes(), result.file)
    else:
        _copy(result, folder)
    write_architecture(result.architecture, folder / "architecture.json")
    write_text(folder / "deploy.json", _to_json(result))


def _copy(result: DeployResult, folder: Path) -> None:
    assert result.file is not None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".deploy-") as temporary:
        copy = Path(temporary) / result.file.name
        shutil.copyfile(result.artefact.path, copy)
        copy.replace(result.file)


def as_json(result: DeployResult) -> dict[str, object]:
    """Everything; unknown is null, and so is what is not finite."""
    artefact, architecture, proof = result.artefact, result.architecture, result.proof
    return {
        "schema_version": RESULT_SCHEMA,
        "network": {
            "name": architecture.name,
            "dtype": architecture.dtype,
            "resolution": architecture.resolution,
            "classes": architecture.classes,
            "flops": architecture.flops,
            "params": architecture.params,
        },
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
        "proof": asdict(proof) if proof else None,
        "notes": list(result.notes),
        "problems": list(result.problems),
    }


def _to_json(result: DeployResult) -> str:
    return to_json(_finite(as_json(result))) + "\n"


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def as_row(result: DeployResult) -> dict[str, object]:
    """The main figures as one row."""
    proof = result.proof
    numbers, latency = (proof.numbers, proof.latency) if proof else (None, None)
    prediction = proof.prediction if proof else None
    return {
        "network": result.architecture.name,
        "dtype": result.architecture.dtype,
        "backend": result.backend,
        "device": proof.device if proof else None,
        "source": proof.source if proof else None,
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
        "predicted_us": prediction.value_us if prediction else None,
        "predicted_low_us": prediction.low_us if prediction else None,
        "predicted_high_us": prediction.high_us if prediction else None,
        "difference": prediction.difference if prediction else None,
        "target_us": proof.target_us if proof else None,
        "problems": "; ".join(result.problems),
    }


# --- for people


def lines(result: DeployResult) -> Iterator[str]:
    """At most 80 characters each, paths and messages apart."""
    artefact, architecture = result.artefact, result.architecture
    counts = f"{architecture.flops / 1e6:.1f}M FLOPs, {architecture.params / 1e6:.2f}M parameters"
    yield f"{architecture.name} {architecture.dtype} at {architecture.resolution} px, {counts}"
    if result.weights == "seeded":
        yield "  weights     seeded, not trained: its time is real, its answers mean nothing"
    else:
        yield f"  weights     {result.weights}"
    if architecture.dtype == "int8":
        yield _calibration(result.calibration)
    yield (
        f"  file        {artefact.exporter}, {artefact.size_bytes / 1e6:.2f} MB, "
        f"sha256 {artefact.sha256[:12]}, {artefact.relative_error:.1e} off torch"
    )
    if result.proof is not None:
        yield from _proof_lines(result.proof)
    for note in result.notes:
        yield f"  note        {note}"
    for problem in result.problems:
        yield f"  PROBLEM     {problem}"
    if result.file is not None:
        yield f"written to {result.file.parent}"


def _calibration(text: str) -> str:
    if text == "noise":
        return "  calibrated  on noise: good for time, not for accuracy; --data gives images"
    return f"  calibrated  on {text}"


def _proof_lines(proof: VerificationReport) -> Iterator[str]:
    simulated = "" if proof.source == "measured" else f"  ** {proof.source.upper()} **"
    yield (
        f"  device      {proof.device}, {proof.runtime}, {proof.backend}, "
        f"{proof.threads} thread(s){simulated}"
    )
    if proof.numbers is not None:
        yield from _number_lines(proof.numbers)
    yield from _latency_lines(proof.latency, proof.runner)
    if proof.prediction is not None:
        yield from _prediction_lines(proof.prediction)
    if proof.target_us is not None:
        met = "met" if proof.latency.centre_us <= proof.target_us else "MISSED"
        yield f"  target      {_ms(proof.target_us)}: {met}"
    for note in proof.notes:
        yield f"  note        {note}"


def _number_lines(numbers: OutputErrors) -> Iterator[str]:
    error, kind = numbers.largest_error, "largest"
    if numbers.judged == "rms_error":
        error, kind = numbers.rms_error, "RMS"
    verdict = "as torch's" if numbers.passed else "NOT torch's"
    yield (
        f"  numbers     {verdict} on {numbers.images} images: {kind} error {error:.1e} "
        f"(allowed {numbers.limit:g})"
    )
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


def _prediction_lines(prediction: Prediction) -> Iterator[str]:
    value = _interval(prediction.value_us, prediction.low_us, prediction.high_us)
    sure = prediction.probability
    chance = "" if sure is None else f", meets the target with probability {sure:.2f}"
    yield f"  predicted   {value}{chance}"
    yield f"              by {prediction.table}"
    at_clock = prediction.difference_at_clock
    stated = "" if at_clock is None else f" ({at_clock:+.1%} at the table's clock)"
    yield f"  difference  predicted is {prediction.difference:+.1%} off measured{stated}"


def _interval(value: float, low: float, high: float) -> str:
    return f"{_ms(value)} [{low / 1e3:.3f}, {high / 1e3:.3f}]"


def _ms(us: float) -> str:
    return f"{us / 1e3:.3f} ms"
