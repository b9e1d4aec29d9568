"""The trace as a page of plots that needs nothing but a browser."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from search.console.figures import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    frame,
)
from search.console.output import to_csv
from search.training.run.trace import TraceLine

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot: its title with the unit, its curves over epochs by name, and a line to be met."""

    title: str
    curves: Mapping[str, Points]
    target: float | None = None


def panels(lines: Iterable[TraceLine], target_ms: float | None = None) -> tuple[Panel, ...]:
    """The plots of a trace; a quantity that no line has is left out.

    `target_ms` is drawn wherever a latency of networks is.
    """
    curves_by_title: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in lines:
        for title, curve, value in _values(line):
            if value is not None and math.isfinite(value):
                curves_by_title.setdefault(title, {}).setdefault(curve, []).append(
                    (line.epoch + 1, value)
                )
    return tuple(
        Panel(
            title=title,
            curves=curves,
            target=target_ms if "latency, ms" in title.lower() else None,
        )
        for title, curves in curves_by_title.items()
    )


def _values(line: TraceLine) -> Iterable[tuple[str, str, float | None]]:
    """(panel, curve, value) of all numbers in a line."""
    yield "Loss", line.phase, line.loss
    yield "Cross entropy", line.phase, line.cross_entropy
    yield "Accuracy, %", line.phase, 100 * line.accuracy
    if line.latency_us is not None:
        yield "Latency term, ms", line.phase, line.latency_us / 1000
    for name, value in line.progress.items():
        yield from _progress(name, value, line.phase)
    yield "Images per second", line.phase, line.images_per_s
    yield "Peak memory, MiB", line.phase, line.memory_mb


def _progress(
    name: str, value: float | None, phase: str
) -> Iterable[tuple[str, str, float | None]]:
    """A number of the method; those of a `test_` stand beside those of training."""
    if value is None:
        return
    if name == "test_accuracy":
        yield "Accuracy, %", "test", 100 * value
    elif name == "test_loss":
        yield "Cross entropy", "test", value
    elif name.endswith("_us"):
        yield f"{_words(name.removesuffix('_us'))}, ms", phase, value / 1000
    else:
        yield _words(name), phase, value


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def curve_figures(lines: Iterable[TraceLine], target_ms: float | None = None) -> str:
    """The plots of a trace as figures of a page."""
    return "\n".join(_figure(panel) for panel in panels(lines, target_ms))


def _figure(panel: Panel) -> str:
    keys = "".join(
        f'<span class="key"><i class="b{number % COLOURS}"></i>{html.escape(name)}</span>'
        for number, name in enumerate(panel.curves)
    )
    caption = f"<figcaption>{html.escape(panel.title)}{keys}</figcaption>"
    values = [point for points in panel.curves.values() for point in points]
    across = Axis([x for x, _ in values], LEFT, WIDTH - RIGHT, whole=True)
    met = [] if panel.target is None else [panel.target]
    up = Axis([*(y for _, y in values), *met], HEIGHT - BOTTOM, TOP)
    curves = "".join(
        _curve(points, number % COLOURS, across, up)
        for number, points in enumerate(panel.curves.values())
    )
    curves += "".join(_target_line(value, up) for value in met)
    label = html.escape(f"{panel.title} over epochs")
    return (
        f'<figure>{caption}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{label}">{frame(across, up, "epoch")}{curves}</svg></figure>'
    )


def _curve(points: Points, number: int, across: Axis, up: Axis) -> str:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    radius = 2.5 if len(points) <= 60 else 1.2
    dots = "".join(
        f'<circle class="d{number}" cx="{px:.1f}" cy="{py:.1f}" r="{radius}">'
        f"<title>epoch {x:g}: {y:.5g}</title></circle>"
        for (px, py), (x, y) in zip(places, points, strict=True)
    )
    return f'<polyline class="curve s{number}" points="{path}"/>{dots}'


def _target_line(value: float, up: Axis) -> str:
    y, right = up.at(value), WIDTH - RIGHT
    return (
        f'<line class="target" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{right}" y="{y - 4:.1f}" text-anchor="end">target {value:g}</text>'
    )


def trace_csv(lines: Sequence[TraceLine]) -> str:
    """The trace as CSV: one row an epoch and phase, the method's own numbers as columns too."""
    own = dict.fromkeys(name for line in lines for name in line.progress)
    rows = []
    for line in lines:
        row = asdict(line)
        progress = row.pop("progress")
        rows.append({**row, **{name: progress.get(name) for name in own}})
    return to_csv(rows)
