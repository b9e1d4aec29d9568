"""Networks along the Pareto front."""

from collections.abc import Sequence
from pathlib import Path

from search.architecture import Architecture, write_architecture
from search.files import check_folder
from search.pipeline.problem import SearchProblem, check_target
from search.pipeline.result import FrontResult, write_result
from search.selection.by_costs import front_of, select_many_within
from search.selection.exact import Selection, network_of
from search.selection.scores import Scores, read_scores_for

FRONT = "front.json"


def run_front(
    problem: SearchProblem, scores: Path, targets_ms: Sequence[float], output: Path | None
) -> FrontResult:
    """Select the best network under each target, or along the whole front.

    Writes architectures and front.json into the folder `output`, if there is one.

    Raises:
        UsageError: Scores of another space, a target that no network meets,
            a folder that cannot be written.
    """
    if output is not None:
        check_folder(output, "--output")
    values = read_scores_for(scores, problem.space)
    targets_us = [target * 1000 for target in targets_ms]
    for target_us in targets_us:
        check_target(target_us, problem.costs, problem.table)
    selections = (
        select_many_within(problem.costs, values.values, targets_us)
        if targets_us
        else front_of(problem.costs, values.values)
    )
    rows: list[dict[str, object]] = []
    for number, selection in enumerate(selections):
        network = network_of(problem.space, selection.choices, f"front-{number + 1}")
        if output is not None:
            write_architecture(network, output / f"{network.name}.json")
        target = targets_us[number] if targets_us else None
        rows.append(_row(network, selection, target, problem))
    result = _result(rows, values, problem)
    if output is not None:
        write_result(result, output / FRONT)
    return result


def _result(
    rows: Sequence[dict[str, object]], scores: Scores, problem: SearchProblem
) -> FrontResult:
    manifest = problem.table.manifest
    return FrontResult(
        networks=tuple(rows),
        scores=scores.origin,
        table_id=manifest.table_id,
        table=problem.table.label,
        device=manifest.device.id,
        table_source=manifest.source,
        space=problem.space.spec,
        waivers=problem.waivers.as_flags(),
    )


def _row(
    network: Architecture, selection: Selection, target_us: float | None, problem: SearchProblem
) -> dict[str, object]:
    """One network of a front, its latency in milliseconds."""
    estimate = problem.model.estimate(network)
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
