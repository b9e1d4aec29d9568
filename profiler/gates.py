"""When is a table good enough: the reasons for exit code 1."""

from search.table import Table

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
    if exam is None and space.filter is None:
        found.append("no exam: its predictions were compared with nothing")
    if exam is not None and not exam.passed:
        found.append(
            f"the exam is below the bar: MAPE {exam.mape.value:.2%} (at most {exam.bar_mape:.0%}), "
            f"Spearman {exam.spearman.value:.3f} (at least {exam.bar_spearman:g})"
        )
    return found
