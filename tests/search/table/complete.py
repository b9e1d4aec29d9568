"""A made-up table in which every field of the manifest and every column has a value.

Run as a program, it writes the golden table of today's schema into a new
folder: python -m tests.search.table.complete FOLDER
"""

import sys
from pathlib import Path

import pandas as pd

from search.spaces.registry import make_space
from search.table.calibration import Calibration, PairEffect
from search.table.entries import Entry, Interval, OperatorCounts, Sampling, Spread, TimedFile
from search.table.exam import NEEDS_COLUMNS
from search.table.manifest import (
    CoreKind,
    CpuCache,
    CpuCluster,
    CpuIdentity,
    DeviceInfo,
    Exam,
    Kit,
    Manifest,
    Origin,
    PhoneState,
    Prediction,
    Protocol,
    RuntimeInfo,
    Score,
    SpaceInfo,
)
from search.table.memory import MemoryExam, MemoryModel, MemoryPiece
from search.table.phones import MeasuringPhone, MeasuringPhones
from search.table.store import EXAM_COLUMNS, write_table

_SPACE = make_space("fbnet-mini", always_pointwise=False)
_OPERATORS = _SPACE.operators[:4]
_KEYS = tuple(operator.key for operator in _OPERATORS)


def _entry(place: int, status: str, reason: str | None) -> Entry:
    us = 10.5 + place
    return Entry(
        key=_KEYS[place],
        status=status,
        reason=reason,
        time=Interval(centre_us=us, low_us=us - 0.5, high_us=us + 0.75),
        first_call=Interval(centre_us=us + 2, low_us=us + 1.5, high_us=us + 2.5),
        in_network_us=us + 0.375,
        spread=Spread(
            lower_quartile_us=us - 0.25,
            mean_us=us + 0.125,
            min_us=us - 1,
            mad_us=0.0625,
            p5_us=us - 0.75,
            p95_us=us + 1,
            state_sensitivity=0.75 + place / 4,
        ),
        sampling=Sampling(
            blocks=12, calls=1200, passes=3, rejected_blocks=1, phone="3f9a0c21+51bc77e0"
        ),
        counts=OperatorCounts.of(_OPERATORS[place]),
        artefact=TimedFile(sha256="ab" * 32, error=1.5e-7),
    )


ENTRIES = (
    _entry(0, "ok", None),
    _entry(1, "unstable", "interval of +-9.3% after 12 blocks, asked for 1.0%"),
    _entry(2, "predicted", None),
    Entry(key=_KEYS[3], status="failed", reason='crash: "signal 9", no, result'),
)
EXAM = pd.DataFrame(
    [("exam-0", 100.5, 90.25, 110.75, 101.5, 2e5, 12_400.0, 900.0, 300.0, 2048.0, 2000.0)],
    columns=[*EXAM_COLUMNS, *NEEDS_COLUMNS],
)
SAMPLES = pd.DataFrame({"item": list(_KEYS[:2]), "loops": [10, 10], "ns": [105_000, 115_000]})
_PHONE = PhoneState(
    battery_percent=80,
    battery_temperature_c=30.5,
    powered=True,
    power_sources=("usb",),
    low_power=False,
    screen_on=False,
    dozing=False,
    stay_on=True,
    thermal_status="none",
    cpu_temperature_c=41.5,
    skin_temperature_c=32.5,
)


def _space_info() -> SpaceInfo:
    return SpaceInfo(
        spec=_SPACE.spec,
        sha256=_SPACE.sha256,
        layers=_SPACE.size.layers,
        candidates=_SPACE.size.candidates,
        operators_expected=5,
        operators_measured=1,
        operators_unstable=1,
        operators_failed=1,
        operators_missing=1,
        operators_predicted=1,
        operators_extra=1,
        filter="k3",
    )


def _processor() -> CpuIdentity:
    """Facts of x86 and of Arm at once, which no processor has."""
    return CpuIdentity(
        vendor="AuthenticAMD",
        family=25,
        model=17,
        stepping=1,
        kinds=(CoreKind(implementer="0x41", part="0xd0b", variant="0x4", cores=2),),
        instruction_sets=("asimd", "asimddp"),
        caches=(CpuCache(level=1, kind="data", size_kb=64),),
        cores=2,
        board="board 1",
    )


def _device() -> DeviceInfo:
    return DeviceInfo(
        id="made-up",
        kind="simulated",
        manufacturer="nobody",
        model="made-up 1",
        soc="SOC 1",
        cpu="CPU 1",
        processor=_processor(),
        os="OS 1",
        os_build="build 1",
        abi="arm64-v8a",
        clusters=(CpuCluster(cpus=(0, 1), name="big", max_khz=2_000_000, capacity=1024),),
        ram_mb=4096,
        serial_hash="cd" * 32,
        virtual=False,
    )


