"""A sweep as a figure: accuracy over cost, with error bars, and its front."""

import html
from collections.abc import Sequence

from search.console.figures import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, frame, page
from search.sweep.summary import Mean, SettingSummary

_NAMES = {
    "predicted_ms": "predicted latency, ms",
    "mflops": "million multiply-adds",
    "mparams": "million parameters",
    "mb": "million bytes",
}
_CAP = 3.0


def sweep_page(rows: Sequence[SettingSummary], title: str, accuracy_of: str) -> str:
    """The whole page, or one that says that nothing finished.

    Args:
        rows: From `summarise`.
        title: Of the page.
        accuracy_of: Which accuracy it is, in words.
    """
    drawn = [row for row in rows if row.accuracy and row.cost]
    note = f"{sum(row.runs for row in rows)} runs, {sum(row.failed for row in rows)} failed; "
    note += "bars are 95 % t-intervals over seeds, the line is the front of the means"
    figure = _figure(drawn, accuracy_of) if drawn else "<p>No run has finished.</p>"
    return page(title, note, figure)


def _figure(rows: Sequence[SettingSummary], accuracy_of: str) -> str:
    costs, accuracies = ([_of(row)[which] for row in rows] for which in (0, 1))
    across = Axis(_ends(costs, 1.0), LEFT, WIDTH - RIGHT)
    up = Axis(_ends(accuracies, 100.0), HEIGHT - BOTTOM, TOP)
    name = _NAMES.get(rows[0].cost_name, rows[0].cost_name)
    front = sorted((row for row in rows if row.on_front), key=lambda row: _of(row)[0].value)
    places = [
        f"{across.at(cost.value):.1f},{up.at(100 * accuracy.value):.1f}"
        for cost, accuracy in map(_of, front)
    ]
    line = f'<polyline class="curve s0" points="{" ".join(places)}"/>'
    marks = "".join(_mark(row, across, up) for row in rows)
    return (
        f"<figure><figcaption>{html.escape(accuracy_of)}, %</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="accuracy over cost">'
        f"{frame(across, up, name)}{line}{marks}</svg></figure>"
    )


def _of(row: SettingSummary) -> tuple[Mean, Mean]:
    assert row.cost is not None
    assert row.accuracy is not None
    return row.cost, row.accuracy


def _ends(means: Sequence[Mean], scale: float) -> list[float]:
    """Values that an axis must reach, error bars included."""
    halves = [mean.half_width or 0.0 for mean in means]
    low = min(mean.value - half for mean, half in zip(means, halves, strict=True))
    high = max(mean.value + half for mean, half in zip(means, halves, strict=True))
    room = 0.05 * (high - low)
    return [scale * (low - room), scale * (high + room)]


def _mark(row: SettingSummary, across: Axis, up: Axis) -> str:
    """A dot with its bars; its values stand in the tool tip."""
    cost, accuracy = _of(row)
    x, y = across.at(cost.value), up.at(100 * accuracy.value)
    colour = 0 if row.on_front else 1
    bars = ""
    if cost.half_width:
        a, b = (across.at(cost.value + sign * cost.half_width) for sign in (-1, 1))
        bars += f"M{a:.1f} {y:.1f}H{b:.1f}M{a:.1f} {y - _CAP:.1f}v6M{b:.1f} {y - _CAP:.1f}v6"
    if accuracy.half_width:
        a, b = (up.at(100 * (accuracy.value + sign * accuracy.half_width)) for sign in (-1, 1))
        bars += f"M{x:.1f} {a:.1f}V{b:.1f}M{x - _CAP:.1f} {a:.1f}h6M{x - _CAP:.1f} {b:.1f}h6"
    values = ", ".join(f"{name} {value}" for name, value in row.values.items())
    tip = html.escape(f"{values}: {100 * accuracy.value:.2f} %, {cost.value:.4g}")
    path = f'<path class="curve s{colour}" style="stroke-width:1" d="{bars}"/>' if bars else ""
    dot = (
        f'<circle class="d{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{tip}</title></circle>'
    )
    return f"{path}{dot}"
