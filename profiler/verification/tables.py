"""The tables by which a deployed network is predicted: of the burst, and of the sustained state."""

from dataclasses import dataclass, replace
from pathlib import Path

from deploy.verification.device_side import VerificationRequest
from deploy.verification.sustained import Sustained, SustainedPrediction
from profiler.settings import CampaignSettings
from profiler.tables.predict import TablePrediction, predict_network
from profiler.tables.versions import newest_tables
from profiler.verification.settings import (
    processor_doubts,
    setting_differences,
    table_of_setting,
)
from search.architecture import Architecture
from search.console.messages import counted
from search.errors import KitError, UsageError
from search.table.manifest import DeviceInfo
from search.table.store import Table, read_manifest, read_table
from search.zoo.resolve import NamedNetwork

Found = tuple[Table, TablePrediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTables:
    """A table of each state with its prediction, where there is one; `notes` say why not."""

    burst: Found | None
    sustained: Found | None
    notes: tuple[str, ...]

    def sustained_prediction(self, run: Sustained | None, name: str) -> SustainedPrediction | None:
        """The prediction of the sustained state against the last minute of a run."""
        if self.sustained is None or run is None or name not in run.last.latency_us:
            return None
        table, prediction = self.sustained
        estimate = prediction.estimate
        return SustainedPrediction(
            table=table.label,
            value_us=estimate.value_us,
            low_us=estimate.low_us,
            high_us=estimate.high_us,
            minute=run.last.number,
            measured_us=run.last.latency_us[name],
        )


def find_tables(
    request: VerificationRequest, settings: CampaignSettings, device: DeviceInfo
) -> FoundTables:
    """The tables to predict by: of the burst, and of the sustained state for a sustained run.

    Raises:
        UsageError: The table named is of another setting.
        MissingOperator: It lacks operators.
    """
    named = request.table
    if request.sustain_s is None:
        burst, notes = _find(request, settings, device, named)
        return FoundTables(burst=burst, sustained=None, notes=notes)
    is_sustained = named is not None and read_manifest(named).load_state == "sustained"
    burst, notes = _find(request, settings, device, None if is_sustained else named)
    under_load = replace(settings, sustain_s=request.sustain_s)
    sustained, more = _find(request, under_load, device, named if is_sustained else None)
    return FoundTables(burst=burst, sustained=sustained, notes=(*notes, *more))


def _find(
    request: VerificationRequest,
    settings: CampaignSettings,
    device: DeviceInfo,
    named: Path | None,
) -> tuple[Found | None, tuple[str, ...]]:
    """The table with its prediction, and the notes of the report on it."""
    # The deployed network itself must be predicted: no other convention stands in.
    network = NamedNetwork(name=request.architecture.name, architecture=request.architecture)
    table = table_of_setting(named, settings, device)
    if table is not None:
        _require_batch(table, request.architecture)
        doubts = processor_doubts(table.manifest, device)
        prediction = predict_network(table, network)
        return (table, prediction), (*doubts, *_trust(table), *_stand_in(prediction))
    return _newest(request, network, settings, device)


def _newest(
    request: VerificationRequest,
    network: NamedNetwork,
    settings: CampaignSettings,
    device: DeviceInfo,
) -> tuple[Found | None, tuple[str, ...]]:
    """The first newest table that is known to be of this setting and predicts the network.

    One that holds its very classifier goes before one that lends another.
    """
    reasons: list[str] = []
    lent: tuple[Found, tuple[str, ...]] | None = None
    for folder in newest_tables(request.tables):
        try:
            manifest = read_manifest(folder)
            if setting_differences(manifest, settings, device):
                continue
            if doubts := processor_doubts(manifest, device):
                reasons.append(f"{doubts[0]}; if it is, name it with --table {folder}")
                continue
            table = read_table(folder)
            _require_batch(table, request.architecture)
            prediction = predict_network(table, network)
            if not prediction.lends_classifier:
                return (table, prediction), _trust(table)
            lent = lent or ((table, prediction), (*_trust(table), *_stand_in(prediction)))
        except KitError as error:
            reasons.append(error.message)
    if lent is not None:
        return lent
    if settings.load_state == "burst":
        why = reasons[0] if reasons else f"no table of this setting below {request.tables}"
        return None, (f"no prediction: {why}",)
    none = f"no such table below {request.tables}; python -m profiler --sustain 10m measures one"
    why = reasons[0] if reasons else none
    return None, (f"no prediction of the sustained state: {why}",)


def _require_batch(table: Table, architecture: Architecture) -> None:
    """Refuse a table of calls on another number of images.

    Raises:
        UsageError: It is.
    """
    if table.batch != architecture.batch:
        raise UsageError(
            f"The table {table.label} is of {counted(table.batch, 'image')} a call, "
            f"{architecture.name} takes {architecture.batch}.",
            f"Give --batch {table.batch}, or another table.",
        )


def _stand_in(prediction: TablePrediction) -> tuple[str, ...]:
    """That another classifier than the network's was priced, if so."""
    return (f"predicted {prediction.note}",) if prediction.note else ()


def _trust(table: Table) -> tuple[str, ...]:
    problem = table.manifest.exam_problem
    return (f"the table has {problem}",) if problem else ()
