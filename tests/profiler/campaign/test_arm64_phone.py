"""The whole Android path on arm64 code: a described phone whose programs run under qemu.

Times mean nothing there; what is copied, started, computed, recorded and removed does.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from device_agents.adb.address import AdbAddress
from device_agents.adb.device import AdbDevice
from device_agents.adb.discovery import transport_for
from device_agents.android.agent import AndroidAgent
from device_agents.android.identity import identify
from device_agents.base import AgentSettings
from device_agents.device import Device, load_device
from device_agents.host.agent import HostAgent
from device_agents.native import build as native
from device_agents.protocol import Failure, Plan, PlanItem
from device_agents.runtime.folder import Runtime
from search.files import sha256_file
from search.table.store import read_table
from tests.contracts.conftest import Export, export  # noqa: F401 (a fixture)
from tests.loopback.device import LoopbackDevice
from tests.loopback.emulation import find_emulator
from tests.loopback.phones import PHONES

pytestmark = pytest.mark.thorough

THREE = ("residual", "stride", "groups of two")
FEW = ["--space", "fbnet-mini", "--filter", "_e1_m16_g1.*_o16", "--fast"]
FEW += ["--iterations", "4", "--min-time", "200"]


@pytest.fixture(scope="module")
def cache(phone_runtime: Runtime) -> Path:
    """The cache with the runtime in it."""
    if find_emulator() is None:
        pytest.skip("no emulator for arm64 (Debian: apt install qemu-user-static)")
    return phone_runtime.path.parents[2]


@pytest.fixture
def phone(
    bench, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoopbackDevice]:
    monkeypatch.setenv("KIT_CACHE", str(cache))  # after `bench`, whose own is empty
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path))
    with LoopbackDevice(tmp_path / "device", phone=PHONES["pixel-6"]) as device:
        if device.ground != "namespace":
            pytest.skip("an arm64 phone needs a mount namespace")
        yield device


def pixel(device: LoopbackDevice) -> Device:
    options = {"connect": device.address}
    return load_device("pixel").model_copy(update={"options": options})


def test_a_campaign_ends_in_a_table_of_a_rehearsal_and_leaves_nothing_behind(
    bench, phone: LoopbackDevice, phone_runtime: Runtime
) -> None:
    way = ["--device", "pixel", "--connect", phone.address]
    done = bench.call(*FEW, *way, "-o", str(bench.output))
    assert done.code in (0, 1), done.err  # 1: a busy machine disturbed too many blocks
    assert "not a phone" in done.err
    assert phone.traffic.bytes_pushed < 10e6
    (folder,) = bench.written()
    manifest = read_table(folder).manifest
    assert (manifest.device.kind, manifest.device.processor) == ("rehearsal", None)
    assert manifest.device.id.startswith("rehearsal-fbnet-kit-google-pixel-6-")
    runtime = manifest.runtime
    assert (runtime.version, runtime.runner_sha256) == ("1.5.1", phone_runtime.sha256)
    assert phone_runtime.record.facts().items() <= runtime.toolchain.items()
    assert manifest.kit.packages["executorch"] != runtime.version  # the exporter's own fact
    assert bench.call("devices", "clean", *way).code == 0
    assert not phone.files.within("data/local/tmp/fbnet-kit").exists()


def test_a_checkup_passes_and_names_the_runtime(
    bench, phone: LoopbackDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_agents.android.checkup._ROUNDS", 2)
    report = tmp_path / "report.json"
    way = ["--device", "pixel", "--connect", phone.address, "--tables", str(tmp_path)]
    done = bench.call("checkup", *way, "-o", str(report))
    checks = {check["name"]: check for check in json.loads(report.read_text())["checks"]}
    failed = [name for name, check in checks.items() if not check["passed"]]
    assert failed == [], done.err
    assert "GLIBC" in checks["runner"]["facts"]["runner_libc"]


def outputs(agent, files: dict[str, Path]) -> dict[str, np.ndarray]:
    """Each program's output for the inputs that its id draws."""
    targets = {name: agent.reserve() for name in files}
    items = [
        PlanItem(
            id=number,
            file=agent.deliver(path, sha256_file(path)),
            sha256="",
            output=targets[name],
            loops=1,
        )
        for number, (name, path) in enumerate(files.items())
    ]
    plan = Plan(
        nonce="n",
        backend="xnnpack",
        threads=1,
        order_seed=0,
        rounds=0,
        warmup=1,
        items=tuple(items),
    )
    assert [record for record in agent.run(plan) if isinstance(record, Failure)] == []
    return {
        name: np.frombuffer(agent.collect(target), np.float32) for name, target in targets.items()
    }


@pytest.mark.parametrize(("dtype", "limit"), [("fp32", 4e-7), ("int8", 0.0)])
def test_three_operators_give_the_hosts_outputs(
    phone: LoopbackDevice,
    tmp_path: Path,
    export: Export,  # noqa: F811
    dtype: str,
    limit: float,
) -> None:
    files = {name: tmp_path / f"{name}.pte" for name in THREE}
    for name, path in files.items():
        path.write_bytes(export("xnnpack", dtype, name).content)
    settings = AgentSettings(backend="xnnpack", threads=1, affinity=None, say=lambda _: None)
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the host's runner with")
    native.build()
    with HostAgent(settings) as host, AndroidAgent(pixel(phone), settings) as agent:
        expected, actual = outputs(host, files), outputs(agent, files)
    for name in THREE:
        assert np.ptp(expected[name]) > 0
        error = np.abs(expected[name] - actual[name]).max() / np.abs(expected[name]).max()
        assert error <= limit, name


@pytest.mark.parametrize("name", PHONES)
def test_every_described_phone_is_read_as_what_it_is(name: str, tmp_path: Path) -> None:
    if find_emulator() is None:
        pytest.skip("no emulator for arm64 (Debian: apt install qemu-user-static)")
    described = PHONES[name]
    with LoopbackDevice(tmp_path / "device", phone=described) as device:
        address = AdbAddress.of({"connect": device.address})
        connected = AdbDevice(transport_for(address, device.address))
        connected.connect()
        found = identify(connected)
        connected.close()
    assert (found.machine, found.rehearsal) == (described.machine, True)
    assert described.model in (found.info.model or "")
    cores = sorted(cpu for cluster in found.info.clusters for cpu in cluster.cpus)
    assert tuple(cores) == described.cpus
    fastest = found.info.clusters[-1].cpus
    assert set(fastest) <= set(described.clusters[-1].cpus)
