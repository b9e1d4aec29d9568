"""Validation of a table: the reasons for exit code 1."""

from search.latency.trust import pricing_problems
from search.spaces.registry import parse_space
from search.table.store import Table


def validation_problems(table: Table) -> list[str]:
    """`pricing_problems`, and a space whose definition has changed since it was measured.

    Raises:
        UsageError: The table's space is not known to this kit.
    """
    problems = pricing_problems(table)
    manifest = table.manifest
    if (
        manifest.source != "imported"
        and parse_space(manifest.space.spec).sha256 != manifest.space.sha256
    ):
        problems.append("the space's definition has changed since this table was measured")
    return problems
