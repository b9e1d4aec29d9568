"""Anchors of a table: the few operators by which its machine is recognised."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from statistics import median

from search.architecture import Architecture
from search.table.entries import Entry
from search.table.store import Table

# Between two runs of one machine an operator's ratio scatters by 0.5 to 1 % (diff takes 1 %
# a table, 1.4 % a ratio, as the most). Eight of them leave a standard error of 0.2 to 0.5 %,
# well below the 1 % that a table's good prediction is off by; sixteen would save another
# 0.1 %. In the default effort eight cost 8 anchors * 28 passes * 3 rounds * 1.3 ms = 0.9 s.
# Eight are also one of each class below.
ANCHORS = 8
# A wider interval would add more noise than knowledge; narrow ones come first.
_MOST_HALF_WIDTH, _NARROW = 0.05, 0.02
# Of a call that computes nothing: below, the call is timed rather than the operator.
_LEAST_OF_FLOOR = 2.0


def choose_anchors(
    table: Table, networks: Sequence[Architecture] = (), number: int = ANCHORS
) -> tuple[Entry, ...]:
    """Rows that stand for the table, in an order that depends on nothing but the arguments.

    Measured rows with narrow intervals fall into eight classes: images large or small,
    many or few FLOPs a byte (bound by arithmetic or by memory), long or short. Of each
    class in turn the row that the networks spend most time in is taken; without
    networks, or where they use none of it, the longest.

    Args:
        table: Its rows.
        networks: In the table's dtype.
        number: How many rows at most.
    """
    rows = usable_rows(table)
    uses = Counter(operator.key for network in networks for operator in network.operators)
    weight = {e.key: uses[e.key] * e.known_time.centre_us for e in rows}
    ranked = sorted(
        rows,
        key=lambda e: (
            e.relative_half_width > _NARROW,
            -weight[e.key],
            -e.known_time.centre_us,
            e.key,
        ),
    )
    classes: dict[tuple[bool, ...], list[Entry]] = {}
    for row, traits in zip(ranked, _traits(ranked), strict=True):
        classes.setdefault(traits, []).append(row)
    in_turn = zip_longest(*classes.values())
    return tuple(row for turn in in_turn for row in turn if row is not None)[:number]


def usable_rows(table: Table) -> tuple[Entry, ...]:
    """Rows that can be anchors: measured, steady, and long against an empty call.

    None of a table of chains: its rows are not times of single programs.
    """
    protocol = table.manifest.protocol
    if protocol.chain_lengths or table.manifest.source == "imported":
        return ()
    least_us = _LEAST_OF_FLOOR * (protocol.dispatch_floor_us or 0.0)
    return tuple(
        e
        for e in table.entries
        if e.status == "ok"
        and e.has_interval
        and e.relative_half_width <= _MOST_HALF_WIDTH
        and e.known_time.centre_us >= least_us
    )


def _traits(rows: Sequence[Entry]) -> list[tuple[bool, ...]]:
    """The class of each row, relative to the middle one."""
    facts = [
        (float(e.operator.height), _intensity(e), math.log(e.known_time.centre_us)) for e in rows
    ]
    middle = [median(values) for values in zip(*facts, strict=True)]
    return [tuple(value > mid for value, mid in zip(one, middle, strict=True)) for one in facts]


def _intensity(entry: Entry) -> float:
    """FLOPs a byte moved."""
    counts = entry.counts
    moved = counts.input_bytes + counts.output_bytes + counts.weight_bytes
    return counts.flops / max(moved, 1)
