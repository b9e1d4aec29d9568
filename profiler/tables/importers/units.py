"""Check of units: speeds that no such device has reveal a wrong one.

A file in microseconds read as milliseconds makes a phone compute at a few
MMAC/s, one in seconds at several TMAC/s; no processor of these tables does
either. One row in another unit stands out among the others by the same factor.
"""

import statistics

from profiler.tables.importers.base import ForeignTable, damaged, implausible
from search.operators.counts import count

UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0}
# Multiply-adds a microsecond. The median rows of the published tables lie between
# 2e3 and 20e3, single rows 5 times below to 18 times above their median.
SLOWEST, FASTEST = 50.0, 500e3
MOST_APART = 30.0
_LEAST_FLOPS = 100_000


def check_units(table: ForeignTable, unit: str, origin: str) -> None:
    """Refuse times that cannot be in this unit.

    Raises:
        TableError: All of them or one of them; names the speed that the device would have.
    """
    speeds = {
        row.source_key: count(row.operator).flops / (row.value * UNITS_US[unit])
        for row in table.rows
        if row.operator is not None and count(row.operator).flops >= _LEAST_FLOPS
    }
    if not speeds:
        raise damaged(origin, "no row tells its unit: none has any arithmetic to speak of")
    usual = statistics.median(speeds.values())
    if not SLOWEST <= usual <= FASTEST:
        raise implausible(
            origin,
            f"its times are not in {unit}: read so, the device would do {_speed(usual)} in the "
            f"middle row, where {_speed(SLOWEST)} to {_speed(FASTEST)} can be believed",
            f"Give the unit that it has: --unit {' or '.join(u for u in UNITS_US if u != unit)}.",
        )
    for key, speed in speeds.items():
        if not 1 / MOST_APART < speed / usual < MOST_APART:
            raise implausible(
                origin,
                f"{key} is {max(speed / usual, usual / speed):.0f} times off the others: it would "
                f"run at {_speed(speed)}, the middle row at {_speed(usual)}; {MOST_APART:.0f} "
                "times can be believed",
                "See whether that row is in another unit, or was mistyped.",
            )


def _speed(flops_per_us: float) -> str:
    return f"{flops_per_us / 1e3:.3g} billion multiply-adds a second"
