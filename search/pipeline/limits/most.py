"""Several limits of one search: `--most mflops=300 --most ms@TABLE=8`, read and checked."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from search.costs.base import LATENCY, Costs, CostTarget
from search.costs.joint import JointCosts, Limit
from search.errors import UsageError
from search.latency.peak_memory import memory_costs, require_memory
from search.latency.space_costs import counted_costs
from search.pipeline.problem import TARGET_OPTIONS, SearchProblem, load_problem, require_surely
from search.selection.joint import require_limits
from search.selection.scores import same_choices
from search.spaces.base import LayeredSpace
from search.table.memory import MemoryModel
from search.table.query import find_table

PEAK_MEMORY = "peak memory"
# The cost that each word of `--most` limits, and how much of its unit one of them is.
WORDS: Mapping[str, tuple[str, float]] = {
    "ms": (LATENCY, 1e3),
    "mflops": ("flops", 1e6),
    "mparams": ("params", 1e6),
    "mb": ("memory", 1e6),
    "memory-mb": (PEAK_MEMORY, 1e6),
}
_EXAMPLES = (
    "Write --most mflops=300, mparams=5, mb=12, memory-mb=20, ms=20 or ms@tables/<device>/<name>=8."
)


def with_limits(problem: SearchProblem, most: Sequence[str]) -> SearchProblem:
    """The same problem with more limits, each of which every network found keeps to.

    Args:
        problem: With its target, if it has one.
        most: Words as `mflops=300`; `ms@FOLDER=8` is by the table in that folder. Without a
            target the first limit on the cost that is weighed becomes the target.

    Raises:
        UsageError: A word that is none, no target, or limits that no network
            keeps to, with the lowest that can be met.
        TableError, GateFailed: As `load_problem`, of a table that is named.
    """
    if not most:
        return problem
    limits = [limit for text in most for limit in _limits(problem, text)]
    if problem.target is None:
        own = [n for n, limit in enumerate(limits) if limit.costs is problem.costs]
        if not own:
            option = TARGET_OPTIONS[problem.costs.unit.cost]
            raise UsageError("--most adds limits to a target.", f"Give {option} as well.")
        value = limits.pop(own[0]).most
        problem = replace(problem, target=CostTarget(value=value, unit=problem.costs.unit))
    problem = replace(problem, limits=tuple(limits))
    require_limits(all_limits(problem))
    require_surely(problem)
    return problem


def all_limits(problem: SearchProblem) -> tuple[Limit, ...]:
    """The target, in the words of `--most`, and the limits beside it."""
    assert problem.target is not None
    value = problem.target.value / (1e3 if problem.weighs_latency else 1e6)
    option = TARGET_OPTIONS[problem.costs.unit.cost]
    label = f"{option.removeprefix('--target-')}={value:g}"
    return (Limit(label=label, costs=problem.costs, most=problem.target.value), *problem.limits)


def weighed(problem: SearchProblem) -> Costs:
    """What a method weighs: the costs, or those under all limits where there are more."""
    return JointCosts(limits=all_limits(problem)) if problem.limits else problem.costs


def _limits(problem: SearchProblem, text: str) -> Iterator[Limit]:
    name, equals, number = text.rpartition("=")
    word, at, folder = name.partition("@")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not equals or word not in WORDS or not 0 < value < math.inf or (at and word != "ms"):
        raise UsageError(f"--most {text!r} is no limit.", _EXAMPLES)
    cost, scale = WORDS[word]
    if cost == PEAK_MEMORY:
        yield from _peak_limits(problem, text, value * scale)
        return
    costs = _costs_by(problem, Path(folder)) if at else _own_costs(problem, cost, text)
    yield Limit(label=text, costs=costs, most=value * scale)


def _peak_limits(problem: SearchProblem, text: str, most: float) -> Iterator[Limit]:
    """Limits that together are one on the own peak memory of networks, by the problem's table."""
    if problem.priced is None:
        raise UsageError(f"--most {text} needs a table.", "Give --table.")
    model = require_memory(problem.table)
    for number, costs in enumerate(memory_costs(model, problem.space)):
        recount = partial(_of_piece, model, number)
        yield Limit(label=text, costs=costs, most=most, recount=recount)


def _of_piece(model: MemoryModel, number: int, space: LayeredSpace) -> Costs:
    return memory_costs(model, space)[number]


def _own_costs(problem: SearchProblem, cost: str, text: str) -> Costs:
    """Costs of the problem's own space, by its own table."""
    if cost == problem.costs.unit.cost:
        return problem.costs
    if cost != LATENCY:
        return counted_costs(problem.space, cost)
    if problem.priced is None:
        raise UsageError(f"--most {text} needs a table.", "Give --table, or ms@TABLE=8.")
    return problem.latencies


def _costs_by(problem: SearchProblem, folder: Path) -> Costs:
    """Latencies of the same networks by another table."""
    other = load_problem(find_table(folder), None, problem.waivers)
    if not same_choices(other.space, problem.space):
        raise UsageError(
            f"{other.table.label} is of the space {other.space.label}, "
            f"not of {problem.space.label}.",
            "Limit a search by tables of its own space, of any dtype and batch.",
        )
    return other.costs
