"""The trace as a page of plots that needs nothing but a browser."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from search.console.messages import counted
from search.console.output import to_csv
from search.files import write_text
from search.training.run.trace import TraceLine

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 38
_COLOURS = 4
_TINY = 1e-200  # Smaller differences vanish when they are divided.
_STYLE = """
:root { --paper: #ffffff; --ink: #1c1e21; --faint: #62676e; --line: #dfe2e6;
  --c0: #1f6fb4; --c1: #c65d00; --c2: #2b8a57; --c3: #8a4fb0; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e8eaed;
  --faint: #a0a6ae; --line: #33373d; --c0: #6db3f2; --c1: #f5a25d; --c2: #6fcf97;
  --c3: #c79be8; } }
body { margin: 2rem auto; max-width: 1400px; padding: 0 1rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } p { color: var(--faint); margin: 0 0 1.2rem; }
main { display: grid; gap: 1.4rem;
  grid-template-columns: repeat(auto-fill, minmax(min(380px, 100%), 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; }
.key { font-weight: 400; color: var(--faint); margin-left: .8em; white-space: nowrap; }
.key i { display: inline-block; width: 1.1em; height: 3px; margin-right: .35em;
  vertical-align: middle; border-radius: 2px; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--faint); stroke-width: 1; }
.target { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
""" + "".join(
    f".s{n} {{ stroke: var(--c{n}); }} .d{n} {{ fill: var(--c{n}); }} "
    f".b{n} {{ background: var(--c{n}); }}\n"
    for n in range(_COLOURS)
)


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


def plot_page(
    lines: Sequence[TraceLine],
    title: str,
    *,
    target_ms: float | None = None,
    refresh_s: float | None = None,
) -> str:
    """A complete HTML page; nothing in it is loaded from elsewhere.

    Args:
        lines: The trace.
        title: The heading.
        target_ms: Latency to be met, drawn as a line.
        refresh_s: A page that is served: loaded again after so many seconds, with a link to
            the trace as CSV.
    """
    figures = "\n".join(_figure(panel) for panel in panels(lines, target_ms))
    epochs = len({line.epoch for line in lines})
    seconds = sum(line.seconds for line in lines)
    name = html.escape(title)
    served = refresh_s is not None
    refresh = f'<meta http-equiv="refresh" content="{refresh_s:g}">' if served else ""
    link = '; <a href="trace.csv">CSV</a>' if served else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<style>{_STYLE}</style></head>
<body><h1>{name}</h1><p>{counted(epochs, "epoch")}, {seconds / 60:.1f} minutes of training{link}</p>
<main>
{figures}
</main></body></html>
"""


def write_plot(
    lines: Sequence[TraceLine],
    path: Path,
    title: str = "Training",
    target_ms: float | None = None,
) -> None:
    """Write the page atomically."""
    write_text(path, plot_page(lines, title, target_ms=target_ms))


def _figure(panel: Panel) -> str:
    keys = "".join(
        f'<span class="key"><i class="b{number % _COLOURS}"></i>{html.escape(name)}</span>'
        for number, name in enumerate(panel.curves)
    )
    caption = f"<figcaption>{html.escape(panel.title)}{keys}</figcaption>"
    values = [point for points in panel.curves.values() for point in points]
    across = _Axis([x for x, _ in values], _LEFT, _WIDTH - _RIGHT, whole=True)
    met = [] if panel.target is None else [panel.target]
    up = _Axis([*(y for _, y in values), *met], _HEIGHT - _BOTTOM, _TOP)
    curves = "".join(
        _curve(points, number % _COLOURS, across, up)
        for number, points in enumerate(panel.curves.values())
    )
    curves += "".join(_target_line(value, up) for value in met)
    label = html.escape(f"{panel.title} over epochs")
    return (
        f'<figure>{caption}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}">{_frame(across, up)}{curves}</svg></figure>'
    )


def _curve(points: Points, number: int, across: "_Axis", up: "_Axis") -> str:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    radius = 2.5 if len(points) <= 60 else 1.2
    dots = "".join(
        f'<circle class="d{number}" cx="{px:.1f}" cy="{py:.1f}" r="{radius}">'
        f"<title>epoch {x:g}: {y:.5g}</title></circle>"
        for (px, py), (x, y) in zip(places, points, strict=True)
    )
    return f'<polyline class="curve s{number}" points="{path}"/>{dots}'


def _target_line(value: float, up: "_Axis") -> str:
    y, right = up.at(value), _WIDTH - _RIGHT
    return (
        f'<line class="target" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
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


def _frame(across: "_Axis", up: "_Axis") -> str:
    """Grid, tick labels and the name of the lower axis."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for tick in up.ticks:
        y = up.at(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{up.label(tick)}</text>'
        )
    for tick in across.ticks:
        x = across.at(tick)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{across.label(tick)}</text>'
        )
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">epoch</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    return "".join(parts)


class _Axis:
    """Values to pixels, with ticks at round numbers inside the range of the values."""

    def __init__(
        self, values: Sequence[float], begin: float, end: float, *, whole: bool = False
    ) -> None:
        low, high = _apart(min(values), max(values))
        self._low, self._high, self._begin, self._end = low, high, begin, end
        self._step = _round_step((high - low) / 5, whole)
        first, last = math.ceil(low / self._step - 1e-9), math.floor(high / self._step + 1e-9)
        self.ticks = [number * self._step for number in range(first, last + 1)]

    def at(self, value: float) -> float:
        """Pixel of a value."""
        share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    def label(self, tick: float) -> str:
        """As many digits as the distance of the ticks needs."""
        digits = max(0, -math.floor(math.log10(self._step)))
        return f"{tick:.{digits}f}" if digits < 6 else f"{tick:.1e}"


def _apart(low: float, high: float) -> tuple[float, float]:
    """A range that can be divided: values that hardly differ are drawn in its middle."""
    size = max(abs(low), abs(high))
    if high - low > max(size * 1e-9, _TINY):
        return low, high
    around = size * 0.5 if size > _TINY else 0.5
    return low - around, high + around


def _round_step(about: float, whole: bool) -> float:
    """1, 2 or 5 times a power of ten, at least `about`."""
    scale: float = 10.0 ** math.floor(math.log10(about))
    step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= about * (1 - 1e-9))
    return max(step, 1.0) if whole else step
