"""Every field of a table's `manifest.json`, typed.

Units are in the names; unknown is null. `TABLE_SCHEMA` counts the schema of
manifest and rows; `search.table.upgrades` holds one step for each older one.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from search.table.calibration import Calibration
from search.table.memory import MemoryModel
from search.table.phones import MeasuringPhones
from search.table.values import (
    MOST_CORRELATION,
    Celsius,
    ClockKhz,
    Correlation,
    Count,
    Cpu,
    Factor,
    Finite,
    FolderName,
    Microseconds,
    Moment,
    NotNegative,
    PositiveCount,
    Share,
    Threads,
)

TABLE_SCHEMA = 7

Source = Literal["measured", "imported", "predicted", "simulated"]


class Part(BaseModel):
    """Base of the manifest's parts: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kit(Part):
    """The program that wrote the table."""

    version: str
    commit: str | None = None
    dirty: bool | None = None
    python: str | None = None
    packages: dict[str, str] = {}


class SpaceInfo(Part):
    """The search space, and how many of its operators the table holds.

    `operators_extra` of the expected ones are not of the space: published
    networks of its frame need them. `operators_predicted` rows were not
    measured; `Manifest.prediction` records how they were predicted.
    """

    spec: str
    sha256: str
    layers: Count
    candidates: Count
    operators_expected: Count
    operators_measured: Count
    operators_unstable: Count
    operators_failed: Count
    operators_missing: Count
    operators_predicted: Count = 0
    operators_extra: Count = 0
    filter: str | None = None


class CpuCluster(Part):
    """Cores that are equal to each other; `name` is that of their kind (Cortex-A76)."""

    cpus: tuple[Cpu, ...]
    name: str | None = None
    max_khz: Count | None = None
    capacity: Count | None = None


class CpuCache(Part):
    """One size of cache: its level and what it holds (null: not said), and KiB."""

    level: Count | None = None
    kind: Literal["data", "instruction", "unified"] | None = None
    size_kb: Count


class CoreKind(Part):
    """A kind of Arm core by fields of its MIDR ("0x41", "0xd0b", "0x4"), and how many there are.

    Source: Arm Architecture Reference Manual, MIDR_EL1.
    """

    implementer: str
    part: str
    variant: str | None = None
    cores: Count | None = None


class CpuIdentity(Part):
    """What distinguishes one processor from another; nothing that changes from day to day.

    `vendor`, `family`, `model` and `stepping` are those of x86, `kinds` those of Arm, one for each
    kind of core. `instruction_sets` select kernels, by the kernel's names. `cores` counts the
    cores online, `board` is the name in the device tree. Null or empty is unknown.
    """

    vendor: str | None = None
    family: Count | None = None
    model: Count | None = None
    stepping: Count | None = None
    kinds: tuple[CoreKind, ...] = ()
    instruction_sets: tuple[str, ...] = ()
    caches: tuple[CpuCache, ...] = ()
    cores: Count | None = None
    board: str | None = None

    @property
    def is_decisive(self) -> bool:
        """Whether it tells one design of processor from another."""
        return bool(self.kinds) or None not in (self.family, self.model)


class DeviceInfo(Part):
    """The device that was measured.

    `rehearsal` is a connection to a simulated phone: times are those of the
    machine that simulates it. `cpu` is the processor's own name
    (/proc/cpuinfo), which a hypervisor may leave general ("AMD EPYC"), and
    `processor` what identifies it. A rehearsal's `soc` is made up, its `cpu` and
    `processor` are real.
    """

    id: FolderName
    kind: Literal["host", "android", "ios", "simulated", "rehearsal", "other"]
    manufacturer: str | None = None
    model: str | None = None
    soc: str | None = None
    cpu: str | None = None
    processor: CpuIdentity | None = None
    os: str | None = None
    os_build: str | None = None
    abi: str | None = None
    clusters: tuple[CpuCluster, ...] = ()
    ram_mb: Count | None = None
    serial_hash: str | None = None
    virtual: bool | None = None


class RuntimeInfo(Part):
    """The software that executed the operators."""

    name: str
    version: str | None
    backend: str
    runner: str
    runner_sha256: str | None = None
    toolchain: dict[str, str] = {}


class PhoneState(Part):
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


class Protocol(Part):
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


class Score(Part):
    """A statistic with its bootstrap interval."""

    value: Finite
    low: Finite
    high: Finite


class Exam(Part):
    """Held-out random networks, measured in the same run, against the model.

    Raises:
        ValueError: An error below zero, or a correlation beyond one.
    """

    networks: PositiveCount
    mape: Score
    rmse_us: Score
    within_5_percent: Score
    within_10_percent: Score
    spearman: Score
    max_relative_error: NotNegative
    interval_coverage: Share
    bar_mape: NotNegative
    bar_spearman: Correlation
    passed: bool

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        errors = (self.mape, self.rmse_us, self.within_5_percent, self.within_10_percent)
        if min(min(score.value, score.low) for score in errors) < 0:
            raise ValueError("an error or a share is below zero")
        if max(abs(self.spearman.value), abs(self.spearman.low)) > MOST_CORRELATION:
            raise ValueError("a rank correlation is beyond one")
        return self


class Origin(Part):
    """Origin of an imported table, as its publisher stated it.

    `value_unit` and `spread_unit` are those of the file; the rows here are in
    microseconds. `constant_us` is added to the rows of every network;
    operators whose key is in `covered` are part of it and cost nothing more.
    """

    format: str
    publisher: str
    source: str
    licence: str | None = None
    file: str
    file_sha256: str
    value_unit: str
    spread_unit: str | None = None
    rows: Count
    constant_us: Microseconds | None = None
    covered: tuple[str, ...] = ()


class Prediction(Part):
    """Method and accuracy of the rows of status "predicted".

    Their interval is conformal at `level`; `coverage`, `mape` and `spearman` are
    those of the measured rows, each predicted from the others. `from_table_id`
    is the table that a transfer started from.
    """

    method: str
    features: tuple[str, ...]
    operators_measured: Count
    level: Share
    coverage: Share
    mape: NotNegative
    spearman: Correlation
    design: str
    from_table_id: str | None = None


class Manifest(Part):
    """The whole of `manifest.json`."""

    schema_version: Literal[7] = 7
    table_id: str
    parent_id: str | None = None
    created_utc: Moment
    source: Source
    title: str
    kit: Kit
    space: SpaceInfo
    device: DeviceInfo
    runtime: RuntimeInfo
    protocol: Protocol
    calibration: Calibration | None = None
    exam: Exam | None = None
    origin: Origin | None = None
    prediction: Prediction | None = None
    memory: MemoryModel | None = None
    phones: MeasuringPhones | None = None
    context: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    files_sha256: dict[str, str]

    @property
    def exam_problem(self) -> str:
        """Why the exam does not support the table, as the object of "it has"; empty if passed."""
        exam = self.exam
        if exam is None:
            return "no exam: its predictions were compared with nothing"
        if exam.passed:
            return ""
        return (
            f"an exam below the bar: MAPE {exam.mape.value:.2%} (at most {exam.bar_mape:.0%}), "
            f"Spearman {exam.spearman.value:.3f} (at least {exam.bar_spearman:g})"
        )
