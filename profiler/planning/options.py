"""The options of `measure`, read into the settings and the plan of a campaign."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from device_agents.base import default_runtime
from device_agents.cpu import default_affinity, parse_cpu_list
from device_agents.device import Device
from profiler.planning.cores import check_host_cores
from profiler.planning.load import sustain_seconds
from profiler.planning.plan import CampaignPlan, make_plan
from profiler.settings import PRESETS, CampaignSettings, Effort
from search.architecture import require_batch
from search.errors import UsageError
from search.spaces.base import LayeredSpace
from search.spaces.registry import is_spec, make_space, parse_space


def choose_effort(fast: bool, rigorous: bool) -> Effort:
    """The preset of --fast, --rigorous or neither.

    Raises:
        UsageError: Both were given.
    """
    if fast and rigorous:
        raise UsageError("--fast and --rigorous exclude each other.")
    return PRESETS["fast" if fast else "rigorous" if rigorous else "default"]


def adjust_effort(
    effort: Effort,
    *,
    iterations: int | None = None,
    warmup: int | None = None,
    min_time_us: float | None = None,
    precision: float | None = None,
    networks: int | None = None,
) -> Effort:
    """A preset with single values replaced.

    Args:
        effort: The preset.
        iterations: Timed blocks an item.
        warmup: Warm-up calls a visit.
        min_time_us: Shortest block, microseconds.
        precision: Half-width of the interval, percent.
        networks: Networks of the exam.

    Raises:
        UsageError: A value out of range.
    """
    if iterations is not None:
        if iterations < 1:
            raise UsageError("--iterations must be at least 1.")
        passes = min(effort.passes, iterations)
        effort = replace(
            effort,
            passes=passes,
            rounds=math.ceil(iterations / passes),
            networks_every=min(effort.networks_every, passes),
        )
    if networks is not None:
        if networks < 0:
            raise UsageError("--networks must not be negative.")
        effort = replace(effort, exam=networks)
    if warmup is not None:
        effort = replace(effort, warmup=warmup)
    if min_time_us is not None:
        if not 0 < min_time_us < 1e7:
            raise UsageError("--min-time must lie between 0 and 10 seconds (in microseconds).")
        effort = replace(effort, min_block_us=min_time_us)
    if precision is not None:
        effort = replace(effort, target_relative_ci=precision / 100)
    return effort


def parse_affinity(text: str, threads: int, platform: str) -> tuple[int, ...] | None:
    """`auto`, `none`, a list such as 0-3,6 or a hexadecimal mask:f0.

    Raises:
        UsageError: None of these, or cores of an iPhone, which are not chosen.
    """
    if text == "none":
        return None
    if platform == "ios" and text != "auto":
        raise UsageError("An iPhone's app is not pinned to cores.", "Leave --affinity out.")
    if text == "auto":
        return default_affinity(threads) if platform == "host" else None
    try:
        if text.startswith("mask:"):
            mask = int(text.removeprefix("mask:"), 16)
            cpus = tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
            if not cpus:
                raise ValueError("an empty mask")
            return cpus
        return parse_cpu_list(text)
    except ValueError as error:
        raise UsageError(
            f"--affinity {text!r} is not a list of cores: {error}.",
            "Write auto, none, 0-3,6 or mask:f0.",
        ) from error


def choose_affinity(text: str, threads: int, device: Device) -> tuple[int, ...] | None:
    """The cores of `parse_affinity`, which this machine has if it is the device.

    Raises:
        UsageError: Not a list of cores, or more threads or other cores than there are.
    """
    affinity = parse_affinity(text, threads, device.platform)
    if device.platform == "host":
        check_host_cores(threads, affinity)
    return affinity


def parse_context(pairs: Sequence[str]) -> dict[str, str]:
    """`key=value` pairs that are recorded in the table.

    Raises:
        UsageError: A pair without '=', or a strange key.
    """
    context = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z][\w.-]*", key):
            raise UsageError(f"--context {pair!r} is not of the form key=value.")
        context[key] = value
    return context


def parse_runtime(text: str, platform: str) -> str:
    """A typed runtime; the one that the platform has anyway is `auto`.

    So a table has one name, whether the default was typed or not.
    """
    return "auto" if text == default_runtime(platform) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """The options of `measure` as typed; None leaves a value to the device or the space."""

    space: str
    resolution: int | None
    width: float
    classes: int | None
    head_channels: int | None
    keep_pointwise: bool | None
    batch: int | None
    dtype: str | None
    backend: str | None
    threads: int | None
    affinity: str
    runner: str
    runtime: str
    fast: bool
    rigorous: bool
    iterations: int | None
    warmup: int | None
    min_time_us: float | None
    precision: float | None
    networks: int | None
    seed: int
    filter: str | None
    budget: str | None
    max_operators: int | None
    from_table: Path | None
    cooldown_s: float
    max_temperature_c: float | None
    sustain: str | None
    timeout_s: float
    jobs: int | None
    memory: bool
    output: Path
    context: Sequence[str] | None
    resume: bool
    restart: bool
    records: Path | None
    quiet: bool
    output_format: str

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError("--jobs must be at least 1.")
        if self.resume and self.restart:
            raise UsageError("--resume and --restart exclude each other.")
        if self.budget is not None and self.max_operators is not None:
            raise UsageError("--budget and --max-operators exclude each other.")

    @classmethod
    def of(cls, typed: Mapping[str, Any]) -> Self:
        """The options among the parameters of the verb, by name.

        Raises:
            UsageError: Options that exclude each other, or a value out of range.
        """
        return cls(**{field.name: typed[field.name] for field in fields(cls)})

    @property
    def effort(self) -> Effort:
        """The preset, adjusted.

        Raises:
            UsageError: Two presets, or a value out of range.
        """
        return adjust_effort(
            choose_effort(self.fast, self.rigorous),
            iterations=self.iterations,
            warmup=self.warmup,
            min_time_us=self.min_time_us,
            precision=self.precision,
            networks=self.networks,
        )


def choose_space(options: MeasureOptions, device: Device) -> LayeredSpace:
    """The space by its name or file and options, or by a whole spec.

    Raises:
        UsageError: Unknown, or a spec together with options that it states already.
    """
    if not is_spec(options.space):
        return make_space(
            options.space,
            resolution=options.resolution,
            width=options.width,
            classes=options.classes,
            head_channels=options.head_channels,
            always_pointwise=options.keep_pointwise,
            batch=_batch(options.batch),
            dtype=options.dtype or device.dtype,
        )
    space = parse_space(options.space)
    shape = (options.resolution, options.width != 1.0, options.classes, options.head_channels)
    given = (options.batch is not None, options.keep_pointwise is not None)
    if any((*shape, *given)) or options.dtype not in (
        None,
        space.before[0].dtype,
    ):
        raise UsageError(
            f"--space {space.label} already says resolution, width, classes, head, batch and "
            "dtype.",
            "Leave those options out, or name the space alone (such as fbnet).",
        )
    return space


def _batch(asked: int | None) -> int:
    """Images a call, 1 unless asked for otherwise.

    Raises:
        UsageError: A number that means nothing.
    """
    batch = 1 if asked is None else asked
    require_batch(batch)
    return batch


def make_settings(options: MeasureOptions, device: Device) -> CampaignSettings:
    """Settings of a whole table, without a budget; the device fills in what was not typed.

    Raises:
        UsageError: A value out of range.
    """
    space = choose_space(options, device)
    threads = device.threads if options.threads is None else options.threads
    affinity = choose_affinity(options.affinity, threads, device)
    return CampaignSettings(
        device=device.name,
        space=space.spec,
        dtype=space.before[0].dtype,
        backend=options.backend or device.backend,
        threads=threads,
        affinity=affinity,
        runner=options.runner,
        runtime=parse_runtime(options.runtime, device.platform),
        seed=options.seed,
        effort=options.effort,
        filter=options.filter,
        max_temperature_c=options.max_temperature_c,
        timeout_s=options.timeout_s,
        cooldown_s=options.cooldown_s,
        pin=options.affinity != "none",
        chains=device.chains,
        sustain_s=sustain_seconds(options.sustain, device),
    )


def plan_campaign(options: MeasureOptions, device: Device) -> CampaignPlan:
    """The plan that the options ask for on this device.

    Raises:
        UsageError: A value out of range, or a budget that is too small.
        TableError: `--from-table` lacks operators.
    """
    plan = make_plan(make_settings(options, device))
    if not options.budget and options.max_operators is None and options.from_table is None:
        return plan
    from profiler.planning.budget import parse_budget, with_budget

    return with_budget(
        plan,
        budget_s=parse_budget(options.budget) if options.budget else None,
        max_operators=options.max_operators,
        from_table=options.from_table,
    )
