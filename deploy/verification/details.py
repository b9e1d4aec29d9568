"""Time by operator, footprint, and a model's inputs and outputs, as lines and as JSON types."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from deploy.models.prepare import OwnModel
from deploy.verification.breakdown import Footprint, MemoryPrediction, TimeProfile, by_kind
from search.console.messages import counted

_SHOWN = 12
_NAME, _BAR = 38, 16  # with the numbers, 80 columns


def model_content(model: OwnModel) -> dict[str, object]:
    """What a model is, as JSON types."""
    return {
        "name": model.name,
        "dtype": model.dtype,
        "source": model.source.text,
        "format": model.source.kind,
        "inputs": [spec.content() for spec in model.inputs],
        "outputs": [spec.content() for spec in model.outputs],
        "reference": model.reference,
        "delegates": model.delegates,
        "outside": dict(model.outside),
    }


def model_lines(model: OwnModel) -> Iterator[str]:
    """What a model takes, gives, and leaves to others than the delegate."""
    yield f"{model.name} from {model.source.text}"
    for spec in model.inputs:
        yield f"  input       {spec.words}"
    for spec in model.outputs:
        yield f"  output      {spec.words}"
    if model.backend != "xnnpack":
        return
    if not model.outside:
        yield f"  delegated   all of it, in {counted(model.delegates, 'part')}"
        return
    yield f"  delegated   {counted(model.delegates, 'part')}; outside of XNNPACK:"
    ranked = sorted(model.outside.items(), key=lambda item: (-item[1], item[0]))
    for name, count in ranked[:_SHOWN]:
        yield f"              {count} x {name}"
    if len(ranked) > _SHOWN:
        yield f"              and {len(ranked) - _SHOWN} more kinds"


def footprint_lines(
    footprint: Footprint, predicted: MemoryPrediction | None = None
) -> Iterator[str]:
    """Size, loading and memory, as far as they are known."""
    for name, text in footprint_facts(footprint, predicted):
        yield f"  {name:<10}  {text}"


def footprint_facts(
    footprint: Footprint, predicted: MemoryPrediction | None = None
) -> Iterator[tuple[str, str]]:
    """The same as names and texts; a text that goes on with the one before has no name."""
    size = f"{footprint.file_bytes / 1e6:.2f} MB file"
    if footprint.planned_bytes is not None:
        size += f", {footprint.planned_bytes / 1e6:.2f} MB planned to compute in"
    yield "size", size
    if footprint.load_us is not None:
        first = ""
        if footprint.first_us is not None:
            first = f", first call {footprint.first_us / 1e3:.3f} ms"
        yield "loading", f"{footprint.load_us / 1e3:.3f} ms{first}"
    if footprint.peak_rss_kb is not None:
        base = ""
        if footprint.base_rss_kb is not None:
            base = f", {_megabytes(footprint.base_rss_kb)} MB of it the runner's"
        yield "memory", f"{_megabytes(footprint.peak_rss_kb)} MB at the peak{base}"
    else:
        yield "memory", "not told by this device's runner"
    if predicted is not None:
        yield from (("", text) for text in _memory_texts(predicted))


def _memory_texts(predicted: MemoryPrediction) -> Iterator[str]:
    """The network's own peak, predicted and measured."""
    low, high = (_megabytes(kb) for kb in (predicted.low_kb, predicted.high_kb))
    yield f"{_megabytes(predicted.value_kb)} MB [{low}, {high}] predicted as the network's own"
    if predicted.measured_kb is not None and predicted.difference is not None:
        where = "inside" if predicted.within else "OUTSIDE"
        yield (
            f"{_megabytes(predicted.measured_kb)} MB measured: predicted is "
            f"{predicted.difference:+.1%} off, {where} its interval"
        )


def _megabytes(kilobytes: float) -> str:
    """Of a million bytes, as `--most memory-mb` counts."""
    return f"{kilobytes * 1024 / 1e6:.2f}"


def profile_lines(profile: TimeProfile) -> Iterator[str]:
    """Where the time goes: kinds of operators, the longest first, and what is left over."""
    by = f"{profile.calls} calls traced by {profile.runtime}" if profile.runtime else "by rows"
    yield f"  time by operator: {profile.whole_us / 1e3:.3f} ms a call ({by})"
    kinds = by_kind(profile.parts)
    longest = max((us for _, _, us in kinds), default=0.0)
    for name, count, us in kinds[:_SHOWN]:
        bar = "#" * round(_BAR * us / longest) if longest else ""
        number = f" x{count}" if count > 1 else ""
        share = us / profile.total_us
        yield f"    {us:>9.1f} us {share:>6.1%}  {(name + number)[:_NAME]:<{_NAME}} {bar}".rstrip()
    rest = kinds[_SHOWN:]
    if rest:
        us = sum(one[2] for one in rest)
        yield f"    {us:>9.1f} us {us / profile.total_us:>6.1%}  {len(rest)} kinds more"
    yield (
        f"    {profile.rest_us:>9.1f} us {profile.rest_share:>6.1%}  "
        "boundary and dispatch (a traced call less its operators)"
    )
    yield from _overheads(profile)
    outside = profile.outside
    if outside:
        us = sum(outside.values())
        yield f"    {us:>9.1f} us {us / profile.total_us:>6.1%}  of all this outside of a delegate"
    for note in profile.notes:
        yield f"    note: {note}"


def _overheads(profile: TimeProfile) -> Iterator[str]:
    if profile.traced_us is None or profile.tracer_us is None:
        return
    yield (
        f"    tracing costs {profile.tracer_us:+.1f} us a call "
        f"({profile.tracer_us / profile.whole_us:+.1%}); of a traced call "
        f"{profile.boundary_us or 0:.1f} us"
    )
    yield (
        f"    are at the boundary of delegates, {profile.dispatch_us or 0:.1f} us between the steps"
    )


def operator_rows(profile: TimeProfile) -> Sequence[dict[str, object]]:
    """One row an operator, for CSV."""
    return [
        {**asdict(part), "share": part.us / profile.total_us, "whole_us": profile.whole_us}
        for part in profile.parts
    ]
