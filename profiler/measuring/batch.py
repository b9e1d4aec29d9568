"""Batches of items, launched until every item has its blocks or a recorded failure."""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from device_agents.base import DeviceAgent
from device_agents.protocol import (
    Begin,
    Failure,
    Hello,
    Loaded,
    Plan,
    Record,
    Sample,
    Sentinel,
)
from profiler.journal import Journal
from profiler.measuring.blame import Action, Blame, LaunchProgress
from profiler.measuring.items import SENTINEL_ID, DeliveredFiles, TimedItem, plan_items
from profiler.measuring.pinning import check_pinning
from profiler.measuring.sample_buffer import SampleBuffer
from profiler.measuring.sustained.heating import Heating
from profiler.settings import CampaignSettings
from search.console.progress import Progress
from search.errors import ConnectionLost, DeviceLost, DeviceTimeout


@dataclass(kw_only=True)
class BatchRunner:
    """Runs batches of `items`; records go to the journal as they come.

    A runner that dies costs at most the item that killed it. With `heating` the device is under
    load before each launch.
    """

    settings: CampaignSettings
    agent: DeviceAgent
    journal: Journal
    items: Sequence[TimedItem]
    sentinel: TimedItem
    files: DeliveredFiles
    progress: Progress
    # The cores that the runner is to run on, chosen by the user or by the agent; None: any.
    cores: tuple[int, ...] | None = None
    heating: Heating | None = None
    _ids: dict[str, int] = field(init=False)
    _names: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        self._names = {number: item.name for number, item in enumerate(self.items)}
        self._ids = {name: number for number, name in self._names.items()}

    def run(self, number: int, batch: Sequence[TimedItem]) -> None:
        """Measure one batch in pass `number`.

        Raises:
            DeviceLost, DeviceTimeout: The device is in trouble, not an item.
            DeviceError: The runner runs on other cores than those chosen for it.
        """
        blame = Blame()
        while blame.may_launch(len(batch)):
            batch = self._open_items(number, batch)
            if not batch:
                return
            launch = LaunchProgress()
            error = self._launch(number, batch, launch)
            if error is None:
                continue
            verdict = blame.judge(error, launch, [item.name for item in batch])
            if verdict.action is Action.GIVE_UP:
                raise error
            self._report(error)
            if verdict.action is Action.SPLIT:
                middle = len(batch) // 2
                self.run(number, batch[:middle])
                self.run(number, batch[middle:])
                return
            if verdict.culprit is not None:
                self._fail(
                    verdict.culprit, "crash", f"the runner died on it twice: {error.message}"
                )

    def _report(self, error: DeviceLost | DeviceTimeout) -> None:
        if isinstance(error, ConnectionLost):
            self.files.forget()
        if isinstance(error, DeviceLost):
            self.progress.say(f"{error.message} Trying again.")

    def _open_items(self, number: int, batch: Sequence[TimedItem]) -> list[TimedItem]:
        done, failed = self.journal.rounds_done(number), self.journal.failures()
        rounds = self.settings.effort.rounds
        return [
            item for item in batch if item.name not in failed and done.get(item.name, 0) < rounds
        ]

    def _launch(
        self, number: int, batch: Sequence[TimedItem], launch: LaunchProgress
    ) -> DeviceLost | DeviceTimeout | None:
        """Measure what a batch lacks; the error that ended it early, if one did."""
        rounds, done = self.settings.effort.rounds, self.journal.rounds_done(number)
        fewest = min(done.get(item.name, 0) for item in batch)
        buffer = SampleBuffer(self.journal, number, self._names, done, rounds)
        if self.heating is not None:
            self.heating.before_launch()
        try:
            plan = self._plan(number, batch, rounds - fewest, fewest)
            for record in self.agent.run(plan):
                self._take(record, launch, buffer)
        except (DeviceLost, DeviceTimeout) as error:
            return error
        finally:
            buffer.flush()
            if self.heating is not None:
                self.heating.after_launch()
        return None

    def _take(self, record: Record, launch: LaunchProgress, buffer: SampleBuffer) -> None:
        if self.heating is not None:
            self.heating.note(record)
        match record:
            case Hello():
                launch.greeted = True
                check_pinning(self.cores, record.affinity)
                self.journal.add_hello(record)
            case Begin():
                launch.loading = self._names.get(record.item, self.sentinel.name)
            case Loaded():
                launch.loading = None
                if record.placement is not None and record.item in self._names:
                    self.journal.add_placement(self._names[record.item], record.placement)
            case Failure():
                launch.loading = None
                if record.item in self._names:
                    self._fail(self._names[record.item], record.kind, record.message)
            case Sample():
                launch.sampled = True
                if buffer.add(record):
                    self.progress.advance()
            case Sentinel():
                buffer.sentinels.append(record)

    def _fail(self, name: str, kind: str, message: str) -> None:
        self.journal.add_failure(name, kind, message)
        self.progress.say(f"failed: {name}: {message}")

    def _plan(self, number: int, batch: Sequence[TimedItem], rounds: int, skipped: int) -> Plan:
        settings, effort = self.settings, self.settings.effort
        order = random.Random(f"{settings.seed} {number} {skipped} {len(batch)}")  # noqa: S311
        timed = [(self._ids[item.name], item) for item in batch]
        items = plan_items(timed, self.files, effort.network_loops)
        order.shuffle(items)
        watched = self.sentinel.name not in self.journal.failures()
        if watched:
            items += plan_items([(SENTINEL_ID, self.sentinel)], self.files, effort.network_loops)
        return Plan(
            nonce=uuid.uuid4().hex,
            backend=settings.backend,
            threads=settings.threads,
            affinity=settings.affinity,
            order_seed=order.randrange(2**31),
            rounds=rounds,
            warmup=effort.warmup,
            min_block_ns=round(effort.min_block_us * 1e3),
            sentinel=SENTINEL_ID if watched else None,
            max_temperature_c=settings.max_temperature_c,
            cool=self.heating is None,
            items=tuple(items),
        )
