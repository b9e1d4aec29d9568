"""Memory, loading and first call of a campaign's networks, each alone in a fresh process."""

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from deploy.artefact import Artefact
from deploy.verification.breakdown import Footprint
from device_agents.base import DeviceAgent, StartsFresh
from device_agents.protocol import Loaded, PlanItem
from profiler.journal import Journal
from profiler.measuring.footprint import launch_alone
from profiler.settings import CampaignSettings
from search.console.progress import Progress
from search.errors import DeviceError, KitError, StorageError

# Enough for the model of peak memory; each of them costs a start of the runner.
MOST_FITTED, MOST_EXAMINED = 30, 20
# Of a runner that takes longer to start, as Python's does with torch.
_SLOW_S = 1.0
_FEWER_FITTED, _FEWER_EXAMINED = 12, 8
_FACT, _RUNNER = "footprint of ", "footprint without a network"
_NONE = "no memory of networks"
_TRIES = 2
# Where a process finds its pages differs from launch to launch, by some 70 kB: much of a small
# network's own memory, of which the median of several launches is taken, and of the runner's.
_REPEATS, _SMALL_KB = 3, 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStage:
    """Measures what networks need beside time, and writes it to the journal as it comes.

    Nothing here is worth a table that is measured already: what cannot be measured is said and
    left out. It ends at `ends` of the monotonic clock, complete or not.
    """

    settings: CampaignSettings
    agent: DeviceAgent
    journal: Journal
    artefacts: Mapping[str, Artefact]
    progress: Progress
    ends: float = math.inf

    def run(self, fitted: Sequence[str], examined: Sequence[str]) -> None:
        """Measure those networks, of these names, that the journal does not hold yet.

        Fewer of them where the runner starts slowly.
        """
        if not (isinstance(self.agent, StartsFresh) and self.agent.starts_fresh):
            leave_out(self.journal, "the runners of this device measure no network alone")
            return
        if not (fitted or examined):
            return
        leave_out(self.journal, "")  # what an earlier run stated
        try:
            self._measure(fitted[:MOST_FITTED], examined[:MOST_EXAMINED])
        except StorageError:
            raise
        except KitError as error:
            leave_out(self.journal, error.message)
            self.progress.say(f"memory of networks is not measured any further: {error.message}")

    def _measure(self, fitted: Sequence[str], examined: Sequence[str]) -> None:
        began = time.monotonic()
        peak_kb = self._try(())[1]
        if peak_kb is None:
            leave_out(self.journal, "the runner does not tell it on this system")
            return
        repeats = _REPEATS
        if time.monotonic() - began > _SLOW_S:
            fitted, examined = fitted[:_FEWER_FITTED], examined[:_FEWER_EXAMINED]
            repeats = 1
        if runner_kb(self.journal) is None:
            self.journal.set_fact(_RUNNER, str(self._median_kb((), peak_kb, repeats)))
        failed, known = self.journal.failures(), footprints(self.journal)
        names = (*fitted, *examined)
        able = [name for name in names if name in self.artefacts and name not in failed]
        todo = [name for name in able if name not in known]
        self.progress.stage("memory", len(able), len(able) - len(todo))
        self._measure_all(todo, repeats)

    def _measure_all(self, names: Sequence[str], repeats: int) -> None:
        for name in names:
            if time.monotonic() > self.ends:
                return
            found = self._footprint(self.artefacts[name], repeats)
            self.journal.set_fact(_FACT + name, json.dumps(asdict(found)))
            self.progress.advance()

    def _footprint(self, artefact: Artefact, repeats: int) -> Footprint:
        file = self.agent.deliver(artefact.path, artefact.sha256)
        items = (PlanItem(id=0, file=file, sha256=artefact.sha256, loops=1),)
        loaded, peak_kb = self._try(items)
        base_kb = runner_kb(self.journal)
        if peak_kb is not None and base_kb is not None and peak_kb - base_kb < _SMALL_KB:
            peak_kb = self._median_kb(items, peak_kb, repeats)
        return Footprint(
            file_bytes=artefact.size_bytes,
            load_us=loaded.load_ns / 1e3 if loaded else None,
            first_us=loaded.first_ns / 1e3 if loaded and loaded.first_ns is not None else None,
            planned_bytes=loaded.planned_bytes if loaded else None,
            peak_rss_kb=peak_kb,
            base_rss_kb=base_kb,
        )

    def _median_kb(self, items: tuple[PlanItem, ...], first_kb: int, repeats: int) -> int:
        """The median peak of so many launches, the first of which is known."""
        more = [self._try(items)[1] for _ in range(repeats - 1)]
        return round(statistics.median([first_kb, *(kb for kb in more if kb is not None)]))

    def _try(self, items: tuple[PlanItem, ...]) -> tuple[Loaded | None, int | None]:
        assert isinstance(self.agent, StartsFresh)
        for left in reversed(range(_TRIES)):
            self.agent.restart()
            try:
                return launch_alone(self.agent, self.settings, items, rounds=1)
            except DeviceError:
                raise
            except KitError:  # a connection that broke, once
                if not left:
                    raise
        raise AssertionError


def footprints(journal: Journal) -> dict[str, Footprint]:
    """What the journal holds, by network."""
    return {
        name: Footprint(**json.loads(text)) for name, text in journal.facts_beginning(_FACT).items()
    }


def runner_kb(journal: Journal) -> int | None:
    """Peak resident memory of the runner without a network; None where it is not known."""
    text = journal.fact(_RUNNER)
    return None if text is None else int(text)


def leave_out(journal: Journal, reason: str) -> None:
    """State why the memory of networks is not measured, or not of all of them."""
    journal.set_fact(_NONE, reason)


def why_left_out(journal: Journal) -> str | None:
    """That reason; None where there is none."""
    return journal.fact(_NONE) or None
