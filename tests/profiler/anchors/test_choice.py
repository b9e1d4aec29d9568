"""The choice of anchors: few, steady, of all kinds, and always the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from profiler.anchors.choice import ANCHORS, choose_anchors, usable_rows
from search.spaces.registry import make_space
from search.table.entries import Entry
from search.table.store import Table, read_table

ROOT = Path(__file__).resolve().parents[3]
HOST = ROOT / "tables/host-amd-epyc/fbnet-r224-x1-c1000-h1984-p0-b1-fp32-xnnpack-t1-v2"
FBNET = make_space("fbnet")
NETWORK = FBNET.architecture(["k3_e6"] * len(FBNET.layers))


@pytest.fixture(scope="module")
def host() -> Table:
    return read_table(HOST)


def keys(rows: tuple[Entry, ...]) -> list[str]:
    return [row.key for row in rows]


def test_the_choice_depends_neither_on_the_order_of_rows_nor_on_chance(host: Table) -> None:
    backwards = replace(host, entries=host.entries[::-1])
    assert keys(choose_anchors(host, [NETWORK])) == keys(choose_anchors(backwards, [NETWORK]))


def test_anchors_are_spread_over_sizes_times_and_kinds_of_load(host: Table) -> None:
    chosen = choose_anchors(host)
    assert len(set(keys(chosen))) == ANCHORS
    assert len({row.operator.height for row in chosen}) >= 3
    times = [row.known_time.centre_us for row in chosen]
    assert max(times) > 5 * min(times)
    loads = [
        row.counts.flops / (row.counts.input_bytes + row.counts.output_bytes) for row in chosen
    ]
    assert max(loads) > 5 * min(loads)


def test_operators_of_the_network_are_preferred(host: Table) -> None:
    own = {operator.key for operator in NETWORK.operators}
    assert sum(key in own for key in keys(choose_anchors(host, [NETWORK]))) >= 5


def test_unsteady_failed_predicted_and_bare_rows_are_never_anchors(host: Table) -> None:
    best = set(keys(choose_anchors(host)))
    shaky = tuple(
        replace(entry, status="unstable") if entry.key in best else entry for entry in host.entries
    )
    assert not best & set(keys(choose_anchors(replace(host, entries=shaky))))
    for status in ("failed", "predicted", "unstable"):
        rows = tuple(replace(entry, status=status, reason="x") for entry in host.entries)
        assert choose_anchors(replace(host, entries=rows)) == ()


def test_rows_with_wide_intervals_are_no_anchors(host: Table) -> None:
    wide = tuple(
        replace(
            entry, time=replace(time, low_us=time.centre_us * 0.9, high_us=time.centre_us * 1.1)
        )
        for entry in host.entries
        for time in (entry.known_time,)
    )
    assert usable_rows(replace(host, entries=wide)) == ()


def test_a_table_of_chains_has_no_anchors(host: Table) -> None:
    protocol = host.manifest.protocol.model_copy(update={"chain_lengths": (1, 4, 16)})
    manifest = host.manifest.model_copy(update={"protocol": protocol})
    assert usable_rows(replace(host, manifest=manifest)) == ()


def test_calls_that_are_mostly_overhead_are_no_anchors(host: Table) -> None:
    protocol = host.manifest.protocol.model_copy(update={"dispatch_floor_us": 50.0})
    manifest = host.manifest.model_copy(update={"protocol": protocol})
    rows = usable_rows(replace(host, manifest=manifest))
    assert rows
    assert min(row.known_time.centre_us for row in rows) >= 100


def test_a_small_table_gives_all_that_it_has(host: Table) -> None:
    few = usable_rows(host)[:4]
    assert len(choose_anchors(replace(host, entries=few))) == 4
