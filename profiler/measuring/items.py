"""Timed items and their files on the device."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.artefact import Artefact
from device_agents.base import DeviceAgent, KeepsFiles
from device_agents.protocol import PlanItem
from search.console.progress import Progress

SENTINEL_ID = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedItem:
    """One thing to be timed."""

    name: str
    artefact: Artefact
    is_network: bool


@dataclass
class DeliveredFiles:
    """The artefacts that were handed to an agent, each of them once."""

    agent: DeviceAgent
    _names: dict[str, str] = field(init=False, default_factory=dict)

    def stock(self, artefacts: Iterable[Artefact], progress: Progress) -> None:
        """Copy to a device that keeps files what it lacks, before anything is timed."""
        if not isinstance(self.agent, KeepsFiles):
            return
        wanted = {artefact.sha256: artefact for artefact in artefacts}
        sizes = {sha256: artefact.size_bytes for sha256, artefact in wanted.items()}
        missing = self.agent.lacking(sizes)
        if not missing:
            return
        megabytes = sum(sizes[sha256] for sha256 in missing) / 2**20
        progress.stage(f"copy {megabytes:.0f} MiB", len(missing))
        for sha256 in sorted(missing):
            self.deliver(wanted[sha256])
            progress.advance()

    def deliver(self, artefact: Artefact) -> str:
        """The name by which a plan calls this file on the device."""
        if artefact.sha256 not in self._names:
            name = self.agent.deliver(artefact.path, artefact.sha256)
            self._names[artefact.sha256] = name
        return self._names[artefact.sha256]

    def forget(self) -> None:
        """Deliver everything again when it is needed: the device may have lost its files."""
        self._names.clear()


def plan_items(
    items: Iterable[tuple[int, TimedItem]], files: DeliveredFiles, network_loops: int
) -> list[PlanItem]:
    """Items under their ids, as a plan names them; their files are then on the device."""
    return [
        PlanItem(
            id=number,
            file=files.deliver(item.artefact),
            sha256=item.artefact.sha256,
            loops=network_loops if item.is_network else 0,
        )
        for number, item in items
    ]
