"""Figures of what a search found: its candidates by cost and accuracy, and the network."""

import html
from collections.abc import Sequence

from search.architecture import Architecture
from search.console.figures import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    frame,
    upright_target,
)
from search.documents import shortened
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.operators.words import short_name
from search.pipeline.result import CandidateRow, SearchResult

_ROW, _NAMES, _GAP = 17, 208, 3
# Of a name: more do not stand before the bars.
_MOST_LETTERS = 29
# A bar of nothing can still be seen.
_LEAST_BAR = 1.5
_KERNELS = {1: 3, 3: 0, 5: 1, 7: 2}


def candidates_figure(result: SearchResult) -> str:
    """Accuracy over the cost of all candidates; empty where none was judged.

    Those that meet the target are filled, the chosen one is ringed; where there is a latency
    target it stands as a line.
    """
    judged = [row for row in result.candidates if row.accuracy is not None]
    if not judged:
        return ""
    timed = all(row.predicted_us is not None for row in judged)
    name = "predicted latency, ms" if timed else "million multiply-adds"
    costs = [_cost(row, timed=timed) for row in judged]
    target = None if result.target_us is None or not timed else result.target_us / 1000
    across = Axis([*costs, *([] if target is None else [target])], LEFT, WIDTH - RIGHT)
    up = Axis([100 * (row.accuracy or 0.0) for row in judged], HEIGHT - BOTTOM, TOP)
    marks = "".join(
        _mark(row, cost, across, up, chosen=row == result.chosen)
        for row, cost in zip(judged, costs, strict=True)
    )
    line = "" if target is None else upright_target(target, across)
    keys = '<span class="key">ringed: chosen; hollow: misses the target</span>'
    return (
        f"<figure><figcaption>Candidates: accuracy, %{keys}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="accuracy of {len(judged)} candidates over {name}">'
        f"{frame(across, up, name)}{line}{marks}</svg></figure>"
    )


def _cost(row: CandidateRow, *, timed: bool) -> float:
    return (row.predicted_us or 0.0) / 1000 if timed else row.flops / 1e6


def _mark(row: CandidateRow, cost: float, across: Axis, up: Axis, *, chosen: bool) -> str:
    accuracy = 100 * (row.accuracy or 0.0)
    x, y = across.at(cost), up.at(accuracy)
    kind = "d0" if row.meets_target else "h0"
    told = html.escape(f"{row.origin}: {accuracy:.2f} %, {cost:.4g}: {' '.join(row.choices)}")
    ring = f'<circle class="h1" cx="{x:.1f}" cy="{y:.1f}" r="8"/>' if chosen else ""
    return (
        f'{ring}<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{told}</title></circle>"
    )


def network_figure(network: Architecture) -> str:
    """The operators from the image to the classes: a bar is the work, a colour the kernel."""
    work = [count(operator).flops for operator in network.operators]
    height = _ROW * len(work) + 2 * _GAP
    most, room = max(max(work), 1), WIDTH - RIGHT - _NAMES - 52
    rows = "".join(
        _operator(number, operator, one / most * room, one)
        for number, (operator, one) in enumerate(zip(network.operators, work, strict=True))
    )
    kernels = sorted({operator.kernel for operator in network.operators if operator.kernel})
    keys = "".join(
        f'<span class="key"><i class="b{_colour(kernel)}"></i>{kernel}x{kernel}</span>'
        for kernel in kernels
    )
    title = f"{network.name}: {network.flops / 1e6:.4g} million multiply-adds, layer by layer"
    return (
        f"<figure><figcaption>{html.escape(title)}{keys}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}">{rows}</svg></figure>'
    )


def _operator(number: int, operator: OperatorSpec, length: float, work: int) -> str:
    top = _GAP + _ROW * number
    width = max(length, _LEAST_BAR)
    name = html.escape(shortened(short_name(operator.key), _MOST_LETTERS))
    return (
        f"<g><title>{html.escape(operator.key)}: {work / 1e6:.4g} M</title>"
        f'<text x="{_NAMES - 7}" y="{top + _ROW - 5}" text-anchor="end">{name}</text>'
        f'<rect class="d{_colour(operator.kernel)}" x="{_NAMES}" y="{top + 2}" '
        f'width="{width:.1f}" height="{_ROW - 4}"/>'
        f'<text x="{_NAMES + width + 5:.1f}" y="{top + _ROW - 5}">{work / 1e6:.3g} M</text></g>'
    )


def _colour(kernel: int | None) -> int:
    return _KERNELS.get(kernel or 1, 3)


def outcome_words(result: SearchResult) -> Sequence[str]:
    """The chosen network in a few phrases, for the head of the page."""
    chosen = result.chosen
    if chosen.predicted_us is not None:
        met = "" if result.target_us is None else f", target {result.target_us / 1000:g} ms"
        words = [f"chosen: {chosen.predicted_us / 1000:.4g} ms predicted{met}"]
    else:
        words = [f"chosen: {chosen.flops / 1e6:.4g} million multiply-adds"]
    if result.trained is not None:
        words.append(f"trained to {result.trained.top1:.2%} top-1")
    return words
