"""When is a table good enough: the reasons for exit code 1."""

from search.table import Table
from search.trust import exam_doubt

_SHOWN = 5


def problems(table: Table) -> list[str]:
    """Reasons not to trust a table; empty when there are none."""
    found = []
    space, exam = table.manifest.space, table.manifest.exam
    for status in ("failed", "unstable"):
        keys = [entry.key for entry in table.entries if entry.status == status]
        if keys:
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            found.append(f"{len(keys)} operator(s) {status}: {', '.join(keys[:_SHOWN])}{more}")
    if space.operators_missing and space.filter is None:
        found.append(f"{space.operators_missing} operator(s) missing")
    # Some operators alone are measured without an exam, and nobody expects one.
    if (doubt := exam_doubt(exam)) and (exam or space.filter is None):
        found.append(doubt)
    return found
