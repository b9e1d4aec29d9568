"""Predict a network's latency from a table."""

import shlex
from dataclasses import dataclass, replace

from profiler.planning.networks import published_operators
from search.architecture import Architecture
from search.console.messages import counted
from search.errors import MissingOperator, UsageError
from search.latency.model import Estimate, LatencyModel
from search.latency.peak_memory import MemoryEstimate, estimate_memory
from search.spaces.classes import network_with_classes
from search.spaces.registry import parse_space
from search.table.store import Table
from search.zoo.resolve import NamedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePrediction:
    """What a table predicts for a network.

    `architecture` is the network that was looked up: in the table's number format,
    and with the table's convention for the first 1x1, or its own number of classes,
    where `note` states it.
    Without a calibration (`calibrated` false) the error is not known, and the
    estimate's interval means nothing. `lends_classifier` where that of other classes
    stands in for the network's own. `memory` is the peak of the network's own memory; None
    where the table does not tell it.
    """

    architecture: Architecture
    estimate: Estimate
    note: str = ""
    calibrated: bool = True
    lends_classifier: bool = False
    memory: MemoryEstimate | None = None

    @property
    def interval_us(self) -> tuple[float, float] | tuple[None, None]:
        """The 95 % interval in microseconds; None twice where the error is not known."""
        if not self.calibrated:
            return None, None
        return self.estimate.low_us, self.estimate.high_us


def predict_network(table: Table, network: NamedNetwork) -> TablePrediction:
    """Predict the latency of a network.

    It is that of a call on as many images as the table's operators take. A published
    network is looked up as published first; if operators are missing, with the other
    convention for the first 1x1 at expansion 1. Where the classifier alone is missing, that
    of the table's own classes stands in: all networks of a search end in the same one.

    Raises:
        UsageError: The table is of another resolution.
        MissingOperator: Operators have no row; names the command that adds them.
    """
    network = network.with_dtype(table.manifest.protocol.dtype).with_batch(table.batch)
    check_resolution(table, network.architecture)
    model = LatencyModel(table)
    missing = missing_operators(model, network.architecture)
    if not missing:
        return _predict(model, network.architecture)
    other = network.other_convention()
    if other is not None and not missing_operators(model, other.architecture):
        kept = network.published is not None and not network.published.always_pointwise
        how = "kept" if kept else "dropped"
        note = f"{network.name} with the first 1x1 at expansion 1 {how}, unlike as published"
        return _predict(model, other.architecture, note)
    stand_in = _with_own_classifier(model, network.architecture, set(missing))
    if stand_in is not None:
        note = (
            f"with the table's classifier of {stand_in.classes} classes, as it has none of "
            f"{network.architecture.classes}"
        )
        return replace(_predict(model, stand_in, note), lends_classifier=True)
    first, *more = missing.values()
    have = "has" if len(more) == 1 else "have"
    count = counted(len(more), "more operator")
    others = f" {count} of {network.name} {have} none." if more else ""
    raise MissingOperator(f"{first.message}{others}", _remedy(table, set(missing), first.remedy))


def _with_own_classifier(
    model: LatencyModel, network: Architecture, missing: set[str]
) -> Architecture | None:
    """The network for as many classes as the table has, where nothing else is missing."""
    last = network.operators[-1]
    if last.kind != "classifier" or missing != {last.key}:
        return None
    for entry in model.table.entries:
        own = entry.operator
        if own.kind == last.kind and replace(own, out_channels=last.out_channels) == last:
            other = network_with_classes(network, own.out_channels)
            if not missing_operators(model, other):
                return other
    return None


def missing_operators(
    model: LatencyModel, architecture: Architecture
) -> dict[str, MissingOperator]:
    """Operators of a network without a usable row, by key, each with the reason."""
    missing: dict[str, MissingOperator] = {}
    for operator in architecture.operators:
        if not model.costs_nothing(operator):
            try:
                model.table.lookup(operator)
            except MissingOperator as error:
                missing[operator.key] = error
    return missing


def _predict(model: LatencyModel, architecture: Architecture, note: str = "") -> TablePrediction:
    return TablePrediction(
        architecture=architecture,
        estimate=model.estimate(architecture),
        note=note,
        calibrated=model.table.manifest.calibration is not None,
        memory=_memory(model.table, architecture),
    )


def _memory(table: Table, architecture: Architecture) -> MemoryEstimate | None:
    model = table.manifest.memory
    return None if model is None else estimate_memory(model, architecture.operators)


def _remedy(table: Table, missing: set[str], remedy: str) -> str:
    """`remedy`, to measure the table's space again, where that space holds what is missing."""
    try:
        space = parse_space(table.manifest.space.spec)
    except UsageError:  # an imported table of networks of no known space
        return remedy
    measurable = {operator.key for operator in (*space.operators, *published_operators(space))}
    if missing <= measurable:
        return remedy
    if table.manifest.source == "imported":
        return "No table of this space holds them; measure the network itself: --device NAME."
    where = shlex.quote(str(table.path or table.label))
    return (
        "Add them to a new version of the table: "
        f"python -m profiler refine {where} --from NETWORK; "
        "or measure the network itself: --device NAME."
    )


def check_resolution(table: Table, architecture: Architecture) -> None:
    """Refuse a network for images of a size that the table knows nothing of.

    Raises:
        UsageError: Another resolution; says which the table has.
    """
    stem = architecture.operators[0]
    sizes = {
        operator.height
        for entry in table.entries
        if (operator := entry.operator).in_channels == stem.in_channels
    }
    if sizes and stem.height not in sizes:
        known = ", ".join(map(str, sorted(sizes)))
        raise UsageError(
            f"{architecture.name} takes images of {stem.height} pixels; "
            f"the table {table.label} was measured at {known}.",
            f"Measure one with --resolution {stem.height}.",
        )
