"""Whole networks timed on a device, as the exam of a table times them.

The loops, warm-ups, passes and the random interleaved order are those of a
campaign, so that what is measured here and what a table predicts are times of
the same thing. Operators and networks of a table (anchors) can be timed in between, as a
campaign times them. The journal lives in a temporary folder; nothing is kept.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Self, TypeVar

from deploy.artefact import Artefact, ExportSpec
from deploy.build import collect
from deploy.exporters.registry import exporter_entry
from device_agents.base import DeviceAgent
from device_agents.protocol import Hello
from profiler.analysis.blocks import Clock, clock_of
from profiler.analysis.judge import Measurement
from profiler.journal import Journal
from profiler.measuring.items import TimedItem
from profiler.measuring.loop import MeasuringLoop
from profiler.planning.cores import check_device_cores
from profiler.results.judged import judge_items, unstable_networks
from profiler.settings import CampaignSettings
from search.console.progress import Progress
from search.errors import DeviceError, UsageError
from search.operators.counts import count

_SENTINEL = "sentinel "
_ANCHOR = "anchor "
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTime:
    """One network's latency: the mean over passes of the median block.

    Microseconds a call, stated at `clock_khz`, the run's median clock (None:
    no runner measured it, and times are not restated). The interval is
    Student's t over the passes of this run; other days are not in it. `rejected`
    counts blocks that were disturbed and left out.
    """

    name: str
    centre_us: float
    low_us: float
    high_us: float
    first_us: float | None
    blocks: int
    passes: int
    stable: bool
    clock_khz: int | None
    rejected: int = 0

    def scaled(self, factor: float) -> "NetworkTime":
        """The same measurement with its times multiplied."""
        return replace(
            self,
            centre_us=self.centre_us * factor,
            low_us=self.low_us * factor,
            high_us=self.high_us * factor,
            first_us=None if self.first_us is None else self.first_us * factor,
        )

    def at_clock(self, clock_khz: int | None) -> "NetworkTime":
        """Restated at another clock; unchanged where either is unknown."""
        if not clock_khz or not self.clock_khz:
            return self
        return self.scaled(self.clock_khz / clock_khz)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTimes:
    """Networks that were timed in one run, and why others were not.

    `preempted` counts the blocks of networks of which none ran undisturbed.
    `anchors` are operators and networks of a table that were timed in between, by name, and
    `failed_anchors` the reasons of those that were not.
    """

    timed: Mapping[str, NetworkTime]
    failed: Mapping[str, str]
    artefacts: Mapping[str, Artefact]
    hello: Hello | None
    clock: Clock | None
    preempted: Mapping[str, int] = field(default_factory=dict)
    anchors: Mapping[str, NetworkTime] = field(default_factory=dict)
    failed_anchors: Mapping[str, str] = field(default_factory=dict)


def time_networks(
    exports: Sequence[ExportSpec],
    agent: DeviceAgent,
    settings: CampaignSettings,
    progress: Progress,
    workers: int | None = None,
    anchors: Sequence[ExportSpec] = (),
    ready: Sequence[TimedItem] = (),
) -> NetworkTimes:
    """Build what is not built yet, then time all networks in one interleaved run.

    Those that are `ready`, files that are no list of operators, are timed among them.

    A network that cannot be built or executed is named in `failed`; the
    others continue. Anchors are timed as a campaign times them, never cause extra passes,
    and may stand alone.

    Every pass visits all of them.

    Raises:
        UsageError: Nothing to be timed, or two of one name.
        DeviceError: The sentinel could not be built.
        DeviceLost, DeviceTimeout: The device, after the usual second try.
    """
    settings = replace(settings, effort=replace(settings.effort, networks_every=1))
    check_device_cores(agent.info(), settings.threads, settings.affinity)
    names = [*(export.name for export in exports), *(item.name for item in ready)]
    if not (names or anchors) or len(set(names)) != len(names):
        raise UsageError("Networks to be timed must be named, and differently.")
    singles = [replace(anchor, name=_ANCHOR + anchor.name) for anchor in anchors]
    built = _Built.of(exports, singles, settings, progress, workers)
    artefacts, failed = dict(built.artefacts), built.failed
    whole = {*names, *(anchor.name for anchor in singles if len(anchor.operators) > 1)}
    items = [
        TimedItem(name=name, artefact=artefact, is_network=name in whole)
        for name, artefact in artefacts.items()
    ]
    items += ready
    artefacts |= {item.name: item.artefact for item in ready}
    networks = tuple(name for name in artefacts if name in names)
    with (
        tempfile.TemporaryDirectory(prefix="kit-timing-") as folder,
        Journal(Path(folder) / "journal.sqlite", settings.identity) as journal,
    ):
        if networks or not names:
            MeasuringLoop(
                settings=settings,
                agent=agent,
                journal=journal,
                items=items,
                sentinel=built.sentinel or _smallest(ready),
                progress=progress,
                unsettled=partial(unstable_networks, networks, journal, settings),
            ).run()
        return _timing(journal, settings, artefacts, failed, names)


@dataclass(frozen=True, slots=True)
class _Built:
    """Files by name, why others have none, and the operator that drift is watched by."""

    artefacts: Mapping[str, Artefact]
    failed: Mapping[str, str]
    sentinel: TimedItem | None

    @classmethod
    def of(
        cls,
        exports: Sequence[ExportSpec],
        singles: Sequence[ExportSpec],
        settings: CampaignSettings,
        progress: Progress,
        workers: int | None,
    ) -> Self:
        """Build networks, anchors and sentinel; nothing where there are none."""
        if not (exports or singles):
            return cls({}, {}, None)
        sentinel = sentinel_of(exports or singles)
        artefacts, failed = _build((*exports, *singles), sentinel, settings, progress, workers)
        artefact = artefacts.pop(sentinel.name)
        return cls(
            artefacts, failed, TimedItem(name=sentinel.name, artefact=artefact, is_network=False)
        )


def _build(
    exports: Sequence[ExportSpec],
    sentinel: ExportSpec,
    settings: CampaignSettings,
    progress: Progress,
    workers: int | None,
) -> tuple[dict[str, Artefact], dict[str, str]]:
    """Artefacts of all items and the sentinel by name, and why others could not be built."""
    entry = exporter_entry(settings.backend, settings.dtype)
    artefacts, reasons = collect((*exports, sentinel), entry, workers, progress=progress)
    failed = {name: f"export: {reason}" for name, reason in reasons.items()}
    if sentinel.name in failed:
        raise DeviceError(
            f"The sentinel could not be built: {failed[sentinel.name]}",
            "Nothing can be timed without it.",
        )
    return artefacts, failed


def _smallest(ready: Sequence[TimedItem]) -> TimedItem:
    """Where no operator is built, the smallest of the networks is what drift is watched by."""
    item = min(ready, key=lambda one: (one.artefact.size_bytes, one.name))
    return replace(item, name=_SENTINEL + item.name, is_network=False)


def sentinel_of(exports: Sequence[ExportSpec]) -> ExportSpec:
    """The operator of median FLOPs among those of the networks."""
    operators = {
        operator for export in exports for operator in export.operators if operator.kind != "skip"
    }
    ranked = sorted(operators, key=lambda operator: (count(operator).flops, operator.key))
    operator = ranked[len(ranked) // 2]
    return ExportSpec(name=_SENTINEL + operator.key, operators=(operator,))


def _timing(
    journal: Journal,
    settings: CampaignSettings,
    artefacts: Mapping[str, Artefact],
    failed: Mapping[str, str],
    networks: Sequence[str],
) -> NetworkTimes:
    judged, hellos = judge_items(journal, settings).by_name, journal.hellos()
    clock = clock_of(chain.from_iterable(journal.blocks().values()))
    reasons = {
        name: f"{failure.kind}: {failure.message}" for name, failure in journal.failures().items()
    }
    tried = {name: len(blocks) for name, blocks in journal.blocks().items()}
    never = {
        name: f"preempted: none of {tried.get(name, 0)} blocks ran undisturbed; "
        "end other programs, or give other cores with --affinity"
        for name in artefacts
        if name not in judged and name not in reasons
    }
    timed = {
        name: _timed(name, judged[name], clock)
        for name in artefacts
        if name in judged and name not in reasons
    }
    all_failed = {**failed, **reasons, **never}
    return NetworkTimes(
        timed={name: time for name, time in timed.items() if name in networks},
        failed={name: reason for name, reason in all_failed.items() if name in networks},
        artefacts={name: artefact for name, artefact in artefacts.items() if name in networks},
        hello=hellos[0] if hellos else None,
        clock=clock,
        preempted={name: tried[name] for name in never if name in networks and name in tried},
        anchors=_of_anchors(timed),
        failed_anchors=_of_anchors(all_failed),
    )


def _of_anchors(items: Mapping[str, _T]) -> dict[str, _T]:
    """Those that are anchors, by their own names."""
    return {
        name.removeprefix(_ANCHOR): one for name, one in items.items() if name.startswith(_ANCHOR)
    }


def _timed(name: str, judged: Measurement, clock: Clock | None) -> NetworkTime:
    return NetworkTime(
        name=name,
        centre_us=judged.centre_us,
        low_us=judged.low_us,
        high_us=judged.high_us,
        first_us=judged.first_us,
        blocks=judged.blocks,
        passes=judged.passes,
        stable=judged.stable,
        rejected=judged.rejected,
        clock_khz=clock.median_khz if clock else None,
    )
