"""Campaigns on a loopback phone that is killed, changed, noisy or new: nothing is lost."""

# ruff: noqa: F811 (fixtures are imported, and asked for by name)
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from search.table.store import read_table
from tests.device_agents.conftest import server  # noqa: F401 (a fixture)
from tests.loopback.device import LoopbackDevice
from tests.loopback.faults import NOISE
from tests.loopback.phone import this_host
from tests.profiler.campaign.loopback_phone import (  # noqa: F401 (fixtures among them)
    FEW,
    PASSES,
    Campaign,
    cache,
    campaign,
    check_whole,
    device,
    only_table,
    surroundings,
    when_measuring,
)
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.thorough


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


def test_another_phone_is_another_folder(bench, campaign: Campaign, device: LoopbackDevice) -> None:
    assert campaign().code == 0
    (device.files.within("loopback/props") / "ro.serialno").write_text("loopback-0002\n")
    assert campaign().code == 0
    assert len({folder.parent for folder in bench.written()}) == 2


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


@pytest.mark.parametrize("lines", [1, 9, 40])
def test_output_cut_in_the_middle_of_a_line_costs_nothing(
    bench, campaign: Campaign, device: LoopbackDevice, lines: int
) -> None:
    device.faults.drop_mid_line = lines
    ended = campaign()
    assert ended.code == 0, ended.err
    assert device.faults.fired == 1
    check_whole(only_table(bench))


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


def test_noise_in_every_answer_changes_no_result(
    bench, campaign: Campaign, device: LoopbackDevice
) -> None:
    device.faults.noise = NOISE
    assert campaign().code == 0
    check_whole(only_table(bench))
    assert not device.files.within("data/local/tmp/owned").exists()


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
