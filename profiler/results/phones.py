"""Which of several phones measured each row, and how far they agree, for a table."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from device_agents.android.shared_work import compare
from device_agents.base import Siblings
from device_agents.protocol import CLOCK_STEP_NS
from profiler.journal import Journal
from profiler.results.rows import CampaignResult
from search.table.entries import Entry
from search.table.phones import MeasuringPhone, MeasuringPhones


def with_phones(entries: Sequence[Entry], result: CampaignResult) -> tuple[Entry, ...]:
    """The rows with the phones that timed them; as they are where there was one device."""
    if result.siblings is None:
        return tuple(entries)
    numbers, hashes = result.journal.numbers(CLOCK_STEP_NS), result.siblings.hashes
    named = []
    for entry in entries:
        timed = (item.name for item in result.plan.timed(entry.operator))
        own = sorted({number for name in timed for number in numbers.get(name, ())})
        phone = "+".join(hashes.get(number, "?") for number in own) or None
        named.append(replace(entry, sampling=replace(entry.sampling, phone=phone)))
    return tuple(named)


def measuring_phones(result: CampaignResult) -> MeasuringPhones | None:
    """The phones of a campaign that measured anything; None where there was one device."""
    if result.siblings is None:
        return None
    counts = Counter(
        number for numbers in result.journal.numbers(CLOCK_STEP_NS).values() for number in numbers
    )
    told = _compared(result.siblings, result.journal)
    return MeasuringPhones(
        phones=tuple(
            MeasuringPhone(
                number=number,
                serial_hash=told.hashes.get(number, "?"),
                items=counts[number],
                apart=told.apart.get(number),
            )
            for number in sorted(counts)
        ),
        shared_items=told.shared_items,
        most_apart=told.most_apart,
    )


def _compared(siblings: Siblings, journal: Journal) -> Siblings:
    """The phones compared on what all ran; by the sentinel where an earlier launch ran it all."""
    if siblings.most_apart is not None:
        return siblings
    by_phone: defaultdict[int, list[float]] = defaultdict(list)
    for at_ns, us in zip(*journal.sentinels(), strict=True):
        by_phone[at_ns // CLOCK_STEP_NS].append(us)
    return compare(siblings.hashes, [{n: statistics.median(us) for n, us in by_phone.items()}])
