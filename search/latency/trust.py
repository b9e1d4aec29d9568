"""Whether a table may price networks: what the intervals of its rows leave open.

A wide row alone spoils nothing. It counts by what it does to the latency of whole
networks, and to the choice between candidates of its layer.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.console.messages import counted
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, LayeredSpace, SearchSpace
from search.spaces.registry import parse_space
from search.table.entries import Entry, Interval
from search.table.store import Table

# Largest share of a network's latency that the rows' 95 % intervals may leave open: half the
# mean error that an exam may have. Beyond it a table passes its exam by luck, or fails so.
NETWORK_BOUND = 0.02
# Beyond it blocks were not disturbed now and then: the cores belonged to others.
MOST_PREEMPTED = 0.8
_NETWORKS = 50
_SHOWN = 5

Rows = Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkUncertainty:
    """Half-widths that rows leave in networks' latencies, as shares of these, at 95 %."""

    median: float
    largest: float


def network_uncertainty(
    networks: Iterable[Sequence[OperatorSpec]], rows: Rows, fixed_us: float = 0.0
) -> NetworkUncertainty | None:
    """What the rows' own intervals leave open in the sums over whole networks.

    `fixed_us` is what a network takes beside its rows: the cost of a call, where rows
    are slopes over chains and so do not hold it.

    Rows are independent of each other (each was measured by itself); a row
    used twice counts twice. Rows without an interval count as exact.
    Networks that need other rows are passed over; None if none is left.
    """
    widths = (_half_width(network, rows, fixed_us) for network in networks)
    shares = [share for share in widths if share is not None]
    if not shares:
        return None
    return NetworkUncertainty(median=float(np.median(shares)), largest=max(shares))


def _half_width(network: Sequence[OperatorSpec], rows: Rows, fixed_us: float) -> float | None:
    uses = Counter(operator.key for operator in network if operator.kind != "skip")
    if not uses or not all(key in rows for key in uses):
        return None
    total = fixed_us + sum(number * rows[key].centre_us for key, number in uses.items())
    return math.hypot(*(number * _half_us(rows[key]) for key, number in uses.items())) / total


def _half_us(row: Interval) -> float:
    return row.width_us / 2 if row.is_bounded else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChoice:
    """Two candidates of one layer whose order the rows' intervals leave open.

    `half_width_us` is that of their difference in microseconds, at 95 %.
    """

    layer: str
    faster: str
    slower: str
    half_width_us: float


def open_choices(space: SearchSpace, rows: Rows, network_us: float) -> list[OpenChoice]:
    """Choices that a wide row could turn, by more than a network's latency may be uncertain.

    Candidates that differ by less than `NETWORK_BOUND` of a network's latency for
    certain are as good as equal; these are not among them. Nothing is to be said
    where that latency is not known (0), and of choices that are no single operator.
    """
    found: list[OpenChoice] = []
    if not network_us:
        return found
    for layer in space.layers:
        known = [c for c in layer.choices if isinstance(c, Choice) and c.operator.key in rows]
        known.sort(key=lambda choice: rows[choice.operator.key].centre_us)
        for place, fast in enumerate(known):
            for slow in known[place + 1 :]:
                one, other = rows[fast.operator.key], rows[slow.operator.key]
                half_us = math.hypot(_half_us(one), _half_us(other))
                if one is not other and half_us > max(
                    other.centre_us - one.centre_us, NETWORK_BOUND * network_us
                ):
                    found.append(
                        OpenChoice(
                            layer=layer.name,
                            faster=fast.operator.key,
                            slower=slow.operator.key,
                            half_width_us=half_us,
                        )
                    )
    return found


def measured_rows(table: Table) -> dict[str, Interval]:
    """Times of all rows by key; of predicted ones the centre alone, since an exam judges them."""
    return {
        entry.key: Interval(centre_us=entry.time.centre_us)
        if entry.status == "predicted"
        else entry.time
        for entry in table.entries
        if entry.time is not None
    }


def pricing_problems(table: Table) -> list[str]:
    """Reasons not to price networks with a table; empty when there are none.

    The one rule of `validate` and of a search. A table of some operators alone, as a
    filter asks for, is whole in its way (`table_problems`), and prices no networks.
    """
    space = table.manifest.space
    found = table_problems(table)
    if space.filter is not None:
        found.insert(0, _partial(table))
        if table.manifest.exam is None:
            found.append(f"unexamined: it has {table.manifest.exam_problem}")
    return found


def _partial(table: Table) -> str:
    space = table.manifest.space
    rows = len(table.entries)
    try:
        whole = len(parse_space(space.spec).operators)
    except UsageError:
        return f"partial: {rows} operators, those that match {space.filter!r}"
    return f"partial: {rows} of {whole} operators, those that match {space.filter!r}"


def pinning_problem(table: Table) -> str:
    """Why it is not known on which cores a table was measured; empty where nothing is wrong."""
    protocol = table.manifest.protocol
    asked, observed = protocol.affinity_asked, protocol.affinity_observed
    if asked is None or observed is None or set(asked) == set(observed):
        return ""
    return f"it was to be measured on the cores {_cores(asked)}, and ran on {_cores(observed)}"


