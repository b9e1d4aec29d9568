"""Clocks of two tables: the times of one, stated at the clock of the other.

A time in cycles belongs to a kind of core. Two tables of one device, or of two
devices with the same processor, differ by their clocks for no other reason than
that a core ran faster that day; between different processors, or the fast and the
slow cores of one, restating would only hide what is to be compared.
"""

from dataclasses import dataclass

from search.table.manifest import CpuCluster, DeviceInfo, Manifest


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


def processor_of(device: DeviceInfo) -> str | None:
    """The processor that a device's times were taken on; None where it is not known.

    A rehearsal does not run on the chip that it names, and a simulated device has none.
    """
    if device.kind == "simulated":
        return None
    return device.cpu or (None if device.kind == "rehearsal" else device.soc)


def _in_common(old: Manifest, new: Manifest) -> tuple[str | None, str]:
    mine, theirs = processor_of(old.device), processor_of(new.device)
    if not _same_cores(old, new):
        return None, "they ran on different kinds of cores"
    if old.device.id == new.device.id:
        return mine or old.device.id, "one device"
    if mine is None or theirs is None:
        return None, "two devices, and not both name their processor"
    if mine != theirs:
        return None, f"different processors, {mine} and {theirs}"
    return mine, f"both ran on {mine}"


def _same_cores(old: Manifest, new: Manifest) -> bool:
    """Whether both ran on one kind of core, as far as that is known."""
    kinds = [_kinds(table) for table in (old, new)]
    return not all(kinds) or kinds[0] == kinds[1]


def _kinds(table: Manifest) -> set[tuple[int | None, int | None]]:
    """Capacity and highest clock of the cores used; nothing of a rehearsal, which used others."""
    cpus = table.protocol.affinity_observed
    if table.device.kind == "rehearsal" or cpus is None:
        return set()
    return {_kind(cluster) for cluster in table.device.clusters if set(cluster.cpus) & set(cpus)}


def _kind(cluster: CpuCluster) -> tuple[int | None, int | None]:
    return cluster.capacity, cluster.max_khz
