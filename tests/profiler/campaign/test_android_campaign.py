"""Campaigns on the loopback device, from the command line: the whole way and its faults."""

# ruff: noqa: F811 (fixtures are imported, and asked for by name)
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.artefact import ExportSpec
from deploy.build import build_one
from deploy.cli import main as deploy_main
from deploy.exporters.registry import exporter_entry
from deploy.network import seeded_network
from deploy.verification.device_side import Chunk, DeviceOptions, VerificationRequest
from device_agents.protocol import CLOCK_STEP_NS
from profiler.tables.summary import summary
from profiler.verification.device_side import device_side
from search.spaces.registry import make_space
from tests.device_agents.conftest import server  # noqa: F401 (a fixture)
from tests.loopback.adb_server import AdbServer
from tests.loopback.device import LoopbackDevice
from tests.profiler.campaign.loopback_phone import (  # noqa: F401 (fixtures among them)
    FEW,
    Campaign,
    cache,
    campaign,
    check_whole,
    device,
    impatient,
    only_table,
    surroundings,
    when_measuring,
)


def test_a_table_tells_all_that_is_known_of_the_device(bench, campaign: Campaign) -> None:
    ended = campaign("--max-temp", "60")
    assert ended.code == 0, ended.err
    assert "not a phone" in ended.err
    assert "not a phone" in ended.out
    table = only_table(bench)
    check_whole(table)
    manifest = table.manifest
    assert manifest.device.kind == "rehearsal"
    assert manifest.device.id.startswith("rehearsal-fbnet-kit-loopback-")
    assert manifest.device.serial_hash
    assert "loopback-0001" not in manifest.model_dump_json()
    assert manifest.runtime.runner == "executorch-native"
    protocol = manifest.protocol
    assert protocol.fixed_performance_mode is True
    assert protocol.affinity_asked == protocol.affinity_observed
    assert protocol.governor == "schedutil"
    for state in (protocol.phone_before, protocol.phone_after):
        assert state is not None
        assert (state.thermal_status, state.battery_percent) == ("none", 90)
        assert (state.power_sources, state.stay_on) == (("usb",), True)
    assert (protocol.cores_offline, protocol.refused_settings) == ((), {})


def test_a_frozen_device_ends_with_code_3_and_the_command_that_goes_on(
    bench, campaign: Campaign, device: LoopbackDevice, impatient: None
) -> None:
    when_measuring(device, device.faults.freeze)
    ended = campaign("--timeout", "5", "--iterations", "20000")
    assert ended.code == 3, ended.err
    assert "python -m profiler" in ended.err
    assert "--connect" in ended.err
    assert ended.err.rstrip().endswith("--resume")
    assert bench.journals()
    device.faults.thaw()


def test_a_lost_device_is_resumed_where_it_was(
    bench, campaign: Campaign, device: LoopbackDevice, impatient: None
) -> None:
    words = ["--iterations", "402"]
    when_measuring(device, device.stop)
    ended = campaign(*words)
    assert ended.code == 3, ended.err
    device.start()
    ended = campaign(*words, "--resume")
    assert ended.code == 0, ended.err
    assert "restored now" in ended.err
    check_whole(only_table(bench), rounds=67)


