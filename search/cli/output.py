"""What a search prints: for people, as JSON or as CSV."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table as Grid

from search.architecture import Architecture, write_architecture
from search.console.output import console, to_csv, to_json
from search.costs.base import LATENCY
from search.errors import UsageError
from search.files import check_folder
from search.pipeline.front import FRONT, front_result, front_row
from search.pipeline.problem import TARGET_UTILISATION, SearchProblem, check_target
from search.pipeline.result import CandidateRow, SearchResult, write_result
from search.pipeline.specialise import Specialisation, SpecialisationRow
from search.selection.exact import network_of, pareto_front, select_many
from search.selection.scores import read_scores

if TYPE_CHECKING:
    from search.training.evaluate import Accuracy

_SHOWN = 10


def show_result(
    outcome: SearchResult,
    path: Path,
    form: str,
    test: "Accuracy | None" = None,
    weights: Path | None = None,
) -> None:
    """Print the network found and the others that were considered."""
    trained = {} if test is None else {"test_top1": test.top1, "weights": str(weights)}
    if form == "json":
        typer.echo(to_json({**outcome.model_dump(mode="json"), **trained}))
        return
    rows = [_row(candidate) for candidate in outcome.candidates]
    if form == "csv":
        typer.echo(to_csv(rows), nl=False)
        return
    console().print(grid_of(rows[:_SHOWN]))
    if len(rows) > _SHOWN:
        typer.echo(f"({_SHOWN} of {len(rows)} candidates)")
    for line in _summary(outcome):
        typer.echo(line)
    typer.echo(f"written to {path}")
    if test is not None:
        typer.echo(f"trained    top-1 {test.top1:.2%} on {test.images} test images, {weights}")


def _summary(outcome: SearchResult) -> Iterator[str]:
    """The network chosen, in lines that a narrow terminal may fold and a pipe does not."""
    chosen = outcome.chosen
    yield f"chosen     {chosen.origin}: {' '.join(chosen.choices)}"
    if outcome.candidates[0].meets_target and chosen != outcome.candidates[0]:
        share = f"{TARGET_UTILISATION:.0%} to 100%"
        yield f"           the best of those that use {share} of the target"
    target = "no target" if outcome.target_us is None else f"target {_ms(outcome.target_us)}"
    if outcome.cost != LATENCY:
        most = "no target" if outcome.most is None else f"target {outcome.most / 1e6:.4g}M"
        found = {"flops": chosen.flops, "params": chosen.params}[outcome.cost]
        target = "not searched for"
        yield f"{outcome.cost:<10} {found / 1e6:.4g}M, {most}"
    sure = "" if outcome.probability is None else f" met with {chosen.probability:.1%}"
    yield (
        f"latency    {_ms(chosen.predicted_us)} predicted "
        f"[{_ms(chosen.low_us)}, {_ms(chosen.high_us)}], {target}{sure}, by {outcome.table}"
    )
    failed = [one.failed for one in outcome.candidates if one.failed]
    if failed:
        share = f"{len(failed)} of {len(outcome.candidates)} trials"
        yield f"failed     {share}; the first: {failed[0]}"
    if outcome.waivers:
        yield f"waived     {' '.join(outcome.waivers)}"
    yield f"took       {outcome.seconds:.0f} s on {outcome.data}"


def _row(candidate: CandidateRow) -> dict[str, object]:
    accuracy = candidate.accuracy
    return {
        "origin": candidate.origin,
        "accuracy_percent": None if accuracy is None else round(100 * accuracy, 2),
        "predicted_ms": round(candidate.predicted_us / 1000, 6),
        "meets_target": candidate.meets_target,
        "mflops": round(candidate.flops / 1e6, 2),
        "params_k": round(candidate.params / 1e3, 1),
    }


def show_trained(network: Architecture, test: "Accuracy", weights: Path, form: str) -> None:
    """Print the accuracy of a trained network."""
    row = {
        "network": network.name,
        "top1": round(test.top1, 6),
        "top5": round(test.top5, 6),
        "images": test.images,
        "weights": str(weights),
    }
    if form == "json":
        typer.echo(to_json(row))
    elif form == "csv":
        typer.echo(to_csv([row]), nl=False)
    else:
        typer.echo(f"{network.name}: top-1 {test.top1:.2%} on {test.images} test images")
        typer.echo(f"written to {weights}")


def show_front(
    task: SearchProblem, scores: Path, targets_ms: Sequence[float], output: Path | None, form: str
) -> None:
    """Print the best network under each target; write the architectures if asked.

    Raises:
        UsageError: Scores of another space, a target that no network meets,
            a folder that cannot be written.
    """
    if output is not None:
        check_folder(output, "--output")
    if not task.independent:
        raise UsageError(
            f"The front of {task.space.spec} is not known: its layers are not independent.",
            "Search under each target.",
        )
    values = read_scores(scores, task.space)
    targets_us = [target * 1000 for target in targets_ms]
    for target_us in targets_us:
        check_target(target_us, task.costs, task.table)
    found = (
        select_many(values, task.matrix, targets_us)
        if targets_us
        else pareto_front(values, task.matrix)
    )
    rows: list[dict[str, object]] = []
    for number, selection in enumerate(found):
        network = network_of(task.space, selection.choices, f"front-{number + 1}")
        if output is not None:
            write_architecture(network, output / f"{network.name}.json")
        target = targets_us[number] if targets_us else None
        rows.append(front_row(network, selection, target, task))
    if output is not None:
        write_result(front_result(rows, values, task), output / FRONT)
    if form == "json":
        typer.echo(to_json(rows))
    elif form == "csv":
        typer.echo(to_csv(rows), nl=False)
    else:
        console().print(grid_of(rows))


def grid_of(rows: Sequence[Mapping[str, object]]) -> Grid:
    """Rows of equal names as a table for people; columns of nothing are left out."""
    grid = Grid(box=None, pad_edge=False)
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    for number, name in enumerate(names):
        # Two words above each other keep ten columns within 80 characters.
        title = name.replace("_percent", " %").replace("_", "\n", 1)
        grid.add_column(title, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(row[name]) for name in names))
    return grid


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ms(us: float) -> str:
    return f"{us / 1000:.4g} ms"


_MOST_COLUMNS = 8


def show_specialisation(comparison: Specialisation, output: Path, form: str) -> None:
    """Print one row a network and, where there are few, one column a table."""
    rows = comparison.networks
    if form == "json":
        typer.echo(to_json(comparison.model_dump(mode="json")))
        return
    wide = form == "csv" or len(rows) <= _MOST_COLUMNS
    lines: list[dict[str, object]] = [
        {
            "network": row.network,
            "target_ms": round(row.target_us / 1000, 6),
            "own_ms": round(row.own_us / 1000, 6),
            "score": round(row.score, 6),
            "others_slower": row.slowdown_of_others and round(row.slowdown_of_others, 4),
            **(_columns(row, rows) if wide else {}),
        }
        for row in rows
    ]
    if form == "csv":
        typer.echo(to_csv(lines), nl=False)
        return
    console().print(grid_of(lines))
    typer.echo(f"scores     {comparison.scores}")
    typer.echo(f"written to {output}")


def _columns(row: SpecialisationRow, rows: Sequence[SpecialisationRow]) -> dict[str, object]:
    return {
        f"on_{other.network}": round(us / 1000, 6)
        for other, us in zip(rows, row.predicted_us, strict=True)
    }
