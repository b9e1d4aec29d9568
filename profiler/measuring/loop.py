"""The measuring loop: passes of interleaved plans into the journal.

A pass visits every item; its programs are loaded in batches that fit into
memory, drawn anew each time. What a runner yields goes to the journal at
once. A runner that dies costs at most the item that killed it.
"""

import math
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.artefact import Artefact
from device_agents.base import DeviceAgent, KeepsFiles
from device_agents.protocol import (
    Begin,
    Failure,
    Hello,
    Loaded,
    Plan,
    PlanItem,
    Record,
    Sample,
    Sentinel,
)
from profiler.journal import Journal
from profiler.measuring.sample_buffer import LaunchProgress, SampleBuffer
from profiler.results.judged import judge_all
from profiler.settings import CampaignSettings
from search.console.progress import Progress
from search.errors import ConnectionLost, DeviceLost, DeviceTimeout

SENTINEL_ID = 1_000_000
# Loaded programs hold their file and packed weights: about 2.5 times the file.
_BATCH_BYTES = 700 * 2**20
_TRIES = 2
# Connections that break one after another without a sample in between.
_CONNECTION_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedItem:
    """One thing to be timed."""

    name: str
    artefact: Artefact
    is_network: bool


@dataclass
class MeasuringLoop:
    """One campaign's measuring, resumable at any block.

    No extra pass begins that would not end by `ends` (of the monotonic clock).
    `unsettled` names what needs more passes, where that is not told by each
    item's own interval: what is computed from several items, such as slopes.
    """

    settings: CampaignSettings
    agent: DeviceAgent
    journal: Journal
    items: Sequence[TimedItem]
    sentinel: TimedItem
    progress: Progress
    ends: float = math.inf
    unsettled: Callable[[], set[str]] | None = None
    _ids: Mapping[str, int] = field(init=False)
    _names: Mapping[int, str] = field(init=False)
    _delivered: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = {item.name: number for number, item in enumerate(self.items)}
        self._names = {number: name for name, number in self._ids.items()}

    def run(self) -> None:
        """Measure all items, and go on while some of them are not stable.

        An extra pass visits everything, not only what is unstable: items
        measured at other times could not be added up any more.
        """
        effort, took_s = self.settings.effort, 0.0
        self._stock()
        for number in range(effort.passes):
            began = time.monotonic()
            self._pass(number, self._able(), f"pass {number + 1} of {effort.passes}")
            took_s = max(took_s, time.monotonic() - began)
        for number in range(effort.passes, effort.passes + effort.extra_passes):
            unstable = self.unstable()
            if not unstable or time.monotonic() + took_s > self.ends:
                return
            title = f"extra {number + 1 - effort.passes} ({len(unstable)} not yet stable)"
            self._pass(number, self._able(), title)

    def _stock(self) -> None:
        """Copy to a device of its own what it lacks, before anything is timed."""
        if not isinstance(self.agent, KeepsFiles):
            return
        artefacts = {item.artefact.sha256: item.artefact for item in [*self._able(), self.sentinel]}
        sizes = {sha256: artefact.size_bytes for sha256, artefact in artefacts.items()}
        missing = self.agent.lacking(sizes)
        if not missing:
            return
        megabytes = sum(sizes[sha256] for sha256 in missing) / 2**20
        self.progress.stage(f"copy {megabytes:.0f} MiB", len(missing))
        for sha256 in sorted(missing):
            self._delivered[sha256] = self.agent.deliver(artefacts[sha256].path, sha256)
            self.progress.advance()

    def _able(self) -> list[TimedItem]:
        failed = self.journal.failures()
        return [item for item in self.items if item.name not in failed]

    def unstable(self) -> set[str]:
        """What has an interval that is still wider than asked for."""
        if self.unsettled is not None:
            return self.unsettled()
        judged = judge_all(self.journal, self.settings)
        return {
            item.name
            for item in self._able()
            if (found := judged.get(item.name)) is None or not found.stable
        }

    # --- one pass

    def _pass(self, number: int, items: Sequence[TimedItem], title: str) -> None:
        rounds = self.settings.effort.rounds
        done = self.journal.rounds_done(number)
        left = [item for item in items if done.get(item.name, 0) < rounds]
        total = len(items) * rounds
        already = sum(min(done.get(item.name, 0), rounds) for item in items)
        if not left:
            return
        if self.settings.cooldown_s and number:
            time.sleep(self.settings.cooldown_s)
        self.progress.stage(title, total, already)
        for batch in self._batches(left, number):
            self._batch(number, batch)

    def _batches(self, items: Sequence[TimedItem], number: int) -> Iterator[list[TimedItem]]:
        shuffled = list(items)
        random.Random(self.settings.seed * 7919 + number).shuffle(shuffled)  # noqa: S311
        total = sum(item.artefact.size_bytes for item in shuffled)
        count = max(1, -(-total // _BATCH_BYTES))
        for start in range(count):
            # Every count-th, so that each batch is a fair mixture.
            batch = shuffled[start::count]
            if batch:
                yield batch

    def _batch(self, number: int, batch: list[TimedItem]) -> None:
        """Run one batch; on a loss find the item that is to blame."""
        suspects: dict[str, int] = {}
        anonymous = broken = losses = 0
        while losses < len(batch) * _TRIES + _TRIES:
            batch = self._still_open(number, batch)
            if not batch:
                return
            attempt = LaunchProgress()
            losses += 1
            try:
                self._run_plan(number, batch, attempt)
            except ConnectionLost as error:
                losses -= 1
                self._delivered.clear()  # who comes back may have lost its files
                broken = 0 if attempt.sampled else broken + 1
                if broken >= _CONNECTION_TRIES:
                    raise
                self.progress.say(f"{error.message} Trying again.")
            except DeviceLost as error:
                self.progress.say(f"{error.message} Trying again.")
                if not attempt.greeted:
                    anonymous += 1
                    if anonymous >= _TRIES:
                        raise  # the device is in trouble, not an operator
                    continue
                culprit = attempt.loading or (batch[0].name if len(batch) == 1 else None)
                if culprit is None:
                    anonymous += 1
                    if anonymous >= _TRIES:
                        self._bisect(number, batch)
                        return
                    continue
                suspects[culprit] = suspects.get(culprit, 0) + 1
                if suspects[culprit] >= _TRIES:
                    self._fail(culprit, "crash", f"the runner died on it twice: {error.message}")
            except DeviceTimeout:
                anonymous += 1
                if anonymous >= _TRIES:
                    raise

    def _bisect(self, number: int, batch: list[TimedItem]) -> None:
        middle = len(batch) // 2
        self._batch(number, batch[:middle])
        self._batch(number, batch[middle:])

    def _still_open(self, number: int, batch: list[TimedItem]) -> list[TimedItem]:
        done, failed = self.journal.rounds_done(number), self.journal.failures()
        rounds = self.settings.effort.rounds
        return [
            item for item in batch if item.name not in failed and done.get(item.name, 0) < rounds
        ]

    def _fail(self, name: str, kind: str, message: str) -> None:
        self.journal.add_failure(name, kind, message)
        self.progress.say(f"failed: {name}: {message}")

    # --- one plan

    def _run_plan(self, number: int, batch: list[TimedItem], attempt: LaunchProgress) -> None:
        done = self.journal.rounds_done(number)
        fewest = min(done.get(item.name, 0) for item in batch)
        plan = self._plan(number, batch, self.settings.effort.rounds - fewest, fewest)
        sink = SampleBuffer(self.journal, number, self._names, done, self.settings.effort.rounds)
        try:
            for record in self.agent.run(plan):
                self._take(record, attempt, sink)
        finally:
            sink.flush()

    def _take(self, record: Record, attempt: LaunchProgress, sink: SampleBuffer) -> None:
        match record:
            case Hello():
                attempt.greeted = True
                self.journal.add_hello(record)
            case Begin():
                attempt.loading = self._names.get(record.item, self.sentinel.name)
            case Loaded():
                attempt.loading = None
                if record.placement is not None and record.item in self._names:
                    self.journal.add_placement(self._names[record.item], record.placement)
            case Failure():
                attempt.loading = None
                if record.item in self._names:
                    self._fail(self._names[record.item], record.kind, record.message)
            case Sample():
                attempt.sampled = True
                if sink.add(record):
                    self.progress.advance()
            case Sentinel():
                sink.sentinels.append(record)

    def _plan(self, number: int, batch: list[TimedItem], rounds: int, skipped: int) -> Plan:
        settings, effort = self.settings, self.settings.effort
        order = random.Random(f"{settings.seed} {number} {skipped} {len(batch)}")  # noqa: S311
        watched = self.sentinel.name not in self.journal.failures()
        items = [self._plan_item(item, self._ids[item.name]) for item in batch]
        order.shuffle(items)
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
            items=(*items, *([self._plan_item(self.sentinel, SENTINEL_ID)] if watched else [])),
        )

    def _plan_item(self, item: TimedItem, number: int) -> PlanItem:
        artefact = item.artefact
        if artefact.sha256 not in self._delivered:
            place = self.agent.deliver(artefact.path, artefact.sha256)
            self._delivered[artefact.sha256] = place
        return PlanItem(
            id=number,
            file=self._delivered[artefact.sha256],
            sha256=artefact.sha256,
            loops=self.settings.effort.network_loops if item.is_network else 0,
        )
