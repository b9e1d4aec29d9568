"""The deadlines of a budget in time: building order, end of building, end of extra passes."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from deploy.artefact import Artefact, ExportSpec
from profiler.planning.estimate import measuring_seconds
from profiler.planning.plan import CampaignPlan
from search.console.progress import Progress

# So many of a predictor's operators are built even after the deadline.
_ALWAYS_BUILT = 20
CLOSING = 0.03  # of a budget, for predicting, examining and writing


def building_order(plan: CampaignPlan) -> tuple[ExportSpec, ...]:
    """All that needs an artefact; under a budget in time networks before most operators."""
    if plan.settings.budget_s is None:
        return plan.exports
    first = [s for operator in plan.operators[:_ALWAYS_BUILT] for s in plan.timed(operator)]
    return tuple(dict.fromkeys((plan.empty, *first, *plan.networks, *plan.exports)))


def always_built(plan: CampaignPlan) -> set[str]:
    """Names of the programs that are built even when the time is up."""
    rest = {s.name for operator in plan.operators[_ALWAYS_BUILT:] for s in plan.timed(operator)}
    return {export.name for export in plan.exports} - rest


def build_deadline(plan: CampaignPlan, began: float) -> float:
    """When building must end, by the monotonic clock of `began`; infinite without a budget."""
    if plan.settings.budget_s is None:
        return math.inf
    return began + (1 - CLOSING) * plan.settings.budget_s - measuring_seconds(plan)


def measure_deadline(plan: CampaignPlan, began: float) -> float:
    """When the last extra pass must end, by the monotonic clock of `began`."""
    budget_s = plan.settings.budget_s
    return math.inf if budget_s is None else began + (1 - CLOSING) * budget_s


def drop_unbuilt(
    plan: CampaignPlan,
    artefacts: Mapping[str, Artefact],
    failures: Collection[str],
    progress: Progress,
) -> CampaignPlan:
    """The plan with operators predicted whose artefacts could not be built in time."""
    if plan.settings.budget_s is None:
        return plan
    tried = set(artefacts) | set(failures)
    built = tuple(o for o in plan.operators if all(s.name in tried for s in plan.timed(o)))
    measured = frozenset(built)
    late = tuple(o for o in plan.operators if o not in measured)
    if late:
        progress.say(f"no time to build {len(late)} operators: they are predicted as well")
    return replace(
        plan,
        operators=built,
        predicted=(*late, *plan.predicted),
        drawn=plan.drawn & measured,
    )
