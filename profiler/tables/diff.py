"""Two tables compared operator by operator: the changes that are more than noise.

Each operator's change is a ratio of medians whose standard error comes from
both intervals. Over hundreds of operators some will look changed by chance:
the false discovery rate is held by Benjamini and Hochberg's step-up procedure
(JRSS B 57, 1995). A change counts when it is significant *and* larger than
`threshold`.

Rows are compared, never raw blocks: a row measured as a slope over chains is a
time with an interval like any other. What a call costs in addition (the chains'
intercept) and where operators ran are stated beside them.

Where both tables record the clock that they are stated at, and ran on one kind of core
of one processor, the new one is first restated at the clock of the old one.

All operators may then have moved together, because a machine is not equally fast
every day. The common change is stated with an interval. Between two runs of one
setting it is the machine's state, and taken out before operators are judged; beyond
`MOST_CHANGE` it is flagged as more than a state should be. It is taken out only within
`threshold`, and a larger one is left in so that all operators show it, where it may be
what was asked about (different settings: runtime, threads, device) and where operators
scatter around it by more than `MOST_SPREAD` (they have then nothing in common).
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats as scipy_stats

from profiler.analysis.arrays import Flags
from profiler.analysis.machine_factor import (
    MOST_CHANGE,
    MOST_SPREAD,
    RobustCentre,
    robust_centre,
)
from profiler.tables.clocks import Clocks, clocks_of, processors_in_common
from profiler.tables.versions import exporter_of, find_parent
from search.console.messages import counted
from search.errors import KitError, TableError
from search.operators.spec import parse_key
from search.operators.words import space_label
from search.table.entries import Entry
from search.table.manifest import DeviceInfo, Manifest
from search.table.processors import differing_facts
from search.table.store import Table, read_table

DEFAULT_THRESHOLD = 0.05
# Two runs of one machine differ by more than the intervals inside each: the
# layout of memory, the neighbours of a virtual machine. Taken as part of the
# standard error of every operator.
BETWEEN_RUNS = 0.01
# With fewer operators a change of some cannot be told from one of all.
MIN_COMMON = 20
_Z = 1.96

CommonKind = Literal["none", "state", "small", "kept", "unequal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One operator in both tables.

    `ratio` and its interval are new over old after the common change was
    taken out; `new_us` is restated at the old table's clock. `unstable` is True where
    one of the rows is wider than its table asked for.
    """

    key: str
    old_us: float
    new_us: float
    ratio: float
    low: float
    high: float
    p_value: float
    significant: bool
    verdict: str
    unstable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that differs between two tables.

    `identity` names what else differs in the setting. `clocks` is None unless both
    tables state theirs; it records whether times are restated. `dispatch_us` is the
    chains' intercept, old and new, restated as the rows are; None unless both were
    measured as chains. `moved` are the keys of operators that ran on another unit,
    with the units before and after. `unknown_processor` is why the tables may be of
    two processors, None where that is known.

    `common_change` is what all operators have in common, with its 95 % interval
    (`common_low`, `common_high`) and the operators' standard deviation around it
    (`common_spread`). `common_kind` is "state" where it is the machine's and was taken
    out, "small" where it was taken out though settings differ or operators scatter,
    "kept" (settings differ) and "unequal" (they scatter) where operators show it, and
    "none" where they are too few to tell: the others are then None.

    `median_absolute` and `p95_absolute` are over operators, as they are judged: less the
    common change where it was taken out. `predicted` counts operators
    that one of the tables only predicts: they are not compared.
    """

    identity: tuple[str, ...]
    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    clocks: Clocks | None
    dispatch_us: tuple[float, float] | None
    moved: tuple[tuple[str, str, str], ...]
    common_change: float | None
    median_absolute: float
    p95_absolute: float
    predicted: int = 0
    unknown_processor: str | None = None
    common_low: float | None = None
    common_high: float | None = None
    common_spread: float | None = None
    common_kind: CommonKind = "none"

    @property
    def is_state_beyond_bounds(self) -> bool:
        """Whether the machine's state changed by more than two tables should differ by."""
        change = self.common_change
        return self.common_kind == "state" and change is not None and _is_large(change)

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Operators that became slower."""
        return tuple(change for change in self.changes if change.verdict == "slower")

    @property
    def improvements(self) -> tuple[Change, ...]:
        """Operators that became faster."""
        return tuple(change for change in self.changes if change.verdict == "faster")


def compare_tables(
    old: Table, new: Table, *, threshold: float = DEFAULT_THRESHOLD, fdr: float = 0.05
) -> Difference:
    """Compare operator by operator.

    Args:
        old: The table to compare with.
        new: The table to judge.
        threshold: Smallest relative change that counts.
        fdr: False discovery rate.

    Raises:
        TableError: The tables share no operator.
    """
    clocks = clocks_of(old.manifest, new.manifest)
    speed = clocks.speed if clocks else 1.0
    before = {entry.key: _times(entry, 1.0) for entry in _comparable(old)}
    after = {entry.key: _times(entry, speed) for entry in _comparable(new)}
    shared = [key for key in before if key in after]
    if not shared:
        raise TableError(
            f"{old.label} and {new.label} share no measured operator.",
            "Compare tables of the same space, resolution and dtype, with intervals.",
        )
    identity = identity_differences(old.manifest, new.manifest)
    follow = {key: _sensitivity(old, new, key) for key in shared}
    common = _common_log_ratio([(before[key], after[key], follow[key]) for key in shared])
    kind = _common_kind(common, identity, threshold)
    taken_out = common.value if common and kind in ("state", "small") else 0.0
    ratios = [_ratio(before[key], after[key], taken_out * follow[key]) for key in shared]
    significant = benjamini_hochberg([ratio.p_value for ratio in ratios], fdr)
    wide = {e.key for e in (*old.entries, *new.entries) if e.status == "unstable"}
    changes = tuple(
        replace(
            _change(key, before[key], after[key], ratio, bool(flag), threshold),
            unstable=key in wide,
        )
        for key, ratio, flag in zip(shared, ratios, significant, strict=True)
    )
    absolute = np.abs([change.ratio - 1 for change in changes])
    likeness = processors_in_common(old.manifest, new.manifest)
    predicted = {e.key for e in (*old.entries, *new.entries) if e.status == "predicted"}
    return Difference(
        identity=identity,
        changes=changes,
        only_old=tuple(key for key in before if key not in after and key not in predicted),
        only_new=tuple(key for key in after if key not in before and key not in predicted),
        clocks=clocks,
        dispatch_us=_dispatch_us(old.manifest, new.manifest, speed),
        moved=_moved(old.manifest, new.manifest),
        common_change=math.expm1(common.value) if common else None,
        median_absolute=float(np.median(absolute)),
        p95_absolute=float(np.percentile(absolute, 95)),
        predicted=len(predicted),
        unknown_processor=likeness.reason if likeness.verdict == "unknown" else None,
        common_low=math.expm1(common.low) if common else None,
        common_high=math.expm1(common.high) if common else None,
        common_spread=common.spread if common else None,
        common_kind=kind,
    )


def _comparable(table: Table) -> list[Entry]:
    """Rows that were measured and have an interval; nothing else can be compared."""
    return [e for e in table.entries if e.status in ("ok", "unstable") and e.has_interval]


def _dispatch_us(old: Manifest, new: Manifest, speed: float) -> tuple[float, float] | None:
    before, after = old.protocol.chain_intercept_us, new.protocol.chain_intercept_us
    return None if before is None or after is None else (before, after * speed)


def _moved(old: Manifest, new: Manifest) -> tuple[tuple[str, str, str], ...]:
    """Operators whose unit is known in both tables and differs."""
    before, after = old.protocol.placements, new.protocol.placements
    return tuple(
        (key, unit, after[key]) for key, unit in before.items() if after.get(key, unit) != unit
    )


class _Times(NamedTuple):
    """A row's time and its 95 % interval, in microseconds at the old table's clock."""

    centre_us: float
    low_us: float
    high_us: float

    @property
    def log_error(self) -> float:
        """Standard error of the logarithm."""
        return math.log(self.high_us / self.low_us) / 2 / _Z


def _times(entry: Entry, speed: float) -> _Times:
    time = entry.known_time
    assert time.low_us is not None
    assert time.high_us is not None
    return _Times(time.centre_us * speed, time.low_us * speed, time.high_us * speed)


def _sensitivity(old: Table, new: Table, key: str) -> float:
    """By which share an operator follows the machine's state, as far as the tables know."""
    known = [
        entry.spread.state_sensitivity
        for table in (old, new)
        if (entry := table.lookup(parse_key(key))).spread.state_sensitivity is not None
    ]
    return float(np.mean(known)) if known else 1.0


