"""One trained supernet, many tables: a network each by exact selection, and how they compare."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer
from pydantic import BaseModel, ConfigDict

from search.architecture import Architecture, write_architecture
from search.cli.output import grid_of
from search.console.output import console, to_csv, to_json
from search.data.open import open_data
from search.errors import UsageError
from search.files import write_text
from search.pipeline.candidates import exact_choice
from search.pipeline.options import Images
from search.pipeline.problem import Task, Waivers, check_independent, load_task
from search.pipeline.supernet_scores import (
    Trained,
    draw_balanced,
    fit,
    load_supernet,
    measure,
    moved_to,
    split_of,
)
from search.places import check_folder
from search.selection.exact import network_of
from search.selection.scores import Scores, read_scores, write_scores
from search.training.progress import Observer

Array = npt.NDArray[np.float64]
SCORES = "supernet-scores.json"
RESULT = "specialise.json"
# Networks a free parameter of the additive model.
_NETWORKS_EACH = 4
_MOST_COLUMNS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How a supernet is scored.

    Attributes:
        images: Those of the search.
        networks: How many to judge; None takes four a candidate.
        seed: Of the search's choice of images, and of the networks drawn.
        anew: Although the folder of the search holds scores already.
    """

    images: Images
    networks: int | None = None
    seed: int = 0
    anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """The network of one table."""

    name: str
    task: Task
    choices: tuple[int, ...]
    network: Architecture
    score: float


def scores_of(folder: Path, scoring: Scoring, observer: Observer) -> Scores:
    """The supernet's scores: kept ones where they are of this checkpoint, else measured.

    Raises:
        UsageError: No supernet, or other images than those of its search.
    """
    trained = load_supernet(folder)
    kept = (folder if folder.is_dir() else folder.parent) / SCORES
    mark = f"checkpoint {trained.sha256[:16]}"
    if kept.exists() and not scoring.anew:
        found = read_scores(kept, trained.space)
        if mark in found.origin:
            observer.notice(f"scores of {kept}: {found.origin}")
            return found
    found = _measure(trained, scoring, observer, mark)
    write_scores(found, kept)
    return found


def _measure(trained: Trained, scoring: Scoring, observer: Observer, mark: str) -> Scores:
    space = trained.space
    data = open_data(
        scoring.images.source,
        resolution=space.before[0].height,
        classes=scoring.images.classes,
        limit=scoring.images.limit,
        seed=scoring.seed,
    )
    learnt, held = split_of(trained, data.train)
    widths = [len(layer.choices) for layer in space.layers]
    number = scoring.networks or _NETWORKS_EACH * (sum(widths) - len(widths) + 1)
    networks = draw_balanced(widths, number, scoring.seed)
    observer.notice(f"judging {number} networks on {len(held)} images, once for all tables")

    def told(done: int) -> None:
        if done % 10 == 0 or done == number:
            observer.notice(f"{done} of {number} networks judged")

    entropies = measure(trained, networks, data.train, learnt, held, told)
    found = fit(networks, entropies, space, f"{trained.origin.algorithm} supernet, {mark}")
    observer.notice(found.scores.origin)
    return found.scores


def load_tasks(
    tables: Sequence[Path],
    targets_ms: Sequence[float],
    waivers: Waivers,
    probability: float | None,
) -> list[Task]:
    """The tables with their targets: one target for all, or one each.

    Raises:
        UsageError: Another number of targets; as `load_task`.
    """
    if len(targets_ms) not in (1, len(tables)):
        raise UsageError(
            f"{len(targets_ms)} targets for {len(tables)} tables.",
            "Give --target-ms once, or once for each table in their order.",
        )
    each = list(targets_ms) * (len(tables) if len(targets_ms) == 1 else 1)
    return [
        load_task(table, target, waivers, probability)
        for table, target in zip(tables, each, strict=True)
    ]


