"""Specialisation of one trained supernet: a network for each table by exact selection."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from search.architecture import Architecture, write_architecture
from search.console.progress import Progress
from search.costs.base import LATENCY
from search.costs.joint import labels_of
from search.errors import UsageError
from search.files import check_folder, write_text
from search.pipeline.candidates import exact_choice
from search.pipeline.limits.targets import TypedTargets, problems_of
from search.pipeline.problem import (
    TARGET_OPTIONS,
    SearchProblem,
    Waivers,
    load_problem,
    with_probability,
)
from search.pipeline.supernet_scores import Scoring, scores_of
from search.selection.exact import network_of
from search.selection.scores import Scores, for_space

Array = npt.NDArray[np.float64]
RESULT = "specialise.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialisedNetwork:
    """The network of one table."""

    name: str
    problem: SearchProblem
    choices: tuple[int, ...]
    network: Architecture
    score: float


def load_problems(
    tables: Sequence[Path],
    typed: TypedTargets,
    waivers: Waivers,
    probability: float | None,
) -> list[SearchProblem]:
    """The tables with their targets: one target for all, or one each.

    Raises:
        UsageError: Another number of targets; as `load_problem` and `problems_of`.
    """
    values = typed.values
    if len(values) not in (1, len(tables)):
        option = TARGET_OPTIONS.get(typed.cost, "--target-ms")
        raise UsageError(
            f"{len(values)} targets for {len(tables)} tables.",
            f"Give {option} once, or once for each table in their order.",
        )
    each = list(values) * (len(tables) if len(values) == 1 else 1)
    return [
        _with_target(load_problem(table, None, waivers), typed, value, probability)
        for table, value in zip(tables, each, strict=True)
    ]


def _with_target(
    problem: SearchProblem, typed: TypedTargets, value: float, probability: float | None
) -> SearchProblem:
    (one,) = problems_of(problem, typed.only(value))
    return with_probability(one, probability)


def specialise(scores: Scores, problems: Sequence[SearchProblem]) -> list[SpecialisedNetwork]:
    """The best network of each table within its target, exactly.

    Raises:
        UsageError: A table of another space.
    """
    networks = []
    for name, problem in zip(_names(problems), problems, strict=True):
        own = for_space(scores, problem.space)
        choices = exact_choice(own, problem)
        networks.append(
            SpecialisedNetwork(
                name=name,
                problem=problem,
                choices=choices,
                network=network_of(problem.space, choices, name),
                score=float(own.values[np.arange(len(choices)), choices].sum()),
            )
        )
    return networks


def _names(problems: Sequence[SearchProblem]) -> list[str]:
    """A file name a table: device and title, numbered where tables share them."""
    names: list[str] = []
    for problem in problems:
        manifest = problem.table.manifest
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{manifest.device.id}-{manifest.title}").strip("-")
        taken = sum(re.sub(r"~\d+$", "", name) == plain for name in names)
        names.append(f"{plain}~{taken + 1}" if taken else plain)
    return names


def cross_latencies(networks: Sequence[SpecialisedNetwork]) -> Array:
    """(networks, tables) latencies in microseconds: each network by each table."""
    choices = np.array([network.choices for network in networks])
    tables = [network.problem.latencies for network in networks]
    return np.stack([costs.cost_of(choices) for costs in tables], axis=1)


# --- files ------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpecialisationRow(_Part):
    """One table's network: predicted on its own table, and on all in the tables' order.

    `peak_memory_mb` is its own peak memory by its own table, where that tells it.
    """

    network: str
    architecture: str
    table: str
    table_id: str
    table_source: str
    target_us: float | None
    own_us: float
    score: float
    choices: tuple[str, ...]
    cost: str = LATENCY
    most: float | None = None
    limits: tuple[str, ...] = ()
    peak_memory_mb: float | None = None
    predicted_us: tuple[float, ...]
    slowdown_of_others: float | None


class Specialisation(_Part):
    """All networks of a specialisation; `scores` is the origin of the scores."""

    schema_version: int = 1
    scores: str
    waivers: tuple[str, ...]
    networks: tuple[SpecialisationRow, ...]


def specialisation_of(networks: Sequence[SpecialisedNetwork], scores: Scores) -> Specialisation:
    """The comparison matrix with its names."""
    matrix = cross_latencies(networks)
    rows = tuple(
        SpecialisationRow(
            network=one.name,
            architecture=f"{one.name}.json",
            table=one.problem.table.label,
            table_id=one.problem.table.manifest.table_id,
            table_source=one.problem.table.manifest.source,
            target_us=one.problem.target_us,
            cost=one.problem.costs.unit.cost,
            most=one.problem.counted_target,
            limits=labels_of(one.problem.limits),
            peak_memory_mb=_peak_memory_mb(one),
            own_us=float(matrix[number, number]),
            score=one.score,
            choices=tuple(
                layer.choices[choice].name
                for layer, choice in zip(one.problem.space.layers, one.choices, strict=True)
            ),
            predicted_us=tuple(matrix[number].tolist()),
            slowdown_of_others=_slowdown(matrix[:, number], number),
        )
        for number, one in enumerate(networks)
    )
    return Specialisation(
        scores=scores.origin, waivers=networks[0].problem.waivers.as_flags(), networks=rows
    )


def _peak_memory_mb(one: SpecialisedNetwork) -> float | None:
    found = one.problem.estimate_memory(one.network)
    return None if found is None else found.value_mb


def _slowdown(column: Array, own: int) -> float | None:
    """Mean latency of the other networks on this table, relative to its own."""
    others = np.delete(column, own)
    return float(others.mean() / column[own]) if len(others) else None


def run_specialise(
    supernet: Path,
    problems: Sequence[SearchProblem],
    scoring: Scoring,
    progress: Progress,
    output: Path,
) -> Specialisation:
    """Score once, select for every table, write architectures and matrix into a folder.

    Raises:
        UsageError: As the parts do.
    """
    check_folder(output, "--output")
    return write_specialised(scores_of(supernet, scoring, progress), problems, output)


def write_specialised(
    scores: Scores, problems: Sequence[SearchProblem], output: Path
) -> Specialisation:
    """Select for every table by known scores; write architectures and matrix into a folder.

    Raises:
        UsageError: As `specialise`.
    """
    networks = specialise(scores, problems)
    specialisation = specialisation_of(networks, scores)
    for one in networks:
        write_architecture(one.network, output / f"{one.name}.json")
    write_text(output / RESULT, specialisation.model_dump_json(indent=1) + "\n")
    return specialisation
