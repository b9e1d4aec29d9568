"""Settings of a campaign, and the presets of --fast and --rigorous."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    A pass loads every program again and visits each `rounds` times; after
    `passes` of them, up to `extra_passes` more follow while whole networks are not
    known to a fifth of `target_relative_ci` (`profiler.results.settled`); rows whose
    interval is wider than that are marked. `calibration` and `exam` count whole networks.
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


PRESETS = {
    effort.preset: effort
    for effort in (
        Effort(
            preset="fast",
            passes=4,
            extra_passes=4,
            rounds=6,
            target_relative_ci=0.08,
            calibration=20,
            exam=12,
        ),
        Effort(
            preset="default",
            passes=20,
            extra_passes=20,
            rounds=2,
            target_relative_ci=0.05,
            calibration=60,
            exam=20,
        ),
        Effort(
            preset="rigorous",
            passes=14,
            extra_passes=10,
            rounds=6,
            target_relative_ci=0.04,
            calibration=100,
            exam=100,
        ),
    )
}

# A table below this bar is written, but the command ends with exit code 1
# and search refuses it.
BAR_MAPE = 0.04
BAR_SPEARMAN = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSettings:
    """Everything that decides what a campaign measures and how.

    At most `max_operators` are measured (`operators_first`, by key, before any
    other), the others predicted; `from_table` is the table that the prediction
    starts from. A campaign with a `budget_s` neither builds nor repeats beyond it.
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
    # Operators are timed as chains of so many copies; without lengths, each alone.
    chains: tuple[int, ...] = ()
    max_operators: int | None = None
    operators_first: tuple[str, ...] | None = None
    from_table: str | None = None
    budget_s: float | None = None

    def __post_init__(self) -> None:
        self._check_effort()
        self._check_runtime()
        self._check_prediction()

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
        if self.seed < 0:
            raise UsageError("--seed must not be negative.")

    def _check_runtime(self) -> None:
        if self.threads < 1:
            raise UsageError(f"--threads must be at least 1, not {self.threads}.")
        if self.affinity is not None and len(self.affinity) < self.threads:
            raise UsageError(
                f"{self.threads} threads cannot be pinned to {len(self.affinity)} core(s).",
                "Give --affinity at least one core a thread.",
            )
        if not 0 < self.timeout_s < float("inf"):
            raise UsageError("--timeout must be positive.")
        if not 0 <= self.cooldown_s < float("inf"):
            raise UsageError("--cooldown must not be negative.")
        if self.runner not in ("auto", "native", "python"):
            raise UsageError(f"Unknown runner {self.runner!r}.", "Known: auto, native, python.")

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

    def with_passes(self, passes: int) -> "CampaignSettings":
        """These settings with so many passes and no extra ones, for records made already."""
        return replace(self, effort=replace(self.effort, passes=passes, extra_passes=0))

    @property
    def identity(self) -> str:
        """Hash of the settings: campaigns with equal hashes can resume each other."""
        content = asdict(self)
        if not self.chains:
            del content["chains"]
        if self.budget_s is not None:
            content["max_operators"] = None  # fewer are left to build when it is resumed
        content["measure"] = content.pop("operators_first")  # its name in older journals
        for name in ("max_operators", "measure", "from_table", "budget_s"):
            if content[name] is None:
                del content[name]  # journals from before these options can be resumed
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
