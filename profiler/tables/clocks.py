"""Clocks of two tables: the times of one, stated at the clock of the other.

A time in cycles belongs to a kind of core. Two tables of one device, or of two
devices with the same processor, differ by their clocks for no other reason than
that a core ran faster that day; between different processors, or the fast and the
slow cores of one, restating would only hide what is to be compared. Where it is
not known that the processor is the same, nothing is restated.
"""

from dataclasses import dataclass

from search.table.manifest import CpuCluster, Manifest
from search.table.processors import Likeness, compare_devices, compare_processors


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The clocks at which two tables are stated, old and new, in kHz.

    `processor` is the one that both have in common, None where times must not be
    restated; `reason` is why they may or may not.
    """

    old_khz: int
    new_khz: int
    processor: str | None
    reason: str

    @property
    def speed(self) -> float:
        """The factor by which new times are multiplied."""
        return 1.0 if self.processor is None else self.new_khz / self.old_khz


def clocks_of(old: Manifest, new: Manifest) -> Clocks | None:
    """The clocks of two tables; None unless both were measured."""
    before, after = old.protocol.clock_khz, new.protocol.clock_khz
    if before is None or after is None:
        return None
    processor, reason = _in_common(old, new)
    return Clocks(old_khz=before, new_khz=after, processor=processor, reason=reason)


def processors_in_common(old: Manifest, new: Manifest) -> Likeness:
    """Whether two tables were measured on one device, or on two with the same processor."""
    likeness = compare_devices(old.device, new.device)
    if likeness.verdict == "same":
        return likeness
    return compare_processors(old.device, new.device)


def _in_common(old: Manifest, new: Manifest) -> tuple[str | None, str]:
    if not _same_cores(old, new):
        return None, "they ran on different kinds of cores"
    likeness = processors_in_common(old, new)
    return likeness.name, likeness.reason


def _same_cores(old: Manifest, new: Manifest) -> bool:
    """Whether both ran on one kind of core, as far as that is known."""
    mine, theirs = _clusters(old), _clusters(new)
    if not mine or not theirs:
        return True
    # A table of an older schema names no kinds of cores.
    named = all(cluster.name is not None for cluster in (*mine, *theirs))
    return {_kind(one, named) for one in mine} == {_kind(one, named) for one in theirs}


def _clusters(table: Manifest) -> list[CpuCluster]:
    """Clusters of the cores used; none of a rehearsal, which used others."""
    cpus = table.protocol.affinity_observed
    if table.device.kind == "rehearsal" or cpus is None:
        return []
    return [cluster for cluster in table.device.clusters if set(cluster.cpus) & set(cpus)]


def _kind(cluster: CpuCluster, named: bool) -> tuple[int | None, int | None, str | None]:
    return cluster.capacity, cluster.max_khz, cluster.name if named else None
