"""The native runner for arm64: its sources under a cross compiler, its binary under qemu.

Under qemu outputs and records are looked at, never times: these mean nothing there.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.artefact import ExportSpec
from deploy.exporters.registry import exporter_entry, make_exporter
from device_agents.cross.build import find
from device_agents.cross.targets import CROSS_COMPILER, TARGETS
from device_agents.native import build as native
from device_agents.protocol import (
    Bye,
    Failure,
    Hello,
    Plan,
    PlanItem,
    Record,
    Sample,
    dump_plan,
    parse_record,
)
from search.operators.spec import parse_key

pytest.importorskip("torch", reason="the runner's sources include torch's headers")
pytest.importorskip("executorch.exir", reason="the runner's sources include ExecuTorch's headers")

TIMEOUT_S = 300
QEMU = "qemu-aarch64-static"
KEYS = (
    "ir_k3_e3_m48_g1_relu_i16_o16_h12_w12_s1_r1_p1_b1_fp32",
    "ir_k3_e1_m16_g2_relu_i16_o24_h10_w10_s1_r0_p1_b1_fp32",
    "classifier_i64_o100_h3_w3_b1_fp32",
)


def wheel_includes() -> list[str]:
    """Flags for the headers of the installed wheels."""
    flags = native._compile_flags(native._installed())
    return [flag for flag in flags if flag.startswith(("-isystem", "-D"))]


@pytest.mark.parametrize("source", sorted(file.name for file in native.SOURCES.glob("*.cpp")))
def test_each_source_compiles_for_arm64_without_a_warning(source: str) -> None:
    if shutil.which(CROSS_COMPILER) is None:
        pytest.skip(f"{CROSS_COMPILER} is not installed")
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = subprocess.run(
        [CROSS_COMPILER, *flags, *wheel_includes(), str(native.SOURCES / source)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def arm64() -> list[str]:
    """The command that starts the arm64 runner here."""
    qemu, runner = shutil.which(QEMU), find(TARGETS["linux-arm64"])
    if qemu is None:
        pytest.skip(f"{QEMU} is not installed")
    if runner is None:
        pytest.skip("not built: python -m device_agents.cross --target linux-arm64")
    return [qemu, str(runner)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small operators as programs."""
    folder = tmp_path_factory.mktemp("operators")
    exporter = make_exporter(exporter_entry("xnnpack", "fp32"))
    paths = []
    for number, key in enumerate(KEYS):
        path = folder / f"{number}.pte"
        path.write_bytes(exporter.build(ExportSpec.of(parse_key(key))).content)
        paths.append(path)
    return paths


def run(command: list[str], items: list[PlanItem], **changes: Any) -> list[Record]:
    environment = changes.pop("environment", {})
    fields = {"nonce": "n", "backend": "xnnpack", "threads": 1, "order_seed": 1, "rounds": 0}
    plan = Plan.model_validate({**fields, "warmup": 1, "items": tuple(items), **changes})
    done = subprocess.run(
        [*command, "--serve"],
        input=f"{dump_plan(plan)}\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return [parse_record(line) for line in done.stdout.splitlines()]


def outputs(command: list[str], files: list[Path], folder: Path) -> list[np.ndarray[Any, Any]]:
    folder.mkdir()
    items = [
        PlanItem(id=number, file=str(file), sha256="", output=str(folder / str(number)), loops=1)
        for number, file in enumerate(files)
    ]
    records = run(command, items)
    assert [record for record in records if isinstance(record, Failure)] == []
    return [np.fromfile(folder / str(item.id), np.float32) for item in items]


def test_outputs_are_those_of_the_host(arm64: list[str], files: list[Path], tmp_path: Path) -> None:
    if not any(map(shutil.which, native.COMPILERS)) and native.find() is None:
        pytest.skip("no C++ compiler to build the host's runner with")
    expected = outputs([str(native.build())], files, tmp_path / "host")
    actual = outputs(arm64, files, tmp_path / "arm64")
    for mine, theirs in zip(actual, expected, strict=True):
        assert np.ptp(theirs) > 0
        assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_records_are_complete_and_the_clock_is_a_number(
    arm64: list[str], files: list[Path]
) -> None:
    item = PlanItem(id=0, file=str(files[0]), sha256="", loops=2)
    records = run(arm64, [item], rounds=2, max_attempts=1, environment={"KIT_SYSFS": "/nowhere"})
    assert [record.type for record in records] == [
        *("hello", "begin", "loaded"),
        *("sample", "sample", "bye"),
    ]
    hello, bye = records[0], records[-1]
    assert isinstance(hello, Hello)
    assert isinstance(bye, Bye)
    assert (hello.threads, hello.runner) == (1, "executorch-native")
    assert hello.affinity == tuple(sorted(os.sched_getaffinity(0)))
    samples = [record for record in records if isinstance(record, Sample)]
    # The chain of instructions is timed on arm64 too; its speed here is qemu's.
    assert all((sample.freq_khz or 0) > 0 for sample in samples)
    assert all(sample.temperature_mc is None for sample in samples)


def test_a_broken_program_is_a_failure_and_the_others_go_on(
    arm64: list[str], files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pte"
    broken.write_bytes(files[0].read_bytes()[:64] + b"\xff" * 4096)
    items = [
        PlanItem(id=0, file=str(broken), sha256="", loops=1),
        PlanItem(id=1, file=str(files[0]), sha256="", loops=1),
    ]
    records = run(arm64, items, rounds=1, max_attempts=1)
    failures = [record for record in records if isinstance(record, Failure)]
    assert [(failure.item, failure.kind) for failure in failures] == [(0, "load")]
    assert [record.item for record in records if isinstance(record, Sample)] == [1]
