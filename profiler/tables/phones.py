"""Which phones a table was measured on, and whether they agree, in lines of text."""

from collections.abc import Iterator

from search.console.messages import counted
from search.table.phones import MeasuringPhone, MeasuringPhones


def phone_lines(phones: MeasuringPhones | None) -> Iterator[str]:
    """The phones, what each measured, how far they agree, and who does not."""
    if phones is None:
        return
    yield f"  phones     {counted(len(phones.phones), 'phone')} of one model{_agreement(phones)}"
    for phone in phones.phones:
        yield f"             {phone.serial_hash}: {counted(phone.items, 'item')}{_apart(phone)}"
    for phone in phones.phones:
        if phone.disagrees:
            yield (
                f"  APART      the phone {phone.serial_hash} does not agree with its siblings: "
                f"measure again without it (of a farm: --leave-out {phone.serial_hash[:8]})"
            )


def _agreement(phones: MeasuringPhones) -> str:
    if phones.most_apart is None:
        return "" if len(phones.phones) < 2 else "; they were not compared"
    verdict = "do not agree" if any(one.disagrees for one in phones.phones) else "agree"
    return (
        f"; they {verdict}: on {counted(phones.shared_items, 'shared item')} they differ by at "
        f"most {phones.most_apart:.1%}"
    )


def _apart(phone: MeasuringPhone) -> str:
    if phone.apart is None or abs(phone.apart) < 0.0005:
        return ""
    return f", {abs(phone.apart):.1%} {'slower' if phone.apart > 0 else 'faster'} than the others"
