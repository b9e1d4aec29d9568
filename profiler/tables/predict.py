"""A network's latency, predicted from a table."""

from dataclasses import dataclass

from profiler.planning.networks import published_operators
from search.architecture import Architecture
from search.errors import MissingOperator, UsageError
from search.latency.model import Estimate
from search.latency.priced_table import PricedTable
from search.table.store import Table
from search.zoo.resolve import NamedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePrediction:
    """A table's prediction for a network.

    `architecture` is the network predicted: in the table's number format, and
    under its convention for the first 1x1 where `note` states so. Without a
    calibration (`calibrated` false) the error is unknown, and the interval
    means nothing.
    """

    architecture: Architecture
    estimate: Estimate
    note: str = ""
    calibrated: bool = True


def predict_network(table: Table, network: NamedNetwork) -> TablePrediction:
    """Predict a network's latency by a table.

    A published network is looked up as published first; if operators are
    missing, under the other convention for the first 1x1 at expansion 1.

    Raises:
        UsageError: The table is of another resolution.
        MissingOperator: Operators have no row; names the command that adds them.
    """
    priced = PricedTable(table)
    published = network.with_dtype(table.manifest.protocol.dtype)
    _check_resolution(table, published.architecture)
    gaps = missing_operators(priced, published.architecture)
    if not gaps:
        return _prediction(priced, published.architecture, "")
    other = published.other_convention()
    if other is not None and not missing_operators(priced, other.architecture):
        kept = network.published is not None and not network.published.always_pointwise
        how = "kept" if kept else "dropped"
        note = f"{network.name} with the first 1x1 at expansion 1 {how}, unlike as published"
        return _prediction(priced, other.architecture, note)
    first, *more = gaps.values()
    others = f" {len(more)} more operator(s) of {network.name} lack theirs." if more else ""
    raise MissingOperator(f"{first.message}{others}", _remedy(priced, set(gaps), first.remedy))


def _remedy(priced: PricedTable, missing: set[str], again: str) -> str:
    """Measuring the table's space again helps only where it holds the missing operators."""
    try:
        space = priced.space
    except UsageError:  # an imported table of others' networks
        return again
    measurable = {operator.key for operator in (*space.operators, *published_operators(space))}
    if missing <= measurable:
        return again
    return "No table of this space holds them; measure the network itself: --device NAME."


def missing_operators(
    priced: PricedTable, architecture: Architecture
) -> dict[str, MissingOperator]:
    """Operators of a network without a usable row, each with the reason."""
    gaps: dict[str, MissingOperator] = {}
    for operator in architecture.operators:
        if not priced.model.costs_nothing(operator):
            try:
                priced.table.lookup(operator)
            except MissingOperator as error:
                gaps[operator.key] = error
    return gaps


def _prediction(priced: PricedTable, architecture: Architecture, note: str) -> TablePrediction:
    estimate = priced.model.estimate(architecture)
    calibrated = priced.table.manifest.calibration is not None
    return TablePrediction(
        architecture=architecture, estimate=estimate, note=note, calibrated=calibrated
    )


def _check_resolution(table: Table, architecture: Architecture) -> None:
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
