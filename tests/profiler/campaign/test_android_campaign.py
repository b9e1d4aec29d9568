"""Campaigns on the loopback device, from the command line: the whole way and its faults."""

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from device_agents.adb.device import AdbDevice
from device_agents.native import build as native
from device_agents.protocol import CLOCK_STEP_NS
from profiler.tables.summary import summary
from profiler.verification.device_side import device_side
from search.spaces.registry import make_space
from search.table.store import Table, read_table
from tests.device_agents.conftest import server  # noqa: F401 (a fixture)
from tests.loopback.adb_server import AdbServer
from tests.loopback.device import LoopbackDevice
from tests.loopback.faults import NOISE
from tests.loopback.phone import this_host
from tests.waiting import PATIENCE_S, wait_until

# Three blocks, their reference operator and the empty program: seconds to build.
PASSES, ROUNDS = 6, 2
FEW = ["--space", "fbnet-mini", "--filter", "_e1_m16", "--fast", "--precision", "90"]
FEW += ["--iterations", str(PASSES * ROUNDS), "--min-time", "200"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the runner in it; artefacts are built once for all tests."""
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    runner = native.build()
    folder = tmp_path_factory.mktemp("cache")
    place = folder / "runners" / runner.parent.name / runner.name
    place.parent.mkdir(parents=True)
    shutil.copy(runner, place)
    return folder


@pytest.fixture(autouse=True)
def surroundings(bench, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # After `bench`, whose own cache is empty.
    monkeypatch.setenv("KIT_CACHE", str(cache))
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[LoopbackDevice]:
    with LoopbackDevice(tmp_path / "device") as device:
        if device.ground != "namespace":
            pytest.skip("plans name device paths, which need a mount namespace")
        yield device


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def when_measuring(device: LoopbackDevice, act: Callable[[], None]) -> None:
    """Act once a runner was started on the device."""

    def is_measuring() -> bool:
        return any("KIT_RUNNER_SHA256" in text for text in list(device.commands))

    def wait() -> None:
        wait_until(is_measuring, "a runner on the device")
        act()

    threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that went away is given up soon; until then it may take its time."""
    reconnect = AdbDevice.reconnect

    def hastily(self: AdbDevice) -> None:
        self.timeout_s = 0.5
        reconnect(self)

    monkeypatch.setattr(AdbDevice, "reconnect", hastily)
    monkeypatch.setattr("device_agents.android.agent._PATIENCE_S", 0.5)


Campaign = Callable[..., Ended]


@pytest.fixture
def campaign(bench, device: LoopbackDevice) -> Campaign:
    def run(*words: str) -> Ended:
        way = ["--device", "android", "--connect", device.address, "-o", str(bench.output)]
        done = bench.call(*FEW, *way, *words)
        return Ended(done.code, done.out, done.err)

    return run


def only_table(bench) -> Table:
    (folder,) = bench.written()
    return read_table(folder)


def check_whole(table: Table, rounds: int = ROUNDS) -> None:
    """No operator lost, none counted twice."""
    samples = table.samples()
    base = samples[samples["pass"] < PASSES]
    assert {entry.status for entry in table.entries} == {"ok"}
    assert not samples.duplicated(["item", "pass", "round"]).any()
    assert base.groupby("item").size().eq(PASSES * rounds).all()
    assert {entry.key for entry in table.entries} <= set(base["item"])


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


@pytest.mark.thorough
def test_what_a_phone_refuses_and_lacks_is_in_its_table(bench, tmp_path: Path) -> None:
    phone = replace(this_host(), stay_on_refused=True, offline=(62, 63), missing=("sha256sum",))
    with LoopbackDevice(tmp_path / "device", phone=phone) as device:
        if device.ground != "namespace":
            pytest.skip("plans name device paths, which need a mount namespace")
        way = ["--device", "android", "--connect", device.address, "-o", str(bench.output)]
        ended = bench.call(*FEW, *way)
    assert ended.code == 0, ended.err
    assert "has no sha256sum: sha1sum checks" in ended.err
    table = only_table(bench)
    protocol = table.manifest.protocol
    assert protocol.cores_offline == (62, 63)
    assert "SecurityException" in protocol.refused_settings["stay-on"]
    for part in ("refused to keep its screen on", "Cores 62-63 are switched off"):
        assert ended.err.count(part) == 1  # told once
        assert any(part in note for note in table.manifest.notes)


@pytest.mark.thorough
def test_a_rerun_copies_no_artefact_and_tells_what_changed(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    assert campaign().code == 0
    before, commands = device.traffic.files_pushed, len(device.commands)
    folder = device.files.within("data/local/tmp/fbnet-kit/files")
    held = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    ended = campaign()
    assert ended.code == 0
    runs = [text for text in device.commands[commands:] if "KIT_RUNNER_SHA256" in text]
    assert len(runs) == PASSES  # one launch a pass
    assert device.traffic.files_pushed - before == PASSES  # the plans, and nothing else
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == held
    first, second = map(read_table, bench.written())
    assert second.manifest.parent_id == first.manifest.table_id
    assert re.search(r"since .*-v1: \d+ operators? slower", ended.err)


@pytest.mark.thorough
def test_another_phone_is_another_folder(bench, campaign: Campaign, device: LoopbackDevice) -> None:
    assert campaign().code == 0
    (device.files.within("loopback/props") / "ro.serialno").write_text("loopback-0002\n")
    assert campaign().code == 0
    assert len({folder.parent for folder in bench.written()}) == 2


@pytest.mark.thorough
def test_a_daemon_that_is_killed_again_and_again_costs_no_operator(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    over, done = threading.Event(), threading.Event()
    kills: list[int] = []

    def kill() -> None:
        while not over.wait(0.3) and len(kills) < 6:
            device.stop()
            over.wait(0.2)
            device.start()
            kills.append(1)
        done.set()

    when_measuring(device, kill)
    ended = campaign("--iterations", "84")
    for _ in range(12):
        if ended.code != 3:
            break
        # A busy machine may not bring one sample between two kills: five times is too often.
        # Nor is a device found that is down just then.
        ended = campaign("--iterations", "84", "--resume")
    over.set()
    assert done.wait(PATIENCE_S)
    assert ended.code == 0, ended.err
    assert kills
    check_whole(only_table(bench), rounds=14)
    files = device.files.within("data/local/tmp/fbnet-kit/files")
    assert not [path for path in files.iterdir() if path.suffix == ".part"]
    assert device.settings.history()[-1].endswith("false")


@pytest.mark.thorough
@pytest.mark.parametrize("lines", [1, 9, 40])
def test_output_cut_in_the_middle_of_a_line_costs_nothing(
    bench, campaign: Campaign, device: LoopbackDevice, lines: int
) -> None:
    device.faults.drop_mid_line = lines
    ended = campaign()
    assert ended.code == 0, ended.err
    assert device.faults.fired == 1
    check_whole(only_table(bench))


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


@pytest.mark.thorough
def test_a_device_that_comes_back_without_its_files_gets_them_again(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    folder = device.files.within("data/local/tmp/fbnet-kit")

    def wipe() -> None:
        device.stop()
        shutil.rmtree(folder)
        device.start()

    when_measuring(device, wipe)
    ended = campaign("--iterations", "402")
    assert ended.code == 0, ended.err
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


@pytest.mark.thorough
def test_noise_in_every_answer_changes_no_result(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    device.faults.noise = NOISE
    assert campaign().code == 0
    check_whole(only_table(bench))
    assert not device.files.within("data/local/tmp/owned").exists()


@pytest.mark.thorough
def test_the_kits_folder_is_listed_and_removed(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    assert campaign().code == 0
    folder = device.files.within("data/local/tmp/fbnet-kit")
    words = ["devices", "clean", "--connect", device.address]
    listed = bench.call(*words, "--dry-run")
    assert "would be removed" in listed.out
    assert folder.is_dir()
    removed = bench.call(*words)
    assert re.search(r"\d+ files, \d+\.\d MiB removed", removed.out)
    assert not folder.exists()


def test_two_phones_of_one_model_share_a_campaign_and_the_table_says_who_took_what(
    bench,
    device: LoopbackDevice,
    tmp_path: Path,
    server: AdbServer,  # noqa: F811
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