def specialise(scores: Scores, tasks: Sequence[Task]) -> list[Special]:
    """The best network of each table within its target, exactly.

    Raises:
        UsageError: A table of another space.
    """
    check_independent(tasks)
    found = []
    for name, task in zip(_names(tasks), tasks, strict=True):
        own = moved_to(scores, task.space)
        choices = exact_choice(own, task)
        found.append(
            Special(
                name=name,
                task=task,
                choices=choices,
                network=network_of(task.space, choices, name),
                score=float(own.values[np.arange(len(choices)), choices].sum()),
            )
        )
    return found


def _names(tasks: Sequence[Task]) -> list[str]:
    """A file name a table: device and title, numbered where tables share them."""
    names: list[str] = []
    for task in tasks:
        manifest = task.table.manifest
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{manifest.device.id}-{manifest.title}").strip("-")
        taken = sum(re.sub(r"~\d+$", "", name) == plain for name in names)
        names.append(f"{plain}~{taken + 1}" if taken else plain)
    return names


def compare(found: Sequence[Special]) -> Array:
    """(networks, tables) latencies in microseconds: each network by each table."""
    choices = np.array([one.choices for one in found])
    return np.stack([one.task.costs.price(choices) for one in found], axis=1)


# --- files and printing ------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Part):
    """One table's network: predicted on its own table, and on all in the tables' order."""

    network: str
    architecture: str
    table: str
    table_id: str
    table_source: str
    target_us: float
    own_us: float
    score: float
    choices: tuple[str, ...]
    predicted_us: tuple[float, ...]
    slowdown_of_others: float | None


class Comparison(_Part):
    """What a specialisation came to; `scores` says on what it rests."""

    schema_version: int = 1
    scores: str
    waivers: tuple[str, ...]
    networks: tuple[Row, ...]


def comparison_of(found: Sequence[Special], scores: Scores) -> Comparison:
    """The comparison matrix with its names."""
    matrix = compare(found)
    rows = tuple(
        Row(
            network=one.name,
            architecture=f"{one.name}.json",
            table=one.task.table.label,
            table_id=one.task.table.manifest.table_id,
            table_source=one.task.table.manifest.source,
            target_us=one.task.target_us or 0.0,
            own_us=float(matrix[number, number]),
            score=one.score,
            choices=tuple(
                layer.choices[choice].name
                for layer, choice in zip(one.task.space.layers, one.choices, strict=True)
            ),
            predicted_us=tuple(matrix[number].tolist()),
            slowdown_of_others=_slowdown(matrix[:, number], number),
        )
        for number, one in enumerate(found)
    )
    return Comparison(scores=scores.origin, waivers=found[0].task.waivers.as_words(), networks=rows)


def _slowdown(column: Array, own: int) -> float | None:
    """Mean latency of the other networks on this table, relative to its own."""
    others = np.delete(column, own)
    return float(others.mean() / column[own]) if len(others) else None


def run_specialise(
    supernet: Path, tasks: Sequence[Task], scoring: Scoring, observer: Observer, output: Path
) -> Comparison:
    """Score once, select for every table, write architectures and matrix into a folder.

    Raises:
        UsageError: As the parts do.
    """
    check_folder(output, "--output")
    check_independent(tasks)
    return write_specialised(scores_of(supernet, scoring, observer), tasks, output)


def write_specialised(scores: Scores, tasks: Sequence[Task], output: Path) -> Comparison:
    """Select for every table by known scores; write architectures and matrix into a folder.

    Raises:
        UsageError: As `specialise`.
    """
    found = specialise(scores, tasks)
    comparison = comparison_of(found, scores)
    for one in found:
        write_architecture(one.network, output / f"{one.name}.json")
    write_text(output / RESULT, comparison.model_dump_json(indent=1) + "\n")
    return comparison


def show_comparison(comparison: Comparison, output: Path, form: str) -> None:
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


def _columns(row: Row, rows: Sequence[Row]) -> dict[str, object]:
    return {
        f"on_{other.network}": round(us / 1000, 6)
        for other, us in zip(rows, row.predicted_us, strict=True)
    }
