"""ONNX Runtime on a phone, through its C interface: arm64 code under qemu, one schema of tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from device_agents.android.agent import AndroidAgent
from device_agents.base import AgentSettings
from device_agents.device import Device, load_device
from device_agents.protocol import Failure, Plan, PlanItem, Record
from device_agents.runtime.build import build
from device_agents.runtime.compilers import find_cross_compiler
from device_agents.runtime.downloads import Downloads
from device_agents.runtime.folder import Runtime, find
from device_agents.runtime.targets import PHONE_ONNX
from search.errors import KitError
from search.files import sha256_file
from search.table.store import read_table
from tests.contracts.conftest import Export, export  # noqa: F401 (a fixture)
from tests.loopback.device import LoopbackDevice
from tests.loopback.emulation import find_emulator
from tests.loopback.phones import PHONES
from tests.profiler.conftest import Bench

pytestmark = pytest.mark.thorough

FEW = ["--space", "fbnet-mini", "--filter", "_e1_m16_g1.*_o16", "--fast"]
FEW += ["--iterations", "4", "--min-time", "200"]


@pytest.fixture(scope="module")
def onnx_runtime() -> Runtime:
    """The runtime, made once in the user's own cache."""
    if find_emulator() is None:
        pytest.skip("no emulator for arm64 (Debian: apt install qemu-user-static)")
    downloads = Downloads(offline=None, say=lambda _: None)
    found = find(PHONE_ONNX)
    if found is None and find_cross_compiler() is None:
        pytest.skip("no compiler for arm64 (Debian: apt install g++-aarch64-linux-gnu)")
    try:
        downloads.wheel(PHONE_ONNX.wheel)
    except KitError as error:
        pytest.skip(f"the wheel cannot be had: {error}")
    return found or build(PHONE_ONNX, downloads)


@pytest.fixture
def phone(
    bench: Bench, onnx_runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoopbackDevice]:
    # After `bench`, whose own cache is empty.
    monkeypatch.setenv("KIT_CACHE", str(onnx_runtime.path.parents[2]))
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path))
    with LoopbackDevice(tmp_path / "device", phone=PHONES["pixel-6"]) as device:
        if device.ground != "namespace":
            pytest.skip("an arm64 phone needs a mount namespace")
        yield device


def pixel(phone: LoopbackDevice) -> Device:
    return load_device("pixel").model_copy(update={"options": {"connect": phone.address}})


def run(agent: AndroidAgent, **item: Any) -> list[Record]:
    plan = Plan(
        nonce="n",
        backend="onnxruntime",
        threads=2,
        order_seed=0,
        rounds=0,
        warmup=1,
        items=(PlanItem(id=0, sha256="", loops=1, **item),),
    )
    return list(agent.run(plan))


def test_a_campaign_ends_in_a_table_that_names_the_runtime(
    bench: Bench, phone: LoopbackDevice, onnx_runtime: Runtime
) -> None:
    way = ["--device", "pixel", "--connect", phone.address, "--backend", "onnxruntime"]
    done = bench.call(*FEW, *way, "-o", str(bench.output))
    assert done.code in (0, 1), done.err  # 1: a busy machine disturbed too many blocks
    (folder,) = bench.written()
    assert "-onnxruntime-t1-" in folder.name
    table = read_table(folder)
    assert table.entries
    reasons = [entry.reason for entry in table.entries if entry.status == "failed"]
    assert all("preempted" in str(reason) for reason in reasons)  # by a busy machine
    runtime = table.manifest.runtime
    assert (runtime.name, runtime.version) == ("onnxruntime", PHONE_ONNX.wheel.version)
    assert runtime.runner_sha256 == onnx_runtime.sha256
    assert onnx_runtime.record.facts().items() <= runtime.toolchain.items()
    assert "runner_executorch" not in runtime.toolchain


def test_outputs_are_those_of_onnx_runtime_here(
    phone: LoopbackDevice,
    tmp_path: Path,
    export: Export,  # noqa: F811
) -> None:
    path = tmp_path / "groups.onnx"
    path.write_bytes(export("onnxruntime", "fp32", "groups of two").content)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (one,) = session.get_inputs()
    images = np.random.default_rng(0).standard_normal((2, *one.shape)).astype(np.float32)
    (tmp_path / "images").write_bytes(images.tobytes())
    settings = AgentSettings(backend="onnxruntime", threads=2, affinity=None, say=lambda _: None)
    with AndroidAgent(pixel(phone), settings) as agent:
        target = agent.reserve()
        file = agent.deliver(path, sha256_file(path))
        given = agent.deliver(tmp_path / "images", sha256_file(tmp_path / "images"))
        records = run(agent, file=file, input=given, output=target)
        assert not [record for record in records if isinstance(record, Failure)]
        actual = np.frombuffer(agent.collect(target), np.float32)
    expected = np.concatenate([session.run(None, {one.name: image})[0].ravel() for image in images])
    assert np.abs(actual - expected).max() < 1e-5


def test_a_file_that_is_no_model_is_a_failure_with_its_reason(
    phone: LoopbackDevice, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model at all")
    settings = AgentSettings(backend="onnxruntime", threads=1, affinity=None, say=lambda _: None)
    with AndroidAgent(pixel(phone), settings) as agent:
        records = run(agent, file=agent.deliver(path, sha256_file(path)))
    (failure,) = [record for record in records if isinstance(record, Failure)]
    assert failure.kind == "load"
    assert "CreateSession" in failure.message
