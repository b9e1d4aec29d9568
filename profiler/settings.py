"""Settings of a campaign, and the presets of --fast and --rigorous."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from device_agents.base import RUNTIMES, default_runtime
from device_agents.native.record import runtime_of_target
from search.console.messages import counted
from search.errors import UsageError
from search.table.manifest import Manifest
from search.table.protocol import LoadState
from search.table.values import MOST_COUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    A pass loads the programs again and visits each `rounds` times; after
    `passes` of them, up to `extra_passes` more follow while whole networks are not
    known to a fifth of `target_relative_ci` (`profiler.results.settled`); rows whose
    interval is wider than that are marked. `calibration` and `exam` count whole networks,
    which take turns: each is timed in every `networks_every`-th pass. Loading them is most
    of a pass, and many passes tell more than many rounds: a program's memory lies elsewhere
    in each pass, and that decides a few per cent of its time. Three rounds are the fewest
    whose median one disturbed block does not move.
    """

    preset: str
    passes: int
    extra_passes: int
    rounds: int
    target_relative_ci: float
    calibration: int
    exam: int
    warmup: int = 1
    min_block_us: float = 1000.0
    network_loops: int = 1
    networks_every: int = 1

    def __post_init__(self) -> None:
        # Otherwise some networks would never be timed.
        if not 1 <= self.networks_every <= max(1, self.passes):
            raise UsageError(
                f"Networks in every {self.networks_every} passes of {self.passes} leave some out."
            )


PRESETS = {
    effort.preset: effort
    for effort in (
        Effort(
            preset="fast",
            passes=6,
            extra_passes=6,
            rounds=3,
            target_relative_ci=0.08,
            calibration=20,
            exam=12,
        ),
        Effort(
            preset="default",
            passes=28,
            extra_passes=22,
            rounds=3,
            networks_every=2,
            target_relative_ci=0.05,
            calibration=60,
            exam=20,
        ),
        Effort(
            preset="rigorous",
            passes=36,
            extra_passes=24,
            rounds=3,
            networks_every=2,
            target_relative_ci=0.04,
            calibration=100,
            exam=100,
        ),
    )
}

# More of anything is a slip of the hand, and would not fit what is written at the end.
_MOST_REPEATS, _MOST_CORES = 1_000_000, 65_535
_LONGEST_S, _HOTTEST_C = 1e6, 300.0

# A table below this bar is written, but the command ends with exit code 1
# and search refuses it.
BAR_MAPE = 0.04
BAR_SPEARMAN = 0.90