def _common_log_ratio(pairs: Sequence[tuple[_Times, _Times, float]]) -> RobustCentre | None:
    """Robust centre of new over old, in logarithms, of an operator of average sensitivity.

    None where operators are too few for one.
    """
    if len(pairs) < MIN_COMMON:
        return None
    return robust_centre(
        [math.log(new.centre_us / old.centre_us) / share for old, new, share in pairs],
        [math.hypot(old.log_error, new.log_error) / share for old, new, share in pairs],
    )


def _common_kind(
    common: RobustCentre | None, identity: Sequence[str], threshold: float
) -> CommonKind:
    """What the common change is, by whether settings are equal and operators agree on it."""
    if common is None:
        return "none"
    if not identity and common.spread <= MOST_SPREAD:
        return "state"
    if abs(common.value) <= math.log1p(threshold):
        return "small"
    return "kept" if identity else "unequal"


def _is_large(change: float) -> bool:
    return abs(math.log1p(change)) > math.log1p(MOST_CHANGE)


class _Ratio(NamedTuple):
    """New over old with its 95 % interval, and the p-value of 'changed no more than all'."""

    value: float
    low: float
    high: float
    p_value: float


def _ratio(old: _Times, new: _Times, common: float) -> _Ratio:
    """The ratio after the common log ratio was taken out."""
    log_ratio = math.log(new.centre_us / old.centre_us) - common
    error = math.sqrt(old.log_error**2 + new.log_error**2 + 2 * BETWEEN_RUNS**2)
    return _Ratio(
        value=math.exp(log_ratio),
        low=math.exp(log_ratio - _Z * error),
        high=math.exp(log_ratio + _Z * error),
        p_value=2 * float(scipy_stats.norm.sf(abs(log_ratio) / error)),
    )


