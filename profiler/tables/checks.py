"""Problems of a table: the reasons for exit code 1."""

import statistics

from search.spaces.registry import parse_space
from search.table.store import Table

_SHOWN = 5


def table_problems(table: Table) -> list[str]:
    """Reasons not to trust a table; empty when there are none."""
    found = []
    space, exam = table.manifest.space, table.manifest.exam
    for status, keys in (("failed", _failed(table)), ("unstable", _unstable(table))):
        if keys:
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            found.append(f"{len(keys)} operator(s) {status}: {', '.join(keys[:_SHOWN])}{more}")
    if space.operators_missing and space.filter is None:
        found.append(f"{space.operators_missing} operator(s) missing")
    # Some operators alone are measured without an exam, and nobody expects one.
    if (problem := table.manifest.exam_problem) and (exam or space.filter is None):
        found.append(problem)
    return found


def validation_problems(table: Table) -> list[str]:
    """`table_problems`, and a space whose definition has changed since it was measured.

    Raises:
        UsageError: The table's space is not known to this kit.
    """
    problems = table_problems(table)
    manifest = table.manifest
    if (
        manifest.source != "imported"
        and parse_space(manifest.space.spec).sha256 != manifest.space.sha256
    ):
        problems.append("the space's definition has changed since this table was measured")
    return problems


def _failed(table: Table) -> list[str]:
    return [entry.key for entry in table.entries if entry.status == "failed"]


def _unstable(table: Table) -> list[str]:
    """Unstable rows; in a table with predicted rows only those with a wider interval than they.

    A table whose predicted rows are accepted with intervals of 15 % cannot be refused for
    a measured row with one of 6 %.
    """
    rows = [entry for entry in table.entries if entry.status == "unstable"]
    widths = [e.relative_half_width for e in table.entries if e.status == "predicted"]
    allowed = statistics.median(widths) if widths else 0.0
    return [entry.key for entry in rows if entry.relative_half_width > allowed]
