"""Networks called for minutes without a pause, in plans of some seconds each."""

import math
import statistics
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.artefact import Artefact
from deploy.verification.sustained import Sustained, SustainedMinute
from device_agents.base import DeviceAgent
from device_agents.protocol import Failure, Plan, PlanItem, Sample
from profiler.settings import CampaignSettings
from search.console.messages import counted
from search.console.progress import Progress
from search.errors import DeviceError, DeviceLost, DeviceTimeout
from search.files import sha256_file

# Short, so that others rarely take the core in the middle of one.
_BLOCK_NS = 5_000_000
# A plan lasts about that long, so that its start is a small part of it.
_PLAN_S = 30.0
_MINUTE_S = 60.0
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustain:
    """The networks, by name, and the agent that calls them, open; `inputs` by network."""

    artefacts: Mapping[str, Artefact]
    agent: DeviceAgent
    settings: CampaignSettings
    progress: Progress
    inputs: Mapping[str, Path | None] = field(default_factory=dict)
    block_ns: int = _BLOCK_NS

    def run(self, seconds: float) -> Sustained:
        """Call them in turn for so long, by the device's clock.

        Ctrl-C, and a device that is lost again and again, end it: what was measured by then is
        the result, and says so.

        Raises:
            DeviceError: The device cannot run a network, or told no block at all.
        """
        self.progress.stage("sustained", math.ceil(seconds))
        samples = self._samples(seconds)
        ended = ""
        try:
            self._call(samples)
        except KeyboardInterrupt:
            ended = "interrupted"
        except (DeviceLost, DeviceTimeout) as error:
            ended = error.message
        minutes = samples.minutes()
        if not minutes:
            why = f": {ended}" if ended else ""
            raise DeviceError(
                f"The sustained run has no undisturbed block{why}.",
                "Others took the core in every one: end other programs, or give other cores.",
            )
        return Sustained(asked_s=seconds, minutes=minutes, ended=ended)

    def load(self, seconds: float) -> "Load":
        """Only keep the device busy for so long; minutes without an undisturbed block are left out.

        Raises:
            DeviceError: The device cannot run a network.
            DeviceLost, DeviceTimeout: It is lost again and again.
        """
        self.progress.stage("load", math.ceil(seconds))
        samples = self._samples(seconds)
        self._call(samples)
        return Load(minutes=samples.minutes(), began_ns=samples.began_ns, ended_ns=samples.ended_ns)

    def _samples(self, seconds: float) -> "_Samples":
        return _Samples(names=list(self.artefacts), seconds=seconds, progress=self.progress)

    def _call(self, samples: "_Samples") -> None:
        """Launch plans until the time is over; a device that is lost is tried again."""
        items = [self._item(number, name) for number, name in enumerate(self.artefacts)]
        failures = 0
        while not samples.complete:
            before = samples.count
            try:
                self._launch(items, samples)
            except (DeviceLost, DeviceTimeout):
                failures = 1 if samples.count > before else failures + 1
                if failures == _TRIES:
                    raise

    def _item(self, number: int, name: str) -> PlanItem:
        artefact, given = self.artefacts[name], self.inputs.get(name)
        return PlanItem(
            id=number,
            file=self.agent.deliver(artefact.path, artefact.sha256),
            sha256=artefact.sha256,
            input=self.agent.deliver(given, sha256_file(given)) if given else None,
        )

    def _launch(self, items: Sequence[PlanItem], samples: "_Samples") -> None:
        block_s = 1.2 * self.block_ns / 1e9
        plan = Plan(
            nonce=uuid.uuid4().hex,
            backend=self.settings.backend,
            threads=self.settings.threads,
            affinity=self.settings.affinity,
            order_seed=self.settings.seed + samples.count,
            rounds=max(1, math.ceil(min(_PLAN_S, samples.left_s) / block_s / len(items))),
            warmup=1,
            min_block_ns=self.block_ns,
            cool=False,
            items=tuple(items),
        )
        records = self.agent.run(plan)
        try:
            for record in records:
                if isinstance(record, Failure):
                    raise DeviceError(
                        f"The device cannot run {samples.names[record.item]} "
                        f"({record.kind}): {record.message}."
                    )
                if isinstance(record, Sample):
                    samples.add(record)
                    if samples.complete:
                        return
        finally:
            close = getattr(records, "close", None)
            if close is not None:
                close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A time under load: its minutes, and its begin and end by the device's clock."""

    minutes: tuple[SustainedMinute, ...]
    began_ns: int
    ended_ns: int


