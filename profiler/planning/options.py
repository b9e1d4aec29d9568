"""Reading of option values: text from the command line to typed settings."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from device_agents.cpu import default_affinity, parse_cpu_list
from device_agents.device import Device
from profiler.settings import PRESETS, CampaignSettings, Effort
from search.errors import UsageError
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space, parse_space, space_names


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
    iterations: int | None,
    warmup: int | None,
    min_time_us: float | None,
    precision: float | None,
    networks: int | None,
) -> Effort:
    """A preset with single values replaced; `iterations` are blocks an item.

    Raises:
        UsageError: A value out of range.
    """
    if iterations is not None:
        if iterations < 1:
            raise UsageError("--iterations must be at least 1.")
        passes = min(effort.passes, iterations)
        effort = replace(effort, passes=passes, rounds=math.ceil(iterations / passes))
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
        UsageError: None of these.
    """
    if text == "none":
        return None
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


def parse_context(pairs: Sequence[str]) -> dict[str, str]:
    """`key=value` pairs that the user wants recorded.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What to measure and how, as it was typed; None leaves it to the device or the space."""

    space: str
    resolution: int | None
    width: float
    classes: int | None
    head_channels: int | None
    keep_pointwise: bool
    dtype: str | None
    backend: str | None
    threads: int | None
    affinity: str
    runner: str
    seed: int
    filter: str | None
    max_temperature_c: float | None
    timeout_s: float
    cooldown_s: float


def choose_space(asked: MeasureOptions, device: Device) -> LayeredSpace:
    """The space by its name and options, or by a whole spec.

    Raises:
        UsageError: Unknown, or a spec beside options that it already says.
    """
    if asked.space in space_names() or "-r" not in asked.space:
        return make_space(
            asked.space,
            resolution=asked.resolution,
            width=asked.width,
            classes=asked.classes,
            head_channels=asked.head_channels,
            always_pointwise=asked.keep_pointwise,
            dtype=asked.dtype or device.dtype,
        )
    chosen = parse_space(asked.space)
    shape = (asked.resolution, asked.width != 1.0, asked.classes, asked.head_channels)
    if any((*shape, asked.keep_pointwise)) or asked.dtype not in (None, chosen.before[0].dtype):
        raise UsageError(
            f"--space {asked.space} already says resolution, width, classes, head and dtype.",
            "Leave those options out, or name the space alone (such as fbnet).",
        )
    return chosen


def make_settings(
    asked: MeasureOptions, device: Device, space: LayeredSpace, effort: Effort
) -> CampaignSettings:
    """Settings of a campaign; what was not asked is the device's.

    Raises:
        UsageError: A value out of range.
    """
    threads = device.threads if asked.threads is None else asked.threads
    return CampaignSettings(
        device=device.name,
        space=space.spec,
        dtype=space.before[0].dtype,
        backend=asked.backend or device.backend,
        threads=threads,
        affinity=parse_affinity(asked.affinity, threads, device.platform),
        runner=asked.runner,
        seed=asked.seed,
        effort=effort,
        filter=asked.filter,
        max_temperature_c=asked.max_temperature_c,
        timeout_s=asked.timeout_s,
        cooldown_s=asked.cooldown_s,
        pin=asked.affinity != "none",
        chains=device.chains,
    )
