"""How a table was measured: the `protocol` of its manifest."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from search.table.values import (
    Celsius,
    ClockKhz,
    Count,
    Cpu,
    Factor,
    Finite,
    Microseconds,
    NotNegative,
    PositiveCount,
    Share,
    Threads,
)

# Of a device that rests between its runs, or of one that is kept under load.
LoadState = Literal["burst", "sustained"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhoneState(_Part):
    """State of a phone at one moment, as far as it affects speed; temperatures in Celsius.

    `power_sources` are those of ac, usb, wireless and dock that power it (empty: its battery
    alone), and `stay_on` says whether its screen stays on with these.
    """

    battery_percent: Count | None = None
    battery_temperature_c: Celsius | None = None
    powered: bool | None = None
    power_sources: tuple[str, ...] | None = None
    low_power: bool | None = None
    screen_on: bool | None = None
    dozing: bool | None = None
    stay_on: bool | None = None
    thermal_status: str | None = None
    cpu_temperature_c: Celsius | None = None
    skin_temperature_c: Celsius | None = None


class SustainedLoad(_Part):
    """The load that a device was under before and between the passes of a sustained table.

    It called the campaign's own programs without a pause for `load_s` before the first pass, and
    again before each launch, so that it rested between launches for `rest_share` of the time.
    `slowdown` is the programs' median latency in the last minute of the load over the first one,
    `last_change` over the minute before it: near 1 where the device had settled. Clock and
    temperature are medians of the first and the last minute; null where no runner told them.
    """

    load_s: NotNegative
    slowdown: Factor | None = None
    last_change: Factor | None = None
    clock_first_khz: ClockKhz | None = None
    clock_last_khz: ClockKhz | None = None
    temperature_first_c: Celsius | None = None
    temperature_last_c: Celsius | None = None
    rest_share: Share | None = None


class Protocol(_Part):
    """Measurement protocol. Rows of differing protocols never share a table.

    Times are stated at `clock_khz`, the median clock of the run (null: no
    runner measured it, and times are as they came); `clock_low_khz` and
    `clock_high_khz` are the 5th and 95th percentile of the blocks' clocks.
    `state_reference` is the state of the machine at which they are stated ("mean": the
    mean one of the run; null: it was not estimated), and `state_low` and `state_high` are
    the 5th and 95th percentile of how much slower it was at a block than there.
    With `chain_lengths` an operator's cost is the slope over chains of so many
    copies, and `chain_intercept_us` the median of the remaining cost of a call.
    `placements` records by operator on which units it ran, where that is known.
    `cores_offline` are cores that the device has and that were switched off before or after the
    run, and `refused_settings` what it answered where it refused to be made steady.
    `sustained` is the load of a table of the sustained state; null: of the burst, as every table
    before schema 7.
    An imported table knows little of this; what it does not know is null.
    """

    dtype: str
    threads: Threads | None
    affinity_asked: tuple[Cpu, ...] | None = None
    affinity_observed: tuple[Cpu, ...] | None = None
    governor: str | None = None
    fixed_performance_mode: bool | None = None
    refused_settings: dict[str, str] = {}
    cores_offline: tuple[int, ...] | None = None
    phone_before: PhoneState | None = None
    phone_after: PhoneState | None = None
    preset: str
    order: Literal["random"] | None = "random"
    seed: Count | None = None
    passes: Count | None = None
    rounds_per_pass: Count | None = None
    warmup: Count | None = None
    min_block_us: Microseconds | None = None
    target_relative_ci: NotNegative | None = None
    ci_level: Share = 0.95
    temperature_limit_c: Celsius | None = None
    preempted_rejected: Count = 0
    sentinel_key: str | None = None
    sentinel_median_us: Microseconds | None = None
    sentinel_drift: Finite | None = None
    dispatch_floor_us: Microseconds | None = None
    chain_lengths: tuple[PositiveCount, ...] = ()
    chain_intercept_us: Finite | None = None
    placements: dict[str, str] = {}
    clock_khz: ClockKhz | None = None
    clock_low_khz: ClockKhz | None = None
    clock_high_khz: ClockKhz | None = None
    state_reference: Literal["mean"] | None = None
    state_low: Factor | None = None
    state_high: Factor | None = None
    max_temperature_c: Celsius | None = None
    load_average_start: NotNegative | None = None
    duration_s: NotNegative | None = None
    sustained: SustainedLoad | None = None