def runtime_of(manifest: Manifest) -> str:
    """The runtime that a table was measured with, as settings name it; `auto` if not known."""
    target = manifest.runtime.toolchain.get("runner_target")
    known = {"host": "host", "android": "android"}.get(manifest.device.kind)
    if target is None or known is None:
        return "auto"
    runtime = runtime_of_target(target)
    return "auto" if runtime == default_runtime(known) else runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedNetwork:
    """A network that is timed whole beside a space's own: its name, and its operators' keys."""

    name: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSettings:
    """Everything that decides what a campaign measures and how.

    At most `max_operators` are measured (`operators_first`, by key, before any
    other), the others predicted; `from_table` is the table that the prediction
    starts from. A campaign with a `budget_s` neither builds nor repeats beyond it.
    `added_operators` are measured beside those of the space, `added_networks` timed whole.
    """

    device: str
    space: str
    dtype: str
    backend: str
    threads: int
    affinity: tuple[int, ...] | None
    runner: str
    seed: int
    effort: Effort
    filter: str | None = None
    max_temperature_c: float | None = None
    timeout_s: float = 120.0
    cooldown_s: float = 0.0
    # Without `affinity`: whether a phone's agent may choose the cores itself.
    pin: bool = True
    # Other than the one that devices of this platform have by default (`auto`).
    runtime: str = "auto"
    # Operators are timed as chains of so many copies; without lengths, each alone.
    chains: tuple[int, ...] = ()
    max_operators: int | None = None
    operators_first: tuple[str, ...] | None = None
    from_table: str | None = None
    budget_s: float | None = None
    added_operators: tuple[str, ...] = ()
    added_networks: tuple[AddedNetwork, ...] = ()
    # The device is kept under load for so long before the first pass, and between passes.
    sustain_s: float | None = None

    def __post_init__(self) -> None:
        self._check_effort()
        self._check_runtime()
        self._check_prediction()
        self._check_sustained()

    def _check_effort(self) -> None:
        effort = self.effort
        if min(effort.passes, effort.rounds, effort.warmup) < 1:
            raise UsageError("Passes, rounds and warm-ups must be at least 1.")
        if not 0 < effort.target_relative_ci < 1:
            raise UsageError("The precision target must lie between 0 and 1.")
        if self.chains and (len(set(self.chains)) < 3 or min(self.chains) < 1):
            raise UsageError(
                f"Chains of {', '.join(map(str, self.chains))} copies cannot show a bend.",
                "A device file needs at least three lengths, such as [1, 4, 16].",
            )
        if not 0 <= self.seed <= MOST_COUNT:
            raise UsageError(f"--seed must lie between 0 and {MOST_COUNT}.")
        counts = (effort.passes, effort.extra_passes, effort.rounds, effort.warmup)
        if max(*counts, effort.calibration + effort.exam) > _MOST_REPEATS:
            raise UsageError(
                f"More than {_MOST_REPEATS} passes, rounds, warm-ups or networks have no end."
            )

    def _check_runtime(self) -> None:
        if self.threads < 1:
            raise UsageError(f"--threads must be at least 1, not {self.threads}.")
        if self.affinity is not None and len(self.affinity) < self.threads:
            raise UsageError(
                f"{self.threads} threads cannot be pinned to "
                f"{counted(len(self.affinity), 'core')}.",
                "Give --affinity at least one core a thread.",
            )
        if max((self.threads, *(self.affinity or ()))) > _MOST_CORES:
            raise UsageError(f"No machine has more than {_MOST_CORES} cores.")
        if not 0 < self.timeout_s <= _LONGEST_S:
            raise UsageError(f"--timeout must be positive, and {_LONGEST_S:g} s at most.")
        if not 0 <= self.cooldown_s <= _LONGEST_S:
            raise UsageError(f"--cooldown must not be negative, and {_LONGEST_S:g} s at most.")
        if self.max_temperature_c is not None and not abs(self.max_temperature_c) <= _HOTTEST_C:
            raise UsageError(f"--max-temp must be a number of at most {_HOTTEST_C:g} degrees.")
        if self.runner not in ("auto", "native", "python"):
            raise UsageError(f"Unknown runner {self.runner!r}.", "Known: auto, native, python.")
        if self.runtime not in RUNTIMES:
            raise UsageError(f"Unknown runtime {self.runtime!r}.", f"Known: {', '.join(RUNTIMES)}.")

    def _check_prediction(self) -> None:
        if self.max_operators is not None and self.filter is not None:
            raise UsageError(
                "--filter and --max-operators exclude each other.",
                "A filter makes a partial table, a budget a whole one.",
            )
        if self.from_table is not None and self.max_operators is None:
            raise UsageError(
                "--from-table is for tables that are partly predicted.",
                "Add --max-operators or --budget.",
            )

    def _check_sustained(self) -> None:
        if self.sustain_s is None:
            return
        if self.cooldown_s or self.max_temperature_c is not None:
            raise UsageError(
                "--sustain keeps the device hot; --cooldown and --max-temp let it cool.",
                "Leave one of them out.",
            )
        if self.budget_s is not None and self.sustain_s >= self.budget_s:
            raise UsageError(
                f"--sustain alone takes {self.sustain_s / 60:g} minutes, all of --budget.",
                "Give more time, or a shorter load.",
            )

    @property
    def load_state(self) -> LoadState:
        """The state that the campaign's table is of."""
        return "burst" if self.sustain_s is None else "sustained"

    def with_passes(self, passes: int) -> "CampaignSettings":
        """These settings with so many passes and no extra ones, for records made already."""
        effort = replace(self.effort, passes=passes, extra_passes=0, networks_every=1)
        return replace(self, effort=effort)

    @property
    def identity(self) -> str:
        """Hash of the settings: campaigns with equal hashes can resume each other."""
        content = asdict(self)
        if self.effort.networks_every == 1:
            del content["effort"]["networks_every"]  # as it was before there was another
        for name in ("chains", "added_operators", "added_networks"):
            if not content[name]:
                del content[name]
        if self.runtime == "auto":
            del content["runtime"]
        if self.sustain_s is None:
            del content["sustain_s"]
        if self.budget_s is not None:
            content["max_operators"] = None  # fewer are left to build when it is resumed
        content["measure"] = content.pop("operators_first")  # its name in older journals
        for name in ("max_operators", "measure", "from_table", "budget_s"):
            if content[name] is None:
                del content[name]  # journals from before these options can be resumed
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
