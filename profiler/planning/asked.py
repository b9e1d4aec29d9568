"""From options of the command line to a space and the settings of a campaign."""

from dataclasses import dataclass

from device_agents.device import Device
from profiler.planning.options import parse_affinity
from profiler.settings import Effort, Settings
from search.errors import UsageError
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space, parse_space, space_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
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


def choose_space(asked: Asked, device: Device) -> LayeredSpace:
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


def make_settings(asked: Asked, device: Device, space: LayeredSpace, effort: Effort) -> Settings:
    """Settings of a campaign; what was not asked is the device's.

    Raises:
        UsageError: A value out of range.
    """
    threads = device.threads if asked.threads is None else asked.threads
    return Settings(
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
