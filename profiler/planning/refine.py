"""Refinement: what a table lacks for networks, and which predicted rows to measure next."""

from collections.abc import Iterator, Sequence

from profiler.planning.plan import wanted_operators
from profiler.settings import PRESETS, AddedNetwork, CampaignSettings, Effort, runtime_of
from search.architecture import Architecture
from search.errors import TableError, UsageError
from search.operators.spec import OperatorSpec
from search.spaces.registry import parse_space
from search.table.entries import Entry
from search.table.store import Table


def _uses(table: Table, networks: Sequence[Architecture]) -> Iterator[OperatorSpec]:
    """Every operator of the networks that costs time, in the table's number format."""
    dtype = table.manifest.protocol.dtype
    for network in networks:
        yield from (o for o in network.with_dtype(dtype).operators if o.kind != "skip")


def lacking(table: Table, networks: Sequence[Architecture]) -> tuple[OperatorSpec, ...]:
    """Operators of the networks that have no row in the table, each once."""
    rows = {entry.key for entry in table.entries}
    return tuple(dict.fromkeys(o for o in _uses(table, networks) if o.key not in rows))


def unsure(table: Table, networks: Sequence[Architecture]) -> tuple[Entry, ...]:
    """Predicted rows that networks use, the widest interval in microseconds times uses first."""
    uses: dict[str, int] = {}
    for operator in _uses(table, networks):
        uses[operator.key] = uses.get(operator.key, 0) + 1
    rows = [e for e in table.entries if e.status == "predicted" and e.key in uses]
    return tuple(sorted(rows, key=lambda e: -uses[e.key] * e.known_time.width_us))


def refined_settings(
    table: Table,
    networks: Sequence[Architecture],
    *,
    device: str,
    more: int,
    effort: Effort | None = None,
) -> CampaignSettings:
    """Settings of a new version of a table, which serves these networks better.

    It measures the rows measured before, the `more` least certain ones that were predicted, and
    every operator that the table lacks; the networks are timed whole beside them. Everything is
    measured again: rows of two runs never share a table.

    Raises:
        UsageError: Everything that these networks use was measured already, or a network of
            another batch.
        TableError: A table of another's measurement, or of a part of its space.
    """
    _check_refinable(table, networks)
    manifest, protocol = table.manifest, table.manifest.protocol
    rows, missing = unsure(table, networks)[:more], lacking(table, networks)
    if not rows and not missing:
        raise UsageError(
            "Every operator of these networks was measured already.",
            "Name other networks, or measure the whole table.",
        )
    own = set(wanted_operators(parse_space(manifest.space.spec)))
    added = [e.key for e in table.entries if e.operator not in own]
    before = [e.key for e in table.entries if e.status != "predicted"]
    keys = (*before, *(row.key for row in rows), *(operator.key for operator in missing))
    predicts = manifest.prediction is not None
    return CampaignSettings(
        device=device,
        space=manifest.space.spec,
        dtype=protocol.dtype,
        backend=manifest.runtime.backend,
        threads=protocol.threads or 1,
        affinity=protocol.affinity_asked,
        runner="auto",
        runtime=runtime_of(manifest),
        seed=protocol.seed or 0,
        effort=effort or PRESETS.get(protocol.preset, PRESETS["default"]),
        max_temperature_c=protocol.temperature_limit_c,
        chains=protocol.chain_lengths,
        max_operators=len(keys) if predicts else None,
        operators_first=keys if predicts else None,
        added_operators=(*added, *(operator.key for operator in missing)),
        added_networks=tuple(
            AddedNetwork(
                name=network.name,
                keys=tuple(o.key for o in network.with_dtype(protocol.dtype).operators),
            )
            for network in networks
        ),
        sustain_s=None if protocol.sustained is None else protocol.sustained.load_s,
    )


def _check_refinable(table: Table, networks: Sequence[Architecture]) -> None:
    if table.manifest.source == "imported":
        raise TableError(
            f"{table.label} was imported, so nothing can be added to it.",
            "Measure a table of your own device.",
        )
    if table.manifest.space.filter is not None:
        raise TableError(
            f"{table.label} holds some operators alone, those that match "
            f"{table.manifest.space.filter!r}.",
            "Measure a whole table, without --filter, and refine that.",
        )
    batches = {entry.operator.batch for entry in table.entries}
    for network in networks:
        if network.operators[0].batch not in batches:
            raise UsageError(
                f"{network.name} takes {network.operators[0].batch} images a call; "
                f"{table.label} is of {', '.join(map(str, sorted(batches)))}.",
                "Refine a table of the same batch.",
            )
