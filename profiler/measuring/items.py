"""Timed items and their files on the device."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from deploy.artefact import Artefact
from device_agents.base import DeviceAgent, KeepsFiles
from device_agents.protocol import PlanItem
from search.console.progress import Progress
from search.files import sha256_file

SENTINEL_ID = 1_000_000
# Files that an agent is handed together, between two looks at the progress.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedItem:
    """One thing to be timed, on the inputs of a tensor file where it has one."""

    name: str
    artefact: Artefact
    is_network: bool
    input: Path | None = None


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
        order = sorted(missing)
        for start in range(0, len(order), _AT_ONCE):
            some = {sha256: wanted[sha256].path for sha256 in order[start : start + _AT_ONCE]}
            self._names.update(self.agent.deliver_all(some))
            progress.advance(len(some))

    def deliver(self, artefact: Artefact) -> str:
        """The name by which a plan calls this file on the device."""
        return self.deliver_file(artefact.path, artefact.sha256)

    def deliver_file(self, path: Path, sha256: str) -> str:
        """The name by which a plan calls a file of this content."""
        if sha256 not in self._names:
            self._names[sha256] = self.agent.deliver(path, sha256)
        return self._names[sha256]

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
            input=files.deliver_file(item.input, sha256_file(item.input)) if item.input else None,
        )
        for number, item in items
    ]
