"""Lines of a runner to checked records."""

from collections import Counter
from collections.abc import Iterable, Iterator

from device_agents.protocol import Bye, Hello, Plan, Record, parse_record
from search.errors import DeviceLost

_AGAIN = "Run again with --resume; what was measured is kept."


def check_records(lines: Iterable[str], plan: Plan) -> Iterator[Record]:
    """Yield the records of one plan, up to and with `bye`.

    Raises:
        DeviceLost: A cut line, a stream that ends early, another run's
            stream, an item that the plan does not name, or counts that
            disagree.
    """
    counts: Counter[str] = Counter()
    known = {item.id for item in plan.items}
    for line in lines:
        record = parse_record(line)
        if isinstance(record, Hello) != (not counts):
            raise DeviceLost("The runner's stream does not begin with one hello.", _AGAIN)
        if isinstance(record, Hello) and record.nonce != plan.nonce:
            raise DeviceLost("The runner answered another run's plan.", _AGAIN)
        item = getattr(record, "item", None)
        if item is not None and item not in known:
            raise DeviceLost("The runner reported an item that it was not given.", _AGAIN)
        counts[record.type] += 1
        if isinstance(record, Bye):
            _check_counts(record, counts)
            yield record
            return
        yield record
    raise DeviceLost("The runner stopped before its plan was complete.", _AGAIN)


def _check_counts(bye: Bye, counts: Counter[str]) -> None:
    claimed = (bye.samples, bye.sentinels, bye.failures)
    seen = (counts["sample"], counts["sentinel"], counts["failure"])
    if claimed != seen:
        raise DeviceLost(f"Records were lost: the runner sent {claimed}, {seen} arrived.", _AGAIN)
