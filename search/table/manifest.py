"""Every field of a table's `manifest.json`, typed.

Units are in the names; unknown is null. `TABLE_SCHEMA` counts the schema of
manifest and rows; `search.table.upgrades` holds one step for each older one.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TABLE_SCHEMA = 4

Source = Literal["measured", "imported", "predicted", "simulated"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


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
    layers: int
    candidates: int
    operators_expected: int
    operators_measured: int
    operators_unstable: int
    operators_failed: int
    operators_missing: int
    operators_predicted: int = 0
    operators_extra: int = 0
    filter: str | None = None


class CpuCluster(Part):
    """Cores that are equal to each other; `name` is that of their kind (Cortex-A76)."""

    cpus: tuple[int, ...]
    name: str | None = None
    max_khz: int | None = None
    capacity: int | None = None


class CpuCache(Part):
    """One size of cache: its level and what it holds (null: not said), and KiB."""

    level: int | None = None
    kind: Literal["data", "instruction", "unified"] | None = None
    size_kb: int


class CoreKind(Part):
    """A kind of Arm core by fields of its MIDR ("0x41", "0xd0b", "0x4"), and how many there are.

    Source: Arm Architecture Reference Manual, MIDR_EL1.
    """

    implementer: str
    part: str
    variant: str | None = None
    cores: int | None = None


class CpuIdentity(Part):
    """What distinguishes one processor from another; nothing that changes from day to day.

    `vendor`, `family`, `model` and `stepping` are those of x86, `kinds` those of
    Arm, one for each kind of core. `instruction_sets` are the ones that select
    kernels, by the kernel's names. `cores` counts the cores online, `board` is the
    name in the device tree. Null or empty is unknown.
    """

    vendor: str | None = None
    family: int | None = None
    model: int | None = None
    stepping: int | None = None
    kinds: tuple[CoreKind, ...] = ()
    instruction_sets: tuple[str, ...] = ()
    caches: tuple[CpuCache, ...] = ()
    cores: int | None = None
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

    id: str
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
    ram_mb: int | None = None
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

    battery_percent: int | None = None
    battery_temperature_c: Finite | None = None
    powered: bool | None = None
    power_sources: tuple[str, ...] | None = None
    low_power: bool | None = None
    screen_on: bool | None = None
    dozing: bool | None = None
    stay_on: bool | None = None
    thermal_status: str | None = None
    cpu_temperature_c: Finite | None = None
    skin_temperature_c: Finite | None = None


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
    threads: int | None
    affinity_asked: tuple[int, ...] | None = None
    affinity_observed: tuple[int, ...] | None = None
    governor: str | None = None
    fixed_performance_mode: bool | None = None
    refused_settings: dict[str, str] = {}
    cores_offline: tuple[int, ...] | None = None
    phone_before: PhoneState | None = None
    phone_after: PhoneState | None = None
    preset: str
    order: Literal["random"] | None = "random"
    seed: int | None = None
    passes: int | None = None
    rounds_per_pass: int | None = None
    warmup: int | None = None
    min_block_us: Finite | None = None
    target_relative_ci: Finite | None = None
    ci_level: Finite = 0.95
    temperature_limit_c: Finite | None = None
    preempted_rejected: int = 0
    sentinel_key: str | None = None
    sentinel_median_us: Finite | None = None
    sentinel_drift: Finite | None = None
    dispatch_floor_us: Finite | None = None
    chain_lengths: tuple[int, ...] = ()
    chain_intercept_us: Finite | None = None
    placements: dict[str, str] = {}
    clock_khz: int | None = None
    clock_low_khz: int | None = None
    clock_high_khz: int | None = None
    state_reference: Literal["mean"] | None = None
    state_low: Finite | None = None
    state_high: Finite | None = None
    max_temperature_c: Finite | None = None
    load_average_start: Finite | None = None
    duration_s: Finite | None = None


class Calibration(Part):
    """Network latency = intercept + sum over operators of slopes . features.

    `features` names columns of an operator (`search.latency.model.FEATURES`);
    `covariance` is that of (intercept, *slopes). `relative_residual` is the
    cross-validated relative error (root mean square) of one network, the
    noise of the operators' rows included; an interval reaches
    `interval_factor` (Student's t) standard deviations to either side.
    """

    features: tuple[str, ...]
    slopes: tuple[Finite, ...]
    intercept_us: Finite
    covariance: tuple[tuple[Finite, ...], ...]
    networks: int
    relative_residual: Finite
    interval_factor: Finite
    cross_validated_mape: Finite
    raw_sum_mape: Finite
    method: str


class Score(Part):
    """A statistic with its bootstrap interval."""

    value: Finite
    low: Finite
    high: Finite


class Exam(Part):
    """Held-out random networks, measured in the same run, against the model."""

    networks: int
    mape: Score
    rmse_us: Score
    within_5_percent: Score
    within_10_percent: Score
    spearman: Score
    max_relative_error: Finite
    interval_coverage: Finite
    bar_mape: Finite
    bar_spearman: Finite
    passed: bool


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
    rows: int
    constant_us: Finite | None = None
    covered: tuple[str, ...] = ()


class Prediction(Part):
    """Method and accuracy of the rows of status "predicted".

    Their interval is conformal at `level`; `coverage`, `mape` and `spearman` are
    those of the measured rows, each predicted from the others. `from_table_id`
    is the table that a transfer started from.
    """

    method: str
    features: tuple[str, ...]
    operators_measured: int
    level: Finite
    coverage: Finite
    mape: Finite
    spearman: Finite
    design: str
    from_table_id: str | None = None


class Manifest(Part):
    """The whole of `manifest.json`."""

    schema_version: Literal[4] = 4
    table_id: str
    parent_id: str | None = None
    created_utc: str
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
