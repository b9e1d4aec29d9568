"""The plan of a campaign: operators, networks and the sentinel."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from deploy.artefact import ExportSpec
from deploy.chains.programs import chain, timed_programs
from deploy.exporters.registry import ExporterEntry, exporter_entry
from profiler.planning.networks import draw_networks, published_operators
from profiler.settings import AddedNetwork, CampaignSettings
from search.architecture import parse_keys
from search.errors import ExportError, UsageError
from search.operators.counts import count
from search.operators.spec import OperatorSpec, parse_key
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space

if TYPE_CHECKING:
    from profiler.prediction.design import Design

EMPTY = "empty"


@dataclass(frozen=True)
class CampaignPlan:
    """Everything to be measured, in a fixed order, and the exporter that builds it.

    `operators` are those of the space, then the others that published networks
    of its frame need, as far as they pass the filter; `wanted` counts them
    before the filter; under a budget `predicted` are those that are not
    measured and `drawn` those of the measured ones that chance chose;
    `calibration` and `exam` are random networks (none under a filter, since
    a partial table cannot predict a network); `added` are whole networks of a
    refinement, which neither calibrate nor examine.
    """

    settings: CampaignSettings
    space: LayeredSpace
    exporter: ExporterEntry
    operators: tuple[OperatorSpec, ...]
    wanted: int
    calibration: tuple[ExportSpec, ...]
    exam: tuple[ExportSpec, ...]
    predicted: tuple[OperatorSpec, ...] = ()
    drawn: frozenset[OperatorSpec] = frozenset()
    added: tuple[ExportSpec, ...] = ()

    @cached_property
    def empty(self) -> ExportSpec:
        """The program that does nothing: its time is the dispatch floor."""
        return ExportSpec(
            name=EMPTY, operators=(OperatorSpec(kind="empty", dtype=self.settings.dtype),)
        )

    @cached_property
    def networks(self) -> tuple[ExportSpec, ...]:
        """The random networks of calibration, those of the exam, then the added ones."""
        return (*self.calibration, *self.exam, *self.added)

    @cached_property
    def exports(self) -> tuple[ExportSpec, ...]:
        """All that needs an artefact."""
        timed = dict.fromkeys(s for operator in self.operators for s in self.timed(operator))
        return (self.empty, *timed, *self.networks)

    def timed(self, operator: OperatorSpec) -> tuple[ExportSpec, ...]:
        """Programs timed for one operator: itself, or chains with it and its adapters."""
        lengths = self.settings.chains
        if not lengths:
            return (ExportSpec.of(operator),)
        try:
            return timed_programs(operator, lengths)
        except ExportError:  # their exports fail with the same reason
            return tuple(chain(operator, length) for length in lengths)

    @cached_property
    def sentinel(self) -> str:
        """The operator of median FLOPs, by which drift is watched."""
        ranked = sorted(self.operators, key=lambda operator: (count(operator).flops, operator.key))
        return self.timed(ranked[len(ranked) // 2])[-len(self.settings.chains or (1,))].name


def make_plan(settings: CampaignSettings) -> CampaignPlan:
    """Work out what to measure; under `max_operators` in order of choice.

    Raises:
        UsageError: Unknown space, backend or dtype, or a filter that matches nothing.
    """
    space = parse_space(settings.space)
    candidates = wanted_operators(space, settings.added_operators)
    operators = filter_operators(candidates, settings.filter)
    effort = settings.effort
    whole = len(operators) == len(candidates)
    number = effort.calibration + effort.exam
    networks = draw_networks(space, number, settings.seed) if whole else ()
    plan = CampaignPlan(
        settings=settings,
        space=space,
        exporter=exporter_entry(settings.backend, settings.dtype),
        operators=operators,
        wanted=len(candidates),
        calibration=networks[: effort.calibration],
        exam=networks[effort.calibration :],
        added=_added_exports(settings.added_networks),
    )
    return plan if settings.max_operators is None else limit_operators(plan, settings)


def wanted_operators(space: LayeredSpace, added: Sequence[str] = ()) -> tuple[OperatorSpec, ...]:
    """What a whole table of a space holds, each operator once.

    Those of the space, others that published networks of its frame need, and those added by key.
    """
    own = (*space.operators, *published_operators(space))
    return tuple(dict.fromkeys((*own, *(parse_key(key) for key in added))))


def _added_exports(networks: Sequence[AddedNetwork]) -> tuple[ExportSpec, ...]:
    """Networks under numbers: a name may be any text, and that of another program."""
    return tuple(
        ExportSpec(name=f"added-{number}", operators=parse_keys(network.keys))
        for number, network in enumerate(networks, 1)
    )


def limit_operators(plan: CampaignPlan, settings: CampaignSettings) -> CampaignPlan:
    """The plan with only `settings.max_operators` measured and the others predicted.

    Args:
        plan: The plan of a whole table.
        settings: Those of `plan` with `max_operators` and what belongs to it.

    Raises:
        UsageError: Too few operators, or one to be measured that the space does not hold.
    """
    assert settings.max_operators is not None
    candidates = plan.operators
    design = choose_informative_operators(
        plan.space, candidates, settings.max_operators, settings.operators_first or ()
    )
    chosen = set(design.operators)
    return replace(
        plan,
        settings=settings,
        operators=design.operators,
        predicted=tuple(operator for operator in candidates if operator not in chosen),
        drawn=design.drawn,
    )


def choose_informative_operators(
    space: LayeredSpace, candidates: tuple[OperatorSpec, ...], number: int, keys: tuple[str, ...]
) -> "Design":
    """The operators that are worth measuring when only `number` can be, those of `keys` first.

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
    known = {operator.key: operator for operator in candidates}
    if unknown := [key for key in keys if key not in known]:
        raise UsageError(f"{unknown[0]} is not an operator of {space.label}.")
    design = design_of(space, candidates, number, tuple(known[key] for key in keys))
    # What a refinement measures again was drawn by chance if it was so the first time.
    before = design_of(space, candidates, len(keys)).drawn if keys else frozenset()
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