def _protocol() -> Protocol:
    return Protocol(
        dtype="fp32",
        threads=1,
        affinity_asked=(0,),
        affinity_observed=(0,),
        governor="performance",
        fixed_performance_mode=True,
        refused_settings={"stay-on": "exit code 255"},
        cores_offline=(2, 3),
        phone_before=_PHONE,
        phone_after=_PHONE,
        preset="default",
        order="random",
        seed=7,
        passes=3,
        rounds_per_pass=4,
        warmup=2,
        min_block_us=1000.0,
        target_relative_ci=0.01,
        ci_level=0.95,
        temperature_limit_c=40.0,
        preempted_rejected=1,
        sentinel_key=_KEYS[0],
        sentinel_median_us=10.5,
        sentinel_drift=0.0025,
        dispatch_floor_us=0.75,
        chain_lengths=(1, 4, 16),
        chain_intercept_us=120.5,
        placements={_KEYS[0]: "cpu"},
        clock_khz=1_900_000,
        clock_low_khz=1_800_000,
        clock_high_khz=2_000_000,
        state_reference="mean",
        state_low=0.875,
        state_high=1.125,
        max_temperature_c=41.5,
        load_average_start=0.25,
        duration_s=12.5,
    )


def _calibration() -> Calibration:
    return Calibration(
        features=("steady_us",),
        slopes=(1.0625,),
        intercept_us=-0.5,
        covariance=((0.25, 0.0), (0.0, 0.0625)),
        networks=20,
        relative_residual=0.0125,
        interval_factor=2.0,
        cross_validated_mape=0.01,
        raw_sum_mape=0.05,
        method="ridge",
        pairs=(PairEffect(height=112, first=3, second=6, effect_us=-12.5),),
    )


def _exam() -> Exam:
    score = Score(value=0.01, low=0.005, high=0.02)
    return Exam(
        networks=1,
        mape=score,
        rmse_us=score,
        within_5_percent=score,
        within_10_percent=score,
        spearman=score,
        max_relative_error=0.03,
        interval_coverage=0.95,
        bar_mape=0.05,
        bar_spearman=0.95,
        passed=True,
    )


def _origin() -> Origin:
    return Origin(
        format="made-up",
        publisher="nobody",
        source="nowhere",
        licence="none",
        file="made-up.yaml",
        file_sha256="ef" * 32,
        value_unit="ms",
        spread_unit="ms",
        rows=4,
        constant_us=3.5,
        covered=(_KEYS[3],),
    )


def _prediction() -> Prediction:
    return Prediction(
        method="gaussian process",
        features=("flops",),
        operators_measured=2,
        level=0.9,
        coverage=0.92,
        mape=0.04,
        spearman=0.97,
        design="D-optimal",
        from_table_id="9c858901-8a57-4791-81fe-4c455b099bc9",
    )


def _memory() -> MemoryModel:
    return MemoryModel(
        pieces=(
            MemoryPiece(intercept_bytes=5e5, weights=2.0, chained=0.25, live=0.125),
            MemoryPiece(intercept_bytes=2e6, weights=1.25, chained=0.5, live=0.875),
        ),
        runner_kb=8000,
        networks=20,
        relative_residual=0.02,
        interval_factor=2.0,
        cross_validated_mape=0.015,
        method="least squares",
        exam=MemoryExam(
            networks=1,
            mape=0.0234375,
            max_relative_error=0.0234375,
            mape_with_runner=0.005,
            interval_coverage=1.0,
        ),
    )


def _phones() -> MeasuringPhones:
    return MeasuringPhones(
        phones=(
            MeasuringPhone(number=1, serial_hash="3f9a0c21", items=3, apart=0.125),
            MeasuringPhone(number=2, serial_hash="51bc77e0", items=4, apart=-0.125),
        ),
        shared_items=3,
        most_apart=0.15625,
    )


MANIFEST = Manifest(
    table_id="16fd2706-8baf-433b-82eb-8c7fada847da",
    parent_id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
    created_utc="2026-01-02T03:04:05+00:00",
    source="simulated",
    title="complete",
    kit=Kit(version="0.1.0", commit="0" * 40, dirty=False, python="3.11", packages={"a": "1"}),
    space=_space_info(),
    device=_device(),
    runtime=RuntimeInfo(
        name="simulated",
        version="1",
        backend="simulated",
        runner="simulated",
        runner_sha256="12" * 32,
        toolchain={"torch": "2"},
    ),
    protocol=_protocol(),
    calibration=_calibration(),
    exam=_exam(),
    origin=_origin(),
    prediction=_prediction(),
    memory=_memory(),
    phones=_phones(),
    context={"room": "cold"},
    notes=("made up",),
    files_sha256={},
)

if __name__ == "__main__":
    write_table(Path(sys.argv[1]), MANIFEST, ENTRIES, SAMPLES, EXAM)
