"""Coverage of a planned campaign: counts and expected time, without torch or a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.build import lookup
from profiler.journal import Journal, journal_path
from profiler.planning.estimate import estimate_seconds
from profiler.planning.plan import CampaignPlan
from profiler.settings import CampaignSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a campaign would do (`--dry-run`).

    `measured` and `missing` count operators of the space; those of published
    networks come on top.
    """

    space: str
    layers: int
    candidates: int
    networks: int
    unique_operators: int
    published_operators: int
    selected_operators: int
    predicted_operators: int
    whole_networks: int
    built: int
    to_build: int
    measured: int
    missing: int
    estimated_seconds: float


def coverage(plan: CampaignPlan, output: Path) -> Coverage:
    """Count what is built, measured and missing.

    Args:
        plan: The campaign.
        output: Folder of tables, where an unfinished campaign has its journal.

    Raises:
        UsageError: The journal is damaged.
    """
    built = lookup(plan.exports, plan.exporter)
    selected = {operator.key for operator in plan.operators}
    programs = [
        [export.name for export in plan.timed(operator)]
        for operator in plan.space.operators
        if operator.key in selected
    ]
    measured = _measured(output, plan.settings, programs)
    size = plan.space.size
    return Coverage(
        space=plan.space.label,
        layers=size.layers,
        candidates=size.candidates,
        networks=size.networks,
        unique_operators=size.unique_operators,
        published_operators=plan.wanted - size.unique_operators,
        selected_operators=len(plan.operators),
        predicted_operators=len(plan.predicted),
        whole_networks=len(plan.networks),
        built=len(built),
        to_build=len(plan.exports) - len(built),
        measured=measured,
        missing=len(programs) - measured,
        estimated_seconds=round(estimate_seconds(plan, built), 1),
    )


def _measured(output: Path, settings: CampaignSettings, programs: Sequence[Sequence[str]]) -> int:
    """How many operators have all blocks of all their programs in the journal."""
    path = journal_path(output, settings)
    if not path.exists():
        return 0
    with Journal(path, settings.identity) as journal:
        blocks = journal.blocks()
    wanted = settings.effort.passes * settings.effort.rounds
    return sum(all(len(blocks.get(name, ())) >= wanted for name in names) for names in programs)
