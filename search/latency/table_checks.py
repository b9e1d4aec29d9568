"""Which tables may carry a search, and which doubts the user has waived."""

from dataclasses import dataclass, fields

from search.errors import GateFailed
from search.latency.trust import pricing_problems
from search.table.store import Table, profile_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Waivers:
    """Doubts that the user has waived; they are recorded in every result."""

    unexamined: bool = False
    simulated: bool = False
    imported: bool = False
    predicted: bool = False

    def allow(self, source: str) -> bool:
        """True if a table of this source, which is not "measured", may be used."""
        return bool(getattr(self, source, False))

    def as_flags(self) -> tuple[str, ...]:
        """The flags that were given, as they are typed."""
        flags = {f"--allow-{field.name}": getattr(self, field.name) for field in fields(self)}
        return tuple(flag for flag, given in flags.items() if given)


def check_table(table: Table, waivers: Waivers) -> None:
    """Refuse a table whose predictions are not proven.

    Raises:
        GateFailed: As `check_source` and `check_trust`.
    """
    check_source(table, waivers)
    check_trust(table, waivers)


def check_source(table: Table, waivers: Waivers) -> None:
    """Refuse times that were not measured, unless waived.

    Raises:
        GateFailed: Simulated, imported or predicted ones.
    """
    manifest = table.manifest
    if manifest.source != "measured" and not waivers.allow(manifest.source):
        raise GateFailed(
            f"{table.label} is {manifest.source}, not measured on a device.",
            f"Measure one, or add --allow-{manifest.source} (it is recorded in the result).",
        )


def check_trust(table: Table, waivers: Waivers) -> None:
    """Refuse a table that cannot price networks, by the rule of the profiler's `validate`.

    Raises:
        GateFailed: No exam, an exam below the bar, rows too uncertain to price networks,
            some operators alone, or other cores than asked for, unless waived.
    """
    if waivers.unexamined:
        return
    manifest = table.manifest
    if problem := manifest.exam_problem:
        how = "again" if manifest.exam else "whole"
        raise GateFailed(
            f"{table.label} has {problem}.",
            f"Measure it {how}: {profile_command(manifest)}; or add --allow-unexamined.",
        )
    for problem in pricing_problems(table):
        raise GateFailed(
            f"{table.label} cannot price networks: {problem}.",
            f"Measure it again: {profile_command(manifest)}; or add --allow-unexamined.",
        )
