"""A front as a page: its line, the targets, and the networks that were chosen."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from search.console.figures import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    frame,
    page,
    upright_target,
)
from search.pipeline.result import FrontResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CostNames:
    """Names of one cost: its column in a row, that of its target, and the axis."""

    column: str
    target: str
    axis: str


COST_NAMES = {
    "latency": CostNames(column="predicted_ms", target="target_ms", axis="predicted latency, ms"),
    "flops": CostNames(column="mflops", target="target_mflops", axis="million multiply-adds"),
    "params": CostNames(column="mparams", target="target_mparams", axis="million parameters"),
    "memory": CostNames(column="mb", target="target_mb", axis="million bytes"),
}


def front_page(result: FrontResult, cost: str, line: Sequence[tuple[float, float]]) -> str:
    """The whole page; nothing in it is loaded from elsewhere.

    Args:
        result: The networks chosen.
        cost: What is weighed.
        line: (cost, score) along the whole front, from the cheapest; empty where it is not known.
    """
    names = COST_NAMES[cost]
    points = [(_number(row[names.column]), _number(row["score"])) for row in result.networks]
    targets = sorted({_number(row[names.target]) for row in result.networks if row[names.target]})
    drawn = line or points
    lows = [_number(row["low_ms"]) for row in result.networks if _timed(row, cost)]
    highs = [_number(row["high_ms"]) for row in result.networks if _timed(row, cost)]
    across = Axis(
        [*(x for x, _ in (*drawn, *points)), *targets, *lows, *highs], LEFT, WIDTH - RIGHT
    )
    up = Axis([y for _, y in (*drawn, *points)], HEIGHT - BOTTOM, TOP)
    places = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in drawn)
    figure = (
        f"<figure><figcaption>Score{_key()}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="score over {names.axis}">{frame(across, up, names.axis)}'
        f'<polyline class="curve s0" points="{places}"/>'
        f"{''.join(upright_target(target, across, '') for target in targets)}"
        f"{''.join(_mark(row, cost, across, up) for row in result.networks)}</svg></figure>"
    )
    by = f" by {result.table}" if result.table else ""
    note = f"{len(result.networks)} networks of {result.space}{by}; scores: {result.scores}"
    return page("Front", note, figure)


def _key() -> str:
    return (
        '<span class="key"><i class="b0"></i>the best at each cost</span>'
        '<span class="key">ringed: chosen, with 95 % intervals; dashed: targets</span>'
    )


def _mark(row: dict[str, object], cost: str, across: Axis, up: Axis) -> str:
    names = COST_NAMES[cost]
    value, score = _number(row[names.column]), _number(row["score"])
    x, y = across.at(value), up.at(score)
    told, bar = f"{row['network']}: {value:.4g}, score {score:.4g}", ""
    if _timed(row, cost):
        low, high = _number(row["low_ms"]), _number(row["high_ms"])
        told += f", 95 % interval {low:.4g} to {high:.4g} ms"
        bar = (
            f'<line class="s1" x1="{across.at(low):.1f}" x2="{across.at(high):.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    return (
        f'{bar}<circle class="h1" cx="{x:.1f}" cy="{y:.1f}" r="5">'
        f"<title>{html.escape(told)}</title></circle>"
    )


def _timed(row: dict[str, object], cost: str) -> bool:
    return cost == "latency" and row["low_ms"] is not None


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
