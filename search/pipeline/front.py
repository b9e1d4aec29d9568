"""Networks along the Pareto front."""

from collections.abc import Sequence
from pathlib import Path

from search.architecture import Architecture, write_architecture
from search.costs.base import CostTarget
from search.costs.joint import labels_of, shares_of
from search.files import check_folder
from search.pipeline.limits.most import weighed
from search.pipeline.problem import TARGET_OPTIONS, SearchProblem
from search.pipeline.result import FrontResult, write_result
from search.selection.by_costs import front_of, select_many_within
from search.selection.exact import Selection, network_of
from search.selection.scores import Array, Scores, read_scores_for

FRONT = "front.json"


def run_front(problems: Sequence[SearchProblem], scores: Path, output: Path | None) -> FrontResult:
    """Select the best network of each problem, or along the whole front.

    Writes architectures and front.json into the folder `output`, if there is one.

    Args:
        problems: Of one table or space, one a target; a single one without a target
            asks for the whole front.
        scores: File of scores.
        output: Folder for the architectures, if any.

    Raises:
        UsageError: Scores of another space, a target that no network meets,
            a folder that cannot be written.
    """
    if output is not None:
        check_folder(output, "--output")
    problem = problems[0]
    values = read_scores_for(scores, problem.space)
    selections = _selected(problems, values.values)
    targets = [one.target for one in problems] if problem.target else [None] * len(selections)
    rows: list[dict[str, object]] = []
    for number, (selection, target) in enumerate(zip(selections, targets, strict=True), 1):
        network = network_of(problem.space, selection.choices, f"front-{number}")
        if output is not None:
            write_architecture(network, output / f"{network.name}.json")
        rows.append(_row(network, selection, target, problem))
    result = _result(rows, values, problem)
    if output is not None:
        write_result(result, output / FRONT)
    return result


def _selected(problems: Sequence[SearchProblem], scores: Array) -> Sequence[Selection]:
    problem = problems[0]
    targets = [one.target.value for one in problems if one.target is not None]
    if not targets:
        return front_of(problem.costs, scores)
    if not problem.limits:
        return select_many_within(problem.costs, scores, targets)
    pairs = zip(problems, targets, strict=True)
    return [select_many_within(weighed(one), scores, [target])[0] for one, target in pairs]


def _result(
    rows: Sequence[dict[str, object]], scores: Scores, problem: SearchProblem
) -> FrontResult:
    table = None if problem.priced is None else problem.table
    return FrontResult(
        networks=tuple(rows),
        scores=scores.origin,
        table_id="" if table is None else table.manifest.table_id,
        table="" if table is None else table.label,
        device="" if table is None else table.manifest.device.id,
        table_source="none" if table is None else table.manifest.source,
        space=problem.space.spec,
        limits=labels_of(problem.limits),
        waivers=problem.waivers.as_flags(),
    )


def _row(
    network: Architecture, selection: Selection, target: CostTarget | None, problem: SearchProblem
) -> dict[str, object]:
    """One network of a front: latencies in milliseconds, what is counted in millions."""
    estimate = problem.estimate(network)
    cost = float(problem.costs.cost_of([selection.choices])[0])
    scale = 1e3 if problem.weighs_latency else 1e6
    option = TARGET_OPTIONS[problem.costs.unit.cost].removeprefix("--").replace("-", "_")
    value_us = cost if problem.weighs_latency else estimate and estimate.value_us
    row: dict[str, object] = {
        "network": network.name,
        option: None if target is None else round(target.value / scale, 6),
        "predicted_ms": value_us and round(value_us / 1000, 6),
        "low_ms": estimate and round(estimate.low_us / 1000, 6),
        "high_ms": estimate and round(estimate.high_us / 1000, 6),
        "score": round(selection.score, 9),
        "optimal": selection.optimal,
        "mflops": round(network.flops / 1e6, 2),
    }
    if problem.costs.unit.cost == "params":
        row["mparams"] = round(network.params / 1e6, 4)
    if problem.costs.unit.cost == "memory":
        row["mb"] = round(network.memory_bytes / 1e6, 4)
    memory = problem.estimate_memory(network)
    if memory is not None:
        row["peak_memory_mb"] = round(memory.value_mb, 4)
    for label, share in shares_of(problem.limits, selection.choices).items():
        row[label] = f"{share:.1%}"
    if selection.gap:
        row["gap"] = round(selection.gap, 6)
    return row
