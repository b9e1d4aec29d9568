"""Refinement: which predicted rows to measure next."""

from collections.abc import Sequence

from profiler.settings import PRESETS, CampaignSettings, Effort, runtime_of
from search.architecture import Architecture
from search.errors import TableError, UsageError
from search.table.entries import Entry
from search.table.store import Table


def unsure(table: Table, networks: Sequence[Architecture]) -> tuple[Entry, ...]:
    """Predicted rows that networks use, the widest interval in microseconds times uses first.

    Raises:
        MissingOperator: A network needs an operator that the table lacks.
    """
    dtype = table.manifest.protocol.dtype
    uses: dict[str, int] = {}
    for network in networks:
        for operator in network.with_dtype(dtype).operators:
            if operator.kind != "skip":
                table.lookup(operator)
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
    """Settings that measure the rows measured before and the `more` least certain ones.

    Everything is measured again: rows of two runs never share a table.

    Raises:
        UsageError: Nothing that these networks use is predicted.
        TableError: The table has no predicted rows.
    """
    manifest = table.manifest
    if manifest.prediction is None:
        raise TableError(
            f"{table.label} has no predicted rows.", "Refine a table made with --budget."
        )
    rows = unsure(table, networks)[:more]
    if not rows:
        raise UsageError(
            "Every operator of these networks was measured already.",
            "Name other networks, or measure the whole table.",
        )
    protocol = manifest.protocol
    before = [e.key for e in table.entries if e.status != "predicted"]
    keys = (*before, *(row.key for row in rows))
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
        max_operators=len(keys),
        operators_first=keys,
    )
