"""Passes over all items: which ones, in which batches, and when to stop."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from profiler.measuring.items import TimedItem
from profiler.settings import Effort

# Loaded programs hold their file and packed weights: about 2.5 times the file.
_BATCH_BYTES = 700 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass: its number, which blocks and random orders are known by, and its title."""

    number: int
    title: str


def passes(
    effort: Effort,
    unsettled: Callable[[], str],
    ends: float,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Pass]:
    """The passes to be made: the usual ones, then extra ones while they are worth it.

    Args:
        effort: How many of each.
        unsettled: Why another pass is worth its time (empty: it is not); asked before each.
        ends: Time of `clock`. No extra pass begins that would not end by then,
            if it took as long as the longest of the usual ones did between being
            handed out and the next one being asked for.
        clock: Seconds.
    """
    took_s = 0.0
    for number in range(effort.passes):
        began = clock()
        yield Pass(number=number, title=f"pass {number + 1} of {effort.passes}")
        took_s = max(took_s, clock() - began)
    for extra in range(effort.extra_passes):
        reason = unsettled()
        if not reason or clock() + took_s > ends:
            return
        title = f"extra {extra + 1} ({reason})"
        yield Pass(number=effort.passes + extra, title=title)


def due(items: Sequence[TimedItem], networks_every: int, number: int) -> list[TimedItem]:
    """The items that pass `number` visits: all operators, and the networks whose turn it is.

    Neighbours among the networks have different turns, and each has its own in every
    `networks_every` passes.
    """
    turn = count(number)
    return [item for item in items if not item.is_network or next(turn) % networks_every == 0]


def batches(items: Sequence[TimedItem], seed: int, number: int) -> Iterator[list[TimedItem]]:
    """The items of pass `number` in batches that fit into memory, in a random order of its own."""
    shuffled = list(items)
    random.Random(seed * 7919 + number).shuffle(shuffled)  # noqa: S311
    total = sum(item.artefact.size_bytes for item in shuffled)
    count = max(1, -(-total // _BATCH_BYTES))
    for start in range(count):
        # Every count-th, so that each batch is a fair mixture.
        batch = shuffled[start::count]
        if batch:
            yield batch
