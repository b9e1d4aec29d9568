"""Load before and between the passes of a table of the sustained state.

A device slows down under load for minutes, and recovers within seconds of rest. So it calls the
campaign's own programs without a pause, for as long as asked for before the first launch of the
runner and again before each further one, and what is timed is a device that did not rest.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.verification.sustained import Sustained, SustainedMinute
from device_agents.base import DeviceAgent
from device_agents.protocol import Loaded, Record, Sample, Sentinel
from profiler.journal import Journal
from profiler.measuring.items import TimedItem
from profiler.measuring.sustained.sustain import Load, Sustain
from profiler.settings import CampaignSettings
from search.console.progress import Progress, Silent
from search.errors import DeviceError
from search.table.protocol import SustainedLoad

# So many programs take turns; more would take longer to load than they add.
_PROGRAMS = 4
# Long, as hardly anything is read off these blocks.
BLOCK_NS = 20_000_000
# Seconds under load for each second of rest; the fewest and the most before a further launch.
_LOAD_PER_REST, _LEAST_AGAIN_S, _MOST_AGAIN_S = 20.0, 3.0, 60.0
# A change of the last minute, and a share of rest, that are worth a note.
_SETTLED, _MOST_REST = 0.02, 0.1
_FACT = "sustained load"


@dataclass(kw_only=True)
class Heating:
    """Keeps a campaign's device under load; tells the journal what came of it.

    By the device's clock. It rests while nothing is timed and nothing is loaded: a runner starts,
    or the campaign thinks.
    """

    settings: CampaignSettings
    agent: DeviceAgent
    journal: Journal
    items: Sequence[TimedItem]
    progress: Progress
    _begun: bool = field(init=False, default=False)
    _first_ns: int = field(init=False, default=0)
    _last_ns: int = field(init=False, default=0)
    _rested_ns: int = field(init=False, default=0)
    _launch: "_Launch" = field(init=False)

    def __post_init__(self) -> None:
        self._launch = _Launch()

    def begin(self) -> None:
        """Load the device for all the time asked for, once; a campaign that goes on begins anew.

        Raises:
            DeviceError: It can run none of the programs.
            DeviceLost, DeviceTimeout: It is lost again and again.
        """
        if self._begun:
            return
        self._begun = True
        load = self._load(self._sustain_s, self.progress)
        self._first_ns, self._last_ns = load.began_ns, load.ended_ns
        self._write(_load_of(self._sustain_s, load.minutes))

    def before_launch(self) -> None:
        """Load the device again, for so long that its rests are a small part of the time.

        Raises:
            As `begin`.
        """
        before, self._launch = self._launch, _Launch()
        if not before.timed:
            return
        # Once more before the next launch as before this one.
        needed_s = (_LOAD_PER_REST * 2 * before.rest_ns - before.busy_ns) / 1e9
        again_s = min(max(_LEAST_AGAIN_S, needed_s), _MOST_AGAIN_S)
        load = self._load(again_s, Silent())
        self._rested_ns += max(0, load.began_ns - self._last_ns)
        self._last_ns = load.ended_ns

    def note(self, record: Record) -> None:
        """Take a record of a launch."""
        if isinstance(record, Loaded):
            self._launch.loading_ns += record.load_ns
        if isinstance(record, Sample | Sentinel):
            self._launch.add(record, self._last_ns)
            self._last_ns = record.at_ns

    def after_launch(self) -> None:
        """State how long the device has rested so far."""
        self._rested_ns += self._launch.rest_ns
        known = sustained_load(self.journal)
        if known is not None and self._last_ns > self._first_ns:
            share = self._rested_ns / (self._last_ns - self._first_ns)
            self._write(known.model_copy(update={"rest_share": min(share, 1.0)}))

    @property
    def _sustain_s(self) -> float:
        assert self.settings.sustain_s is not None
        return self.settings.sustain_s

    def _write(self, load: SustainedLoad) -> None:
        self.journal.set_fact(_FACT, load.model_dump_json())

    def _load(self, seconds: float, progress: Progress) -> Load:
        """Call programs in turn; where one of them cannot be called, others."""
        groups = _groups(self.items, set(self.journal.failures()))
        for left, group in zip(reversed(range(len(groups))), groups, strict=True):
            sustain = Sustain(
                artefacts={item.name: item.artefact for item in group},
                agent=self.agent,
                settings=self.settings,
                progress=progress,
                block_ns=BLOCK_NS,
            )
            try:
                return sustain.load(seconds)
            except DeviceError:
                if not left:
                    raise
        raise DeviceError("No program is left to load the device with.", "See the failures above.")


@dataclass
class _Launch:
    """One launch of the runner, in nanoseconds: its rest before the first block, and its work."""

    loading_ns: int = 0
    rest_ns: int = 0
    busy_ns: int = 0
    timed: bool = False
    _first_ns: int = 0

    def add(self, block: Sample | Sentinel, before_ns: int) -> None:
        """A block, and when the one before it ended."""
        if not self.timed:
            self.timed, self._first_ns = True, block.at_ns - block.ns
            self.rest_ns = max(0, self._first_ns - before_ns - self.loading_ns)
        self.busy_ns = block.at_ns - self._first_ns + self.loading_ns


def _groups(items: Sequence[TimedItem], failed: set[str]) -> list[list[TimedItem]]:
    """Whole networks, or what there is without them, a few at a time."""
    able = [item for item in items if item.name not in failed]
    chosen = [item for item in able if item.is_network] or able
    every = range(0, len(chosen), _PROGRAMS)
    return [list(chosen[start : start + _PROGRAMS]) for start in every]


def _load_of(seconds: float, minutes: tuple[SustainedMinute, ...]) -> SustainedLoad:
    """What the first load did to the device; little where others took the core all the time."""
    if not minutes:
        return SustainedLoad(load_s=seconds)
    run = Sustained(asked_s=seconds, minutes=minutes)
    first, last = run.first, run.last
    before = [one for one in minutes if one.number < last.number][-1:]
    return SustainedLoad(
        load_s=seconds,
        slowdown=_median_ratio(last, first) if last is not first else None,
        last_change=_median_ratio(last, before[0]) if before else None,
        clock_first_khz=_whole(first.clock_khz),
        clock_last_khz=_whole(last.clock_khz),
        temperature_first_c=first.temperature_c,
        temperature_last_c=last.temperature_c,
    )


def _median_ratio(last: SustainedMinute, first: SustainedMinute) -> float | None:
    """How many times as long the median program takes."""
    before: Mapping[str, float] = first.latency_us
    ratios = [us / before[name] for name, us in last.latency_us.items() if name in before]
    return statistics.median(ratios) if ratios else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def sustained_load(journal: Journal) -> SustainedLoad | None:
    """The load that a campaign's device was under; None of the burst."""
    text = journal.fact(_FACT)
    return None if text is None else SustainedLoad.model_validate(json.loads(text))


def sustained_notes(journal: Journal) -> tuple[str, ...]:
    """What to say of a device that had not settled, or that rested a good part of the time."""
    load = sustained_load(journal)
    if load is None:
        return ()
    notes = []
    if load.last_change is not None and abs(load.last_change - 1) > _SETTLED:
        change = f"{load.last_change - 1:+.1%} in the last minute"
        notes.append(f"the device had not settled under load ({change}): give a longer --sustain")
    if load.rest_share is not None and load.rest_share > _MOST_REST:
        notes.append(f"between launches the device rested {load.rest_share:.0%} of the time")
    return tuple(notes)