def test_a_full_device_ends_with_its_sentence(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    device.faults.quota_bytes = 60 * 2**20 - 200_000
    device.files.within("data/local/tmp").mkdir(parents=True, exist_ok=True)
    device.files.within("data/local/tmp/ballast").write_bytes(bytes(20 * 2**20))
    ended = campaign()
    assert ended.code == 3
    assert "MiB free" in ended.err
    assert "devices clean" in ended.err


def test_two_phones_of_one_model_share_a_campaign_and_the_table_says_who_took_what(
    bench,
    device: LoopbackDevice,
    tmp_path: Path,
    server: AdbServer,
) -> None:
    other = replace(device.phone, serial="loopback-0002")
    with LoopbackDevice(tmp_path / "other", phone=other) as second:
        serials = [server.connect(one.address) for one in (device, second)]
        try:
            words = ["--device", "android", "--adb-server", server.address]
            way = [*words, "--serial", ",".join(serials), "-o", str(bench.output)]
            ended = bench.call(*FEW, *way)
            assert ended.code == 0, ended.err
        finally:
            for serial in serials:
                server.call("disconnect", serial)
        assert not second.settings.fixed_performance
    table = only_table(bench)
    check_whole(table)
    assert table.manifest.device.id.endswith("-fleet2")
    assert (table.manifest.device.serial_hash or "").count("+") == 1
    samples = table.samples()
    phones = samples["at_ns"] // CLOCK_STEP_NS
    assert set(phones) == {0, 1}
    assert phones.groupby(samples["item"]).nunique().eq(1).all()
    both = table.manifest.phones
    assert both is not None
    assert (both.shared_items, [phone.number for phone in both.phones]) == (3, [0, 1])
    assert sum(phone.items for phone in both.phones) == samples["item"].nunique()
    named = {number: both.phones[number].serial_hash for number in (0, 1)}
    own = phones.groupby(samples["item"]).first().map(named)
    assert {row.key: row.sampling.phone for row in table.entries} == {
        row.key: own[row.key] for row in table.entries
    }
    assert "  phones     2 phones of one model" in "\n".join(summary(table))


def test_a_network_is_compared_with_torch_and_timed_on_the_device(
    bench, device: LoopbackDevice
) -> None:
    space = make_space("fbnet-mini")
    network = space.architecture(["k3_e1"] * len(space.layers), "net")
    subject = ExportSpec(name="net", operators=network.operators)
    images = np.random.default_rng(1).normal(size=(4, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = seeded_network(network.operators)(torch.from_numpy(images)).numpy()
    proof = device_side.verify(
        VerificationRequest(
            architecture=network,
            export=subject,
            artefact=build_one(subject, exporter_entry("xnnpack", "fp32")),
            device=DeviceOptions(name=f"android@{device.address}", preset="fast"),
            chunks=(Chunk(images=images, expected=expected),),
            tables=bench.output,
            quiet=True,
        )
    )
    assert proof.numbers is not None
    assert (proof.numbers.images, proof.numbers.agreement) == (4, 1.0)
    assert proof.numbers.largest_error < 1e-3
    assert proof.device.startswith("rehearsal-")
    assert "not a phone" in proof.model
    assert proof.latency.centre_us > 0


def test_a_checkup_reports_each_check_and_restores(bench, device: LoopbackDevice) -> None:
    report = bench.folder / "report.json"
    ended = bench.call("checkup", "--connect", device.address, "-o", str(report))
    assert ended.code == 0, ended.out
    content = json.loads(report.read_text())
    names = ["identity", "transport", "speed", "runner", "steady state", "heat", "measurement"]
    assert [check["name"] for check in content["checks"]] == [*names, "restored"]
    assert content["passed"]
    assert content["rehearsal"]
    assert "not a phone" in ended.out
    assert not device.settings.fixed_performance


def test_a_checkup_without_a_runner_reports_all_else_and_writes_its_file(
    bench, device: LoopbackDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "nothing-built"))
    report = bench.folder / "report.json"
    ended = bench.call("checkup", "--connect", device.address, "-o", str(report))
    assert ended.code == 1
    checks = {check["name"]: check for check in json.loads(report.read_text())["checks"]}
    assert [name for name, check in checks.items() if not check["passed"]] == [
        "runner",
        "measurement",
    ]
    assert "python -m device_agents.native" in checks["runner"]["says"]
    assert checks["measurement"]["says"] == "not tried: the runner comes first"
    assert checks["speed"]["facts"]["push_mb_per_s"] > 0
    assert ended.out.count("native runner of this machine") == 1
    assert "checkup: 7 of 7" in ended.err


@pytest.mark.parametrize("verb", ["deploy", "compare"])
def test_deploy_and_compare_reach_the_device_that_a_campaign_reaches(
    bench, device: LoopbackDevice, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ["--device", "android", "--connect", device.address, "--fast", "--quiet"]
    words = ["FBNet-A"] if verb == "deploy" else ["FBNet-A", "FBNet-B"]
    # Both ask the device before they build: what is refused there was reached.
    way += ["--runtime", "none-such"]
    if verb == "compare":
        ended = bench.call("compare", *words, *way)
        code, said = ended.code, ended.err
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["deploy", *words, *way])
            with pytest.raises(SystemExit) as left:
                deploy_main()
        code, said = left.value.code, capsys.readouterr().err
    assert code == 2, said
    assert "none-such" in said
    assert "no such option" not in said.lower()
