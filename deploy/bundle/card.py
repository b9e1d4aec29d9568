"""The model card of a bundle, in Markdown."""

from collections.abc import Iterator

from deploy.bundle.facts import BundleFacts, ImageInput
from deploy.verification.device_side import VerificationReport
from search.console.messages import counted


def model_card(facts: BundleFacts) -> str:
    """What the file is, how it is called, what was measured, and what is not known."""
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: BundleFacts) -> Iterator[str]:
    yield f"# {_plain(facts.name)}"
    yield ""
    runtime = f"{facts.runtime}{_of(facts.runtime_version)}"
    yield f"`{facts.file}` for {runtime}, backend {facts.backend}, {facts.dtype}."
    yield ""
    yield "| fact | value |"
    yield "|---|---|"
    for name, value in _facts(facts):
        yield f"| {name} | {_plain(value)} |"
    yield ""
    yield "## Input"
    yield ""
    for spec in facts.inputs:
        order = "" if spec.order is None else f", memory order {list(spec.order)}"
        yield f"* `{spec.name}`: {spec.dtype}, {'x'.join(map(str, spec.sizes))}{order}"
    if facts.image is not None:
        yield from _image_lines(facts.image)
    elif facts.result.architecture is not None:
        yield (
            "* An RGB image, (pixel / 255 - mean) / std, NCHW. **Mean and std are not known**: no "
            "note lies beside the weights."
        )
    yield ""
    yield "## Output"
    yield ""
    for spec in facts.outputs:
        yield f"* `{spec.name}`: {spec.dtype}, {'x'.join(map(str, spec.sizes))}"
    if facts.labels:
        yield f"* one score a line of `labels.txt` ({len(facts.labels)})"
    yield ""
    yield "## Measured"
    yield ""
    report = facts.result.report
    yield from _measured(report) if report else ["Nothing was run on a device."]
    problems = facts.result.problems
    if problems:
        yield ""
        yield "## Problems"
        yield ""
        for problem in problems:
            yield f"* {_plain(problem)}"


def _facts(facts: BundleFacts) -> Iterator[tuple[str, str]]:
    result = facts.result
    yield "size", f"{result.artefact.size_bytes} bytes"
    yield "sha256", facts.sha256
    yield "weights", result.weights
    if facts.dtype == "int8":
        yield "calibrated on", result.calibration
    if result.architecture is not None:
        yield "multiply-adds", f"{result.architecture.flops / 1e6:.1f} million"
        yield "parameters", f"{result.architecture.params / 1e6:.2f} million"
    yield (
        "error of the file",
        f"{result.artefact.relative_error:.1e} (relative, against its source)",
    )
    yield "licence", facts.licence or "not stated (--licence)"
    if facts.image is not None:
        yield "trained on", facts.image.data


def _image_lines(image: ImageInput) -> Iterator[str]:
    crop = (
        "the whole image"
        if image.area is None
        else (f"the central square of {image.area:g} of the shorter side")
    )
    yield f"* RGB; {crop}, resized to {image.size}x{image.size} (bilinear)"
    yield f"* (pixel / 255 - mean) / std with mean {list(image.mean)} and std {list(image.std)}"


def _measured(report: VerificationReport) -> Iterator[str]:
    device = report.model or report.device
    runtime = f"{report.runtime}, {report.backend}, {counted(report.threads, 'thread')}"
    yield f"On {_plain(device)} ({report.source}), {runtime}:"
    yield ""
    latency, prediction, numbers = report.latency, report.prediction, report.numbers
    if latency is not None:
        yield (
            f"* latency {latency.centre_us / 1e3:.3f} ms "
            f"[{latency.low_us / 1e3:.3f}, {latency.high_us / 1e3:.3f}] (95 %)"
        )
    if prediction is not None:
        yield (
            f"* predicted {prediction.value_us / 1e3:.3f} ms "
            f"[{prediction.low_us / 1e3:.3f}, {prediction.high_us / 1e3:.3f}] by {prediction.table}"
        )
    if numbers is not None:
        yield (
            f"* outputs against {numbers.reference}: largest error {numbers.largest_error:.1e} on "
            f"{numbers.images} {numbers.of}"
        )
        if numbers.device_top1 is not None:
            yield f"* top-1 {numbers.device_top1:.2%} on the device"
    footprint = report.footprint
    if footprint is not None and footprint.load_us is not None:
        yield f"* loading {footprint.load_us / 1e3:.1f} ms"
    if footprint is not None and footprint.peak_rss_kb is not None:
        yield f"* peak memory of the runner {footprint.peak_rss_kb / 1e3:.1f} MB"


def _of(version: str | None) -> str:
    return f" {version}" if version else ""


def _plain(text: str) -> str:
    """A user's text without what Markdown would take for markup."""
    return "".join(f"\\{c}" if c in "|`*_<>[]#\\" else c for c in " ".join(text.split()))