def _cores(cores: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cores))) or "none"


def preempted_sentence(rejected: int, accepted: int, load: float | None) -> str:
    """That nearly all blocks were disturbed, how loaded the machine was, and what to do.

    Empty where enough of them ran undisturbed. `rejected` were left out, `accepted` count;
    `load` is the load average, None where it is not known.
    """
    if rejected <= MOST_PREEMPTED * (rejected + accepted):
        return ""
    loaded = "" if load is None else f" (load average {load:.1f})"
    return (
        f"{rejected:,} of {rejected + accepted:,} blocks were preempted by other programs{loaded}: "
        "end those, give other cores with --affinity, or come back when the machine is quieter"
    )


def preemption_problem(table: Table) -> str:
    """`preempted_sentence` of a table; empty where it was not disturbed so much."""
    sampling = [entry.sampling for entry in table.entries if entry.status != "predicted"]
    rejected = sum(one.rejected_blocks for one in sampling)
    accepted = sum(one.blocks for one in sampling)
    return preempted_sentence(rejected, accepted, table.manifest.protocol.load_average_start)


def table_problems(table: Table) -> list[str]:
    """Reasons why a table is not what was asked for; empty when there are none."""
    space, exam = table.manifest.space, table.manifest.exam
    found = [text for text in (pinning_problem(table), preemption_problem(table)) if text]
    if failed := [entry.key for entry in table.entries if entry.status == "failed"]:
        found.append(f"{counted(len(failed), 'operator')} failed: {_some(failed)}")
    if space.operators_missing and space.filter is None:
        found.append(f"{counted(space.operators_missing, 'operator')} missing")
    if problem := _floor_problem(table):
        found.append(problem)
    # Some operators alone are measured without an exam, and nobody expects one.
    if (problem := table.manifest.exam_problem) and (exam or space.filter is None):
        found.append(problem)
    return found + uncertainty_problems(table)


def _floor_problem(table: Table) -> str | None:
    """Why slopes over chains stand on nothing: the empty program was not measured."""
    protocol = table.manifest.protocol
    own = table.manifest.source in ("measured", "simulated")
    if own and protocol.chain_lengths and protocol.dispatch_floor_us is None:
        return "the dispatch floor is unknown: the empty program has no time"
    return None


def uncertainty_problems(table: Table) -> list[str]:
    """Why the rows' intervals are too wide for prices of networks; empty when they are not.

    Of an imported table nothing is known here: it states few intervals, or none.
    """
    if table.manifest.source == "imported":
        return []
    space, rows = parse_space(table.manifest.space.spec), measured_rows(table)
    networks, fixed_us = random_networks(space), table.manifest.protocol.chain_intercept_us or 0.0
    found = []
    left_open = network_uncertainty(networks, rows, fixed_us)
    if left_open is not None and left_open.largest > NETWORK_BOUND:
        found.append(
            f"the rows' intervals leave +-{left_open.largest:.1%} open in a network's latency, "
            f"more than {NETWORK_BOUND:.0%}; the widest: {_some(_widest(table))}"
        )
    open_pairs = open_choices(space, rows, typical_us(networks, rows, fixed_us))
    if open_pairs:
        texts = [
            f"{choice.faster} or {choice.slower} of {choice.layer}, +-{choice.half_width_us:.0f} us"
            for choice in open_pairs
        ]
        found.append(
            f"{counted(len(open_pairs), 'choice')} of the faster one left open: {_some(texts)}"
        )
    return found


def wide_rows(table: Table) -> list[Entry]:
    """Rows whose interval is wider than was asked for, the widest first."""
    rows = [entry for entry in table.entries if entry.status == "unstable"]
    return sorted(rows, key=lambda entry: -entry.relative_half_width)


def wide_rows_held(table: Table, network: Iterable[OperatorSpec]) -> tuple[str, ...]:
    """Keys of the wide rows that a network holds, in order of their names."""
    wide = {entry.key for entry in wide_rows(table)}
    return tuple(sorted(wide & {operator.key for operator in network}))


def _widest(table: Table) -> list[str]:
    return [f"{entry.key} +-{entry.relative_half_width:.1%}" for entry in wide_rows(table)]


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def random_networks(space: LayeredSpace) -> list[tuple[OperatorSpec, ...]]:
    """The same random networks of a space at every call."""
    generator = random.Random(0)  # noqa: S311
    return [
        space.random_architecture(generator, f"random-{number}").operators
        for number in range(_NETWORKS)
    ]


def typical_us(
    networks: Iterable[Sequence[OperatorSpec]], rows: Rows, fixed_us: float = 0.0
) -> float:
    """Median sum of rows over networks and `fixed_us`, microseconds; 0 where none is covered."""
    sums = [
        sum(rows[operator.key].centre_us for operator in network if operator.kind != "skip")
        for network in networks
        if all(operator.kind == "skip" or operator.key in rows for operator in network)
    ]
    return fixed_us + float(np.median(sums)) if sums else 0.0
