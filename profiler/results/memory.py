"""What a campaign's networks need beside time: the model of their memory, columns of the exam."""

from collections.abc import Mapping, Sequence

import pandas as pd

from deploy.artefact import Artefact, ExportSpec
from deploy.verification.breakdown import Footprint
from profiler.analysis.memory import MemoryMeasured, examine_memory, fit_memory
from profiler.journal import Journal
from profiler.measuring.memory import footprints, runner_kb, why_left_out
from profiler.planning.plan import CampaignPlan
from search.latency.peak_memory import estimate_memory
from search.table.exam import NEEDS_COLUMNS
from search.table.memory import MemoryModel


def memory_model(plan: CampaignPlan, journal: Journal) -> MemoryModel | None:
    """The model of peak memory and its exam; None where too few networks were measured."""
    own_kb = runner_kb(journal)
    if not own_kb:
        return None
    found = footprints(journal)
    model = fit_memory(_measured(plan.calibration, found), own_kb)
    if model is None:
        return None
    exam = examine_memory(_measured(plan.exam, found), model)
    return model.model_copy(update={"exam": exam})


def memory_notes(
    plan: CampaignPlan, journal: Journal, model: MemoryModel | None
) -> tuple[str, ...]:
    """Why the table does not tell the memory of networks, or not of all; nothing where it does."""
    reason = why_left_out(journal)
    if not plan.calibration or (model is not None and reason is None):
        return ()
    few = f"{len(footprints(journal))} networks were measured, too few for a model"
    what = "no memory of networks" if model is None else "memory of fewer networks"
    return (f"{what}: {reason or few}",)


def with_needs(
    rows: pd.DataFrame,
    plan: CampaignPlan,
    journal: Journal,
    model: MemoryModel | None,
    artefacts: Mapping[str, Artefact],
) -> pd.DataFrame:
    """The exam's rows with what its networks need; as they are where none was measured."""
    found, networks = footprints(journal), {network.name: network for network in plan.exam}
    if not any(name in found for name in rows["network"]):
        return rows
    needs = [
        _needs(networks[name], found.get(name), model, artefacts.get(name))
        for name in rows["network"]
    ]
    columns = pd.DataFrame(needs, columns=list(NEEDS_COLUMNS), index=rows.index)
    return pd.concat([rows, columns.round().astype("Int64")], axis=1)


def _needs(
    network: ExportSpec,
    found: Footprint | None,
    model: MemoryModel | None,
    artefact: Artefact | None,
) -> dict[str, float | None]:
    predicted = None if model is None else estimate_memory(model, network.operators).value_kb
    size = None if artefact is None else artefact.size_bytes
    needs: dict[str, float | None] = {"predicted_memory_kb": predicted, "file_bytes": size}
    if found is None:
        return needs
    return needs | {
        "planned_bytes": found.planned_bytes,
        "load_us": found.load_us,
        "first_call_us": found.first_us,
        "memory_kb": found.own_kb,
    }


def _measured(
    networks: Sequence[ExportSpec], found: Mapping[str, Footprint]
) -> list[MemoryMeasured]:
    measured = []
    for network in networks:
        own_kb = found[network.name].own_kb if network.name in found else None
        if own_kb:
            measured.append(MemoryMeasured(operators=network.operators, memory_kb=own_kb))
    return measured
