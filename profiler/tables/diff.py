"""Two tables of one thing: which operators changed, and is it more than noise.

Each operator's change is a ratio of medians whose standard error comes from
both intervals. Over hundreds of operators some will look changed by chance:
the false discovery rate is held by Benjamini and Hochberg's step-up procedure
(JRSS B 57, 1995). A change counts when it is significant *and* larger than
`threshold`.

Rows are compared, never raw blocks: a row measured as a slope over chains is a
time with an interval like any other. What a call costs besides (the chains'
intercept) and where operators ran are stated beside them.

Where both tables say at what clock they are stated, and ran on one kind of core
of one processor, the new one is first restated at the clock of the old one.

All operators may then have moved together, because a machine is not equally fast
every day. A common change within `threshold` is stated and taken out before
operators are judged; a larger one is left in, so that all of them show it.
"""

import math
import sys
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats as scipy_stats

from profiler.tables.catalogue import find_parent
from profiler.tables.clocks import Clocks, clocks_of
from search.errors import KitError, TableError
from search.table.entries import Entry
from search.table.manifest import Manifest
from search.table.store import Table, read_table

DEFAULT_THRESHOLD = 0.05
# Two runs of one machine differ by more than the intervals inside each: the
# layout of memory, the neighbours of a virtual machine. Taken as part of the
# standard error of every operator.
BETWEEN_RUNS = 0.01
# With fewer operators a change of some cannot be told from one of all.
MIN_COMMON = 20
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One operator in both tables.

    `ratio` and its interval are new over old after the common change was
    taken out; `new_us` is restated at the old table's clock.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that differs between two tables.

    `clocks` is None unless both tables state theirs; it says whether times are
    restated. `dispatch_us` is the chains' intercept, old and new, restated as the rows
    are; None unless both were measured as chains. `moved` are the keys of
    operators that ran elsewhere, with the units before and after. `predicted`
    counts operators that one of the tables only predicts: they are not compared.
    """

    identity: tuple[str, ...]
    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    clocks: Clocks | None
    dispatch_us: tuple[float, float] | None
    moved: tuple[tuple[str, str, str], ...]
    common_change: float
    median_absolute: float
    p95_absolute: float
    predicted: int = 0

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

    Raises:
        TableError: The tables share no operator.
    """
    before = {entry.key: entry for entry in _judged(old)}
    clocks = clocks_of(old.manifest, new.manifest)
    speed = clocks.speed if clocks else 1.0
    after = {entry.key: _restated(entry, speed) for entry in _judged(new)}
    shared = [key for key in before if key in after]
    guessed = {e.key for e in (*old.entries, *new.entries) if e.status == "predicted"}
    if not shared:
        raise TableError(
            f"{old.label} and {new.label} share no measured operator.",
            "Compare tables of the same space, resolution and dtype, with intervals.",
        )
    common = _common(before, after, shared)
    taken_out = common if abs(common) <= math.log1p(threshold) else 0.0
    rows = [_ratio(before[key], after[key], taken_out) for key in shared]
    significant = benjamini_hochberg([row[3] for row in rows], fdr)
    changes = tuple(
        _change(before[key], after[key], row, bool(flag), threshold)
        for key, row, flag in zip(shared, rows, significant, strict=True)
    )
    absolute = np.abs([change.new_us / change.old_us - 1 for change in changes])
    return Difference(
        identity=identity_differences(old.manifest, new.manifest),
        changes=changes,
        only_old=tuple(key for key in before if key not in after and key not in guessed),
        only_new=tuple(key for key in after if key not in before and key not in guessed),
        clocks=clocks,
        dispatch_us=_dispatch(old.manifest, new.manifest, speed),
        moved=_moved(old.manifest, new.manifest),
        common_change=math.expm1(common),
        median_absolute=float(np.median(absolute)),
        p95_absolute=float(np.percentile(absolute, 95)),
        predicted=len(guessed),
    )


def _judged(table: Table) -> list[Entry]:
    """Rows that were measured and have an interval; nothing else can be judged."""
    return [e for e in table.entries if e.status in ("ok", "unstable") and e.has_interval]


def _dispatch(old: Manifest, new: Manifest, speed: float) -> tuple[float, float] | None:
    before, after = old.protocol.chain_intercept_us, new.protocol.chain_intercept_us
    return None if before is None or after is None else (before, after * speed)


