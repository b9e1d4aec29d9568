"""Reading of option values: text from the command line to typed settings."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from device_agents.cpu import default_affinity, parse_cpu_list
from profiler.settings import PRESETS, Effort
from search.errors import UsageError


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
