"""Networks of a table's exam, drawn again: anchors that answer to a machine as networks do.

What slows single operators little can slow a network much: its weights come from a cache
or memory that neighbours share, those of an operator called again and again do not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.artefact import ExportSpec
from profiler.planning.networks import draw_networks
from search.architecture import Architecture
from search.errors import KitError
from search.latency.model import LatencyModel
from search.operators.words import space_label
from search.spaces.registry import parse_space
from search.table.store import Table

# Their mean is known to half of what one of them is, and they cost two seconds.
NETWORKS = 4
# No campaign draws more than a few hundred; an edited file might name any number.
_NAME = re.compile(r"random-(\d{1,9})-(\d{1,4})", re.ASCII)
# Above what six printed digits leave, below what another network differs by.
_SAME = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamNetwork:
    """A network of the exam, and its time there in microseconds."""

    export: ExportSpec
    table_us: float


def exam_networks(table: Table, number: int = NETWORKS) -> tuple[ExamNetwork, ...]:
    """Networks that the table's exam timed, from the fast to the slow ones, or none.

    The exam names them by seed and number: they are drawn again, and taken if the table
    predicts for them what stands in its exam, which proves that they are the same.
    """
    try:
        same = sorted(_same_networks(table), key=lambda network: network.table_us)
    except KitError:
        return ()  # a space that is not known any more, or rows that are missing
    if len(same) < number:
        return ()
    places = np.linspace(0, len(same) - 1, number + 2)[1:-1]
    return tuple(same[round(place)] for place in places)


def _same_networks(table: Table) -> Iterator[ExamNetwork]:
    model, label = LatencyModel(table), space_label(table.manifest.space.spec)
    drawn = _drawn(table)
    columns = table.exam[["network", "predicted_us", "measured_us"]]
    for name, predicted_us, measured_us in columns.itertuples(index=False):
        export = drawn.get(str(name))
        if export is None:
            continue
        architecture = Architecture(name=export.name, operators=export.operators)
        if abs(model.estimate(architecture).value_us / float(predicted_us) - 1) < _SAME:
            yield ExamNetwork(
                export=ExportSpec(name=f"{label} {export.name}", operators=export.operators),
                table_us=float(measured_us),
            )


def _drawn(table: Table) -> dict[str, ExportSpec]:
    """Random networks under the names that the exam has, of one seed."""
    found = [match for name in table.exam["network"] if (match := _NAME.fullmatch(str(name)))]
    if not found:
        return {}
    seed, last = int(found[0][1]), max(int(match[2]) for match in found)
    networks = draw_networks(parse_space(table.manifest.space.spec), last + 1, seed)
    return {network.name: network for network in networks}
