"""Networks along the Pareto front."""

from collections.abc import Sequence

from search.architecture import Architecture
from search.pipeline.problem import SearchProblem
from search.pipeline.result import FrontResult
from search.selection.exact import Selection
from search.selection.scores import Scores

FRONT = "front.json"


def front_result(
    rows: Sequence[dict[str, object]], scores: Scores, task: SearchProblem
) -> FrontResult:
    """The record of a front: its networks, and what they rest on."""
    manifest = task.table.manifest
    return FrontResult(
        networks=tuple(rows),
        scores=scores.origin,
        table_id=manifest.table_id,
        table=task.table.label,
        device=manifest.device.id,
        table_source=manifest.source,
        space=task.space.spec,
        waivers=task.waivers.as_words(),
    )


def front_row(
    network: Architecture, selection: Selection, target_us: float | None, task: SearchProblem
) -> dict[str, object]:
    """One network of a front, its latency in milliseconds."""
    estimate = task.model.estimate(network)
    return {
        "network": network.name,
        "target_ms": None if target_us is None else round(target_us / 1000, 6),
        "predicted_ms": round(selection.cost / 1000, 6),
        "low_ms": round(estimate.low_us / 1000, 6),
        "high_ms": round(estimate.high_us / 1000, 6),
        "score": round(selection.score, 9),
        "optimal": selection.optimal,
        "mflops": round(network.flops / 1e6, 2),
    }