@dataclass
class _Samples:
    """Blocks by minute of the device's clock, as they come; disturbed ones only count as time."""

    names: Sequence[str]
    seconds: float
    progress: Progress
    count: int = 0
    complete: bool = False
    began_ns: int = 0
    ended_ns: int = 0
    _told_s: int = 0
    _blocks: dict[int, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    _finished: dict[int, SustainedMinute] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Take a block; tells of each minute that is over."""
        self.count += 1
        if self.count == 1:
            self.began_ns = sample.at_ns - sample.ns
        self.ended_ns = sample.at_ns
        elapsed_s = (sample.at_ns - self.began_ns) / 1e9
        minute = min(int(elapsed_s / _MINUTE_S), math.ceil(self.seconds / _MINUTE_S) - 1)
        for number in range(int(self._told_s / _MINUTE_S), minute):
            self._tell(number)
        whole = min(int(elapsed_s), math.ceil(self.seconds))
        self.progress.advance(max(0, whole - self._told_s))
        self._told_s = max(self._told_s, whole)
        if not sample.switches:
            self._blocks[minute].append(sample)
        self.complete = elapsed_s >= self.seconds

    @property
    def left_s(self) -> float:
        """What is left of the time, by the last block."""
        return max(0.0, self.seconds - self._told_s)

    def minutes(self) -> tuple[SustainedMinute, ...]:
        """Those with an undisturbed block."""
        for number in sorted(self._blocks):
            self._finish(number)
        return tuple(self._finished[number] for number in sorted(self._finished))

    def _finish(self, number: int) -> SustainedMinute:
        """Keep a minute's medians in place of its blocks: a day has millions."""
        self._finished[number] = self._minute(number)
        del self._blocks[number]
        return self._finished[number]

    def _tell(self, number: int) -> None:
        if number not in self._blocks:
            return
        one = self._finish(number)
        shown = [f"{name} {us / 1e3:.3f} ms" for name, us in list(one.latency_us.items())[:3]]
        more = len(one.latency_us) - len(shown)
        rest = f" and {counted(more, 'more network')}" if more > 0 else ""
        clock = f", {one.clock_khz / 1e6:.2f} GHz" if one.clock_khz else ""
        heat = f", {one.temperature_c:.0f} C" if one.temperature_c is not None else ""
        self.progress.say(f"minute {one.number}: {', '.join(shown)}{rest}{clock}{heat}")

    def _minute(self, number: int) -> SustainedMinute:
        blocks = self._blocks[number]
        by_name: dict[str, list[float]] = defaultdict(list)
        for block in blocks:
            by_name[self.names[block.item]].append(block.ns / block.loops / 1e3)
        clocks = [block.freq_khz for block in blocks if block.freq_khz]
        heat = [block.temperature_mc for block in blocks if block.temperature_mc is not None]
        states = [block.thermal_state for block in blocks if block.thermal_state is not None]
        return SustainedMinute(
            number=number + 1,
            latency_us={
                name: statistics.median(by_name[name]) for name in self.names if name in by_name
            },
            blocks=len(blocks),
            clock_khz=statistics.median(clocks) if clocks else None,
            temperature_c=statistics.median(heat) / 1000 if heat else None,
            thermal_state=states[-1] if states else None,
        )
