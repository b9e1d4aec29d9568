"""The measuring loop: passes of interleaved plans into the journal.

A pass visits every operator, and the networks whose turn it is; programs are loaded in
batches that fit into memory, in another random order each time. A runner's records go to
the journal as they come.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device_agents.base import DeviceAgent, HearsStages
from profiler.journal import Journal
from profiler.measuring.batch import BatchRunner
from profiler.measuring.items import DeliveredFiles, TimedItem
from profiler.measuring.passes import Pass, batches, due, passes
from profiler.settings import CampaignSettings
from search.console.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringLoop:
    """One campaign's measuring, resumable at any block.

    `unsettled` says why another pass is worth its time, if it is. No extra pass begins that
    would not end by `ends` (of the monotonic clock).
    """

    settings: CampaignSettings
    agent: DeviceAgent
    journal: Journal
    items: Sequence[TimedItem]
    sentinel: TimedItem
    progress: Progress
    unsettled: Callable[[], str]
    ends: float = math.inf

    def run(self) -> None:
        """Measure all items, with extra passes while these are worth their time.

        An extra pass visits all operators, not only what is unstable: times of items
        that were measured in different passes could not be added up any more.
        """
        files = DeliveredFiles(self.agent)
        able = [*self._able(), self.sentinel]
        files.stock([item.artefact for item in able], self.progress)
        runner = BatchRunner(
            settings=self.settings,
            agent=self.agent,
            journal=self.journal,
            items=self.items,
            sentinel=self.sentinel,
            files=files,
            progress=self.progress,
            cores=self.settings.affinity or self.agent.state().pinned,
        )
        for one in passes(self.settings.effort, self.unsettled, self.ends):
            self._run_pass(one, runner)

    def _able(self) -> list[TimedItem]:
        failed = self.journal.failures()
        return [item for item in self.items if item.name not in failed]

    def _run_pass(self, one: Pass, runner: BatchRunner) -> None:
        rounds, failed = self.settings.effort.rounds, self.journal.failures()
        turn = due(self.items, self.settings.effort.networks_every, one.number)
        items = [item for item in turn if item.name not in failed]
        done = self.journal.rounds_done(one.number)
        remaining = [item for item in items if done.get(item.name, 0) < rounds]
        if not remaining:
            return
        if self.settings.cooldown_s and one.number:
            time.sleep(self.settings.cooldown_s)
        blocks = sum(min(done.get(item.name, 0), rounds) for item in items)
        self.progress.stage(one.title, len(items) * rounds, blocks)
        if isinstance(self.agent, HearsStages):
            self.agent.hear_stage(one.title)
        for batch in batches(remaining, self.settings.seed, one.number):
            runner.run(one.number, batch)