def _change(
    key: str, old: _Times, new: _Times, ratio: _Ratio, significant: bool, threshold: float
) -> Change:
    verdict = "same"
    if significant and ratio.value > 1 + threshold:
        verdict = "slower"
    elif significant and ratio.value < 1 / (1 + threshold):
        verdict = "faster"
    return Change(
        key=key,
        old_us=old.centre_us,
        new_us=new.centre_us,
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
        p_value=ratio.p_value,
        significant=significant,
        verdict=verdict,
    )


def benjamini_hochberg(p_values: Sequence[float], rate: float) -> Flags:
    """True for hypotheses that are rejected with the false discovery rate below `rate`."""
    adjusted = scipy_stats.false_discovery_control(p_values, method="bh")
    return np.asarray(adjusted <= rate)


def identity_differences(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """Differences of the setting: with any, not two runs of one setting are compared."""
    pairs = {
        "device": (old.device.model, new.device.model),
        **_processors(old.device, new.device),
        "OS build": (old.device.os_build, new.device.os_build),
        "runtime": (
            f"{old.runtime.name} {old.runtime.version}",
            f"{new.runtime.name} {new.runtime.version}",
        ),
        "exporter": (exporter_of(old), exporter_of(new)),
        "backend": (old.runtime.backend, new.runtime.backend),
        "runner": (
            f"{old.runtime.runner} {(old.runtime.runner_sha256 or '')[:8]}",
            f"{new.runtime.runner} {(new.runtime.runner_sha256 or '')[:8]}",
        ),
        "threads": (old.protocol.threads, new.protocol.threads),
        "chains": (_lengths(old), _lengths(new)),
        "affinity": (old.protocol.affinity_observed, new.protocol.affinity_observed),
        "state": (old.load_state, new.load_state),
        "governor": (old.protocol.governor, new.protocol.governor),
        "source": (old.source, new.source),
        "space": (space_label(old.space.spec), space_label(new.space.spec)),
    }
    return tuple(f"{name}: {a} -> {b}" for name, (a, b) in pairs.items() if a != b)


def _processors(old: DeviceInfo, new: DeviceInfo) -> dict[str, tuple[object, object]]:
    """Facts of one table's processor that the other's does not share, before and after."""
    if old.processor is None or new.processor is None:
        return {}
    return {
        f"processor's {name}": pair for name, pair in differing_facts(old.processor, new.processor)
    }


def _lengths(manifest: Manifest) -> str:
    """Lengths of the chains that operators were timed as; none for operators alone."""
    return ", ".join(map(str, manifest.protocol.chain_lengths)) or "none"


def report_changes(table: Table) -> None:
    """Print the difference to the parent on standard error; nothing without one."""
    parent = find_parent(table)
    if parent is None:
        return
    try:
        difference = compare_tables(read_table(parent), table)
    except KitError as error:
        print(f"not compared with {parent.name}: {error.message}", file=sys.stderr)
        return
    common = difference.common_change
    together = "not determined" if common is None else f"{common:+.2%}"
    print(
        f"since {parent.name}: {counted(len(difference.regressions), 'operator')} slower, "
        f"{len(difference.improvements)} faster of {len(difference.changes)}; "
        f"{'the machine' if difference.common_kind == 'state' else 'all together'} "
        f"{together}, absolute difference median "
        f"{difference.median_absolute:.2%}, 95th percentile {difference.p95_absolute:.2%} "
        f"(more: python -m profiler diff {parent} {table.path})",
        file=sys.stderr,
    )
