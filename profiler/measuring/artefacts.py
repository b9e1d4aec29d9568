"""The artefacts of a campaign: built within its budget, failures recorded."""

import json
import time
from collections.abc import Mapping

from deploy.artefact import Artefact
from deploy.build import collect
from deploy.exporters.registry import ExporterEntry, toolchain
from profiler.journal import Journal
from profiler.planning.deadline import always_built, build_deadline, building_order
from profiler.planning.plan import CampaignPlan
from search.console.progress import Progress
from search.errors import DeviceError, UsageError


def build_artefacts(
    plan: CampaignPlan, journal: Journal, workers: int | None, progress: Progress, began: float
) -> dict[str, Artefact]:
    """Artefacts by name; what cannot be built becomes a recorded failure.

    Under a budget in time, operators that could not be built by then are left out.

    Args:
        plan: The campaign.
        journal: Where failures are recorded.
        workers: Parallel builds; None as many as the machine allows.
        progress: Told of each build.
        began: When the campaign began, by the monotonic clock.

    Raises:
        UsageError: The campaign was begun with another toolchain.
    """
    _check_toolchain(journal, plan.exporter)
    recorded = journal.failures()
    deadline, needed = build_deadline(plan, began), always_built(plan)

    def record(name: str, reason: str) -> None:
        if name not in recorded:
            journal.add_failure(name, "export", reason)
            progress.say(f"failed: {name}: {reason}")

    def enough(name: str) -> bool:
        needed.discard(name)
        return time.monotonic() > deadline and not needed

    artefacts, _ = collect(
        building_order(plan),
        plan.exporter,
        workers,
        progress=progress,
        on_failure=record,
        enough=enough,
    )
    return artefacts


def check_sentinel(plan: CampaignPlan, artefacts: Mapping[str, Artefact]) -> None:
    """Refuse a campaign without the operator by which drift is watched."""
    if plan.sentinel not in artefacts:
        raise DeviceError(
            f"The sentinel {plan.sentinel} could not be built.",
            "See the reason above; nothing can be measured without it.",
        )


def _check_toolchain(journal: Journal, entry: ExporterEntry) -> None:
    """Refuse a resumed campaign that would mix artefacts of two toolchains."""
    versions = json.dumps(toolchain(entry), sort_keys=True)
    begun = journal.fact("toolchain")
    if begun is not None and begun != versions:
        raise UsageError(
            f"This campaign was begun with another toolchain: {begun}, now {versions}.",
            "Restore it, or begin again with --restart.",
        )
    journal.set_fact("toolchain", versions)
