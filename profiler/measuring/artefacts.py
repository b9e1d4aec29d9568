"""The artefacts of a campaign: built, failures recorded, and no longer than a budget allows."""

import contextlib
import json
import time
from collections.abc import Mapping

from deploy.artefact import Artefact
from deploy.build import build_all
from deploy.exporters.registry import ExporterEntry, toolchain
from profiler.journal import Journal
from profiler.planning.deadline import always_built, build_deadline, building_order
from profiler.planning.plan import CampaignPlan
from search.console.progress import Progress
from search.errors import DeviceError, UsageError


def build_artefacts(
    plan: CampaignPlan,
    entry: ExporterEntry,
    journal: Journal,
    workers: int | None,
    progress: Progress,
    began: float,
) -> dict[str, Artefact]:
    """Artefacts by subject; what cannot be built becomes a recorded failure.

    Under a budget in time, operators that could not be built by then are left out.

    Raises:
        UsageError: The campaign was begun with another toolchain.
    """
    _same_toolchain(journal, entry)
    progress.stage("build", len(plan.subjects))
    artefacts = {}
    failed = journal.failures()
    ends, needed = build_deadline(plan, began), always_built(plan)
    with contextlib.closing(build_all(building_order(plan), entry, workers)) as outcomes:
        for built in outcomes:
            progress.advance()
            name = built.subject.name
            needed.discard(name)
            if built.artefact is not None:
                artefacts[name] = built.artefact
            elif name not in failed:
                journal.add_failure(name, "export", built.reason)
                progress.say(f"failed: {name}: {built.reason}")
            if time.monotonic() > ends and not needed:
                break
    return artefacts


def check_sentinel(plan: CampaignPlan, artefacts: Mapping[str, Artefact]) -> None:
    """Refuse a campaign without the operator by which drift is watched."""
    if plan.sentinel not in artefacts:
        raise DeviceError(
            f"The reference operator {plan.sentinel} could not be built.",
            "See the reason above; nothing can be measured without it.",
        )


def _same_toolchain(journal: Journal, entry: ExporterEntry) -> None:
    """A resumed campaign must not mix artefacts of two toolchains."""
    versions = json.dumps(toolchain(entry), sort_keys=True)
    begun = journal.fact("toolchain")
    if begun is not None and begun != versions:
        raise UsageError(
            f"This campaign was begun with another toolchain: {begun}, now {versions}.",
            "Restore it, or begin again with --restart.",
        )
    journal.set_fact("toolchain", versions)