def _moved(old: Manifest, new: Manifest) -> tuple[tuple[str, str, str], ...]:
    """Operators whose unit is known in both tables and is another one."""
    before, after = old.protocol.placements, new.protocol.placements
    return tuple(
        (key, unit, after[key]) for key, unit in before.items() if after.get(key, unit) != unit
    )


def _restated(entry: Entry, speed: float) -> Entry:
    return replace(entry, time=entry.known_time.scaled(speed))


def _common(old: dict[str, Entry], new: dict[str, Entry], keys: list[str]) -> float:
    """Median log ratio: what all operators have in common."""
    ratios = [new[key].known_time.centre_us / old[key].known_time.centre_us for key in keys]
    return float(np.median(np.log(ratios))) if len(keys) >= MIN_COMMON else 0.0


def _ratio(old: Entry, new: Entry, common: float) -> tuple[float, float, float, float]:
    """Ratio, its 95 % interval, and the p-value of 'moved no more than all'."""
    log_ratio = math.log(new.known_time.centre_us / old.known_time.centre_us)
    error = math.sqrt(_log_error(old) ** 2 + _log_error(new) ** 2 + 2 * BETWEEN_RUNS**2)
    p_value = 2 * float(scipy_stats.norm.sf(abs(log_ratio - common) / error))
    log_ratio_left = log_ratio - common
    low, high = math.exp(log_ratio_left - _Z * error), math.exp(log_ratio_left + _Z * error)
    return math.exp(log_ratio - common), low, high, p_value


def _log_error(entry: Entry) -> float:
    time = entry.known_time
    assert time.low_us is not None
    assert time.high_us is not None
    return math.log(time.high_us / time.low_us) / 2 / _Z


def _change(
    old: Entry,
    new: Entry,
    row: tuple[float, float, float, float],
    significant: bool,
    threshold: float,
) -> Change:
    ratio, low, high, p_value = row
    verdict = "same"
    if significant and ratio > 1 + threshold:
        verdict = "slower"
    elif significant and ratio < 1 / (1 + threshold):
        verdict = "faster"
    return Change(
        key=old.key,
        old_us=old.known_time.centre_us,
        new_us=new.known_time.centre_us,
        ratio=ratio,
        low=low,
        high=high,
        p_value=p_value,
        significant=significant,
        verdict=verdict,
    )


def benjamini_hochberg(
    p_values: list[float], rate: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which hypotheses are rejected with the false discovery rate below `rate`."""
    adjusted = scipy_stats.false_discovery_control(p_values, method="bh")
    return np.asarray(adjusted <= rate)


def identity_differences(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """What else differs: the comparison is then of two settings, not of two runs."""
    pairs = {
        "device": (old.device.model, new.device.model),
        "OS build": (old.device.os_build, new.device.os_build),
        "runtime": (
            f"{old.runtime.name} {old.runtime.version}",
            f"{new.runtime.name} {new.runtime.version}",
        ),
        "backend": (old.runtime.backend, new.runtime.backend),
        "runner": (
            f"{old.runtime.runner} {(old.runtime.runner_sha256 or '')[:8]}",
            f"{new.runtime.runner} {(new.runtime.runner_sha256 or '')[:8]}",
        ),
        "threads": (old.protocol.threads, new.protocol.threads),
        "chains": (_lengths(old), _lengths(new)),
        "affinity": (old.protocol.affinity_observed, new.protocol.affinity_observed),
        "governor": (old.protocol.governor, new.protocol.governor),
        "source": (old.source, new.source),
        "space": (old.space.spec, new.space.spec),
    }
    return tuple(f"{name}: {a} -> {b}" for name, (a, b) in pairs.items() if a != b)


def _lengths(manifest: Manifest) -> str:
    """How operators were timed: alone, or as chains of these lengths."""
    return ", ".join(map(str, manifest.protocol.chain_lengths)) or "none"


def report_changes(table: Table) -> None:
    """Print the difference to the parent on standard error; nothing without one."""
    parent = find_parent(table)
    if parent is None:
        return
    from profiler.tables.diff import compare_tables

    try:
        difference = compare_tables(read_table(parent), table)
    except KitError as error:
        print(f"not compared with {parent.name}: {error.message}", file=sys.stderr)
        return
    print(
        f"since {parent.name}: {len(difference.regressions)} operator(s) slower, "
        f"{len(difference.improvements)} faster of {len(difference.changes)}; all together "
        f"{difference.common_change:+.2%}, absolute difference median "
        f"{difference.median_absolute:.2%}, 95th percentile {difference.p95_absolute:.2%} "
        f"(more: python -m profiler diff {parent} {table.path})",
        file=sys.stderr,
    )
