"""What a campaign will measure: operators, networks, and the sentinel."""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from deploy.artefact import ExportSpec
from deploy.chains.programs import chain, timed_programs
from profiler.planning.networks import draw_networks, published_operators
from profiler.settings import CampaignSettings
from search.errors import ExportError, UsageError
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space

if TYPE_CHECKING:
    from profiler.prediction.design import Design

EMPTY = "empty"


@dataclass(frozen=True)
class CampaignPlan:
    """Everything to be measured, in a fixed order.

    `operators` are those of the space, then those that published networks
    of its frame need besides, as far as they pass the filter; `wanted` counts
    them before the filter; under a budget `predicted` are those that are not
    measured and `drawn` those of the measured ones that chance chose;
    `calibration` and `exam` are random networks (none under a filter, since
    a partial table cannot predict a network).
    """

    settings: CampaignSettings
    space: LayeredSpace
    operators: tuple[OperatorSpec, ...]
    wanted: int
    calibration: tuple[ExportSpec, ...]
    exam: tuple[ExportSpec, ...]
    predicted: tuple[OperatorSpec, ...] = ()
    drawn: frozenset[OperatorSpec] = frozenset()

    @cached_property
    def empty(self) -> ExportSpec:
        """The program that does nothing: its time is the dispatch floor."""
        return ExportSpec(
            name=EMPTY, operators=(OperatorSpec(kind="empty", dtype=self.settings.dtype),)
        )

    @cached_property
    def subjects(self) -> tuple[ExportSpec, ...]:
        """All that needs an artefact."""
        timed = dict.fromkeys(s for operator in self.operators for s in self.timed(operator))
        return (self.empty, *timed, *self.calibration, *self.exam)

    def timed(self, operator: OperatorSpec) -> tuple[ExportSpec, ...]:
        """What is timed for one operator: itself, or chains with it and what opens them."""
        return timed_subjects(operator, self.settings)

    @cached_property
    def sentinel(self) -> str:
        """The operator of median FLOPs, by which drift is watched."""
        ranked = sorted(self.operators, key=lambda operator: (count(operator).flops, operator.key))
        return self.timed(ranked[len(ranked) // 2])[-len(self.settings.chains or (1,))].name


def timed_subjects(operator: OperatorSpec, settings: CampaignSettings) -> tuple[ExportSpec, ...]:
    """What is timed for one operator under these settings."""
    lengths = settings.chains
    if not lengths:
        return (ExportSpec.of(operator),)
    try:
        return timed_programs(operator, lengths)
    except ExportError:  # these fail as well, and say why
        return tuple(chain(operator, n) for n in lengths)


@lru_cache(maxsize=8)
def make_plan(settings: CampaignSettings) -> CampaignPlan:
    """Work out what to measure; under a budget in order of choice.

    Raises:
        UsageError: Unknown space, or a filter that matches nothing.
    """
    space = parse_space(settings.space)
    every = (*space.operators, *published_operators(space))
    operators = filter_operators(every, settings.filter)
    drawn: frozenset[OperatorSpec] = frozenset()
    if settings.max_operators is not None:
        design = choose_informative_operators(
            space, every, settings.max_operators, settings.measure or ()
        )
        operators, drawn = design.operators, design.drawn
    chosen = set(operators)
    predicted = tuple(o for o in every if o not in chosen) if settings.max_operators else ()
    partial = len(operators) + len(predicted) < len(every)
    calibration, exam = (settings.effort.calibration, settings.effort.exam)
    networks = () if partial else draw_networks(space, calibration + exam, settings.seed)
    return CampaignPlan(
        settings=settings,
        space=space,
        operators=operators,
        wanted=len(every),
        calibration=networks[:calibration],
        exam=networks[calibration:],
        predicted=predicted,
        drawn=drawn,
    )


def choose_informative_operators(
    space: LayeredSpace, every: tuple[OperatorSpec, ...], number: int, keys: tuple[str, ...]
) -> "Design":
    """The operators that are worth measuring when only so many can be.

    Raises:
        UsageError: Too few, or a key that the campaign does not need.
    """
    from profiler.prediction.design import design_of
    from profiler.prediction.predictor import MIN_MEASURED

    if number < MIN_MEASURED:
        raise UsageError(
            f"{number} operators are too few to predict the others from.",
            f"Give --max-operators at least {MIN_MEASURED}.",
        )
    known = {operator.key: operator for operator in every}
    if unknown := [key for key in keys if key not in known]:
        raise UsageError(f"{unknown[0]} is no operator of {space.spec}.")
    design = design_of(space, every, number, tuple(known[key] for key in keys))
    # What a refinement measures again was drawn by chance if it was so the first time.
    before = design_of(space, every, len(keys)).drawn if keys else frozenset()
    return replace(design, drawn=design.drawn | (before & set(design.operators)))


def filter_operators(
    operators: tuple[OperatorSpec, ...], pattern: str | None
) -> tuple[OperatorSpec, ...]:
    """Operators whose key contains the regular expression.

    Raises:
        UsageError: A broken expression, or one that matches nothing.
    """
    if pattern is None:
        return operators
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--filter {pattern!r} is not a regular expression: {error}.") from error
    chosen = tuple(operator for operator in operators if expression.search(operator.key))
    if not chosen:
        raise UsageError(
            f"--filter {pattern!r} matches none of {len(operators)} operators.",
            f"Keys look like {operators[len(operators) // 2].key}.",
        )
    return chosen
