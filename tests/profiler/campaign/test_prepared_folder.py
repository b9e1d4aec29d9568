"""Prepared folders: written without a phone, and their records read back into a table."""

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.device import Device, load_device
from device_agents.iphone.instructions import instructions
from device_agents.iphone.replay import ReplayAgent
from device_agents.iphone.transport import BUNDLE
from device_agents.protocol import (
    Plan,
    dump_plan,
    load_plan,
    with_digest,
)
from profiler.campaign.prepared_folder import Job, prepare, recorded_plan
from profiler.planning.plan import make_plan
from profiler.settings import CampaignSettings
from search.console.progress import Silent
from search.errors import DeviceError, DeviceLost, UsageError
from search.spaces.registry import make_space
from tests.profiler.campaign.recorded import (
    PHONE,
    measure,
)


@pytest.fixture
def settings(bench: Any, simulated_packages: None) -> CampaignSettings:
    made: CampaignSettings = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16").spec,
        dtype="fp16",
        backend="coreml-cpu_only",
        chains=(1, 4, 16),
        extra_passes=0,
    )
    return made


@pytest.fixture
def folder(settings: CampaignSettings, tmp_path: Path) -> Path:
    """A prepared folder."""
    prepare(make_plan(settings), PHONE, tmp_path / "job", None, Silent())
    return tmp_path / "job"


def test_a_folder_holds_the_whole_campaign(folder: Path, settings: CampaignSettings) -> None:
    plan = load_plan((folder / "plan.json").read_text())
    job = Job.model_validate_json((folder / "job.json").read_text())
    assert plan.rounds == settings.effort.passes * settings.effort.rounds
    assert plan == with_digest(plan)
    assert set(job.items) == {item.id for item in plan.items}
    chains = [name for name in job.items.values() if name.endswith("*16")]
    assert len(chains) > 5
    assert "empty" in job.items.values()
    assert not job.failed
    assert all((folder / item.file).exists() for item in plan.items)
    readme = (folder / "README.txt").read_text()
    # devicectl reaches no phone below iOS 17.
    assert "devicectl" not in readme
    assert f"pymobiledevice3 apps push --udid UDID --documents {BUNDLE} models Documents" in readme
    assert plan.nonce in readme
    assert "--records" in readme


def test_the_readme_for_a_newer_phone_knows_both_ways() -> None:
    text = instructions(load_device("iphone"), "ab12")
    assert f"{BUNDLE} --job ab12" in text
    assert "--terminate-existing --" in text
    assert "pymobiledevice3 apps push" in text


def test_records_become_the_table_that_the_phone_would_have_given(
    folder: Path, settings: CampaignSettings, bench: Any
) -> None:
    measure(folder)
    table = bench.measure(settings=settings, agent=ReplayAgent(PHONE, folder))
    assert table.manifest.source == "measured"
    assert table.manifest.runtime.toolchain["agent app"] == "2.0 (2)"
    if installed := table.manifest.kit.packages.get("coremltools"):
        assert table.manifest.runtime.toolchain["coremltools"] == installed
    assert {entry.status for entry in table.entries} == {"ok"}
    assert table.manifest.device.id == "iphonex"
    assert table.manifest.protocol.chain_intercept_us == pytest.approx(150, rel=0.03)
    assert table.manifest.exam is not None
    assert table.manifest.exam.passed


def test_records_that_end_early_are_refused(
    folder: Path, settings: CampaignSettings, bench: Any
) -> None:
    measure(folder, rounds=2)
    with pytest.raises(DeviceError, match="end early"):
        bench.measure(settings=settings, agent=ReplayAgent(PHONE, folder))


@pytest.mark.parametrize("preset", ["--fast", None, "--rigorous"])
def test_a_round_trip_on_the_command_line(
    preset: str | None, bench: Any, tmp_path: Path, simulated_packages: None
) -> None:
    """The rounds come from the folder's own plan, whatever the preset."""
    job = tmp_path / "job"
    words = ["--device", "iphonex", "--space", "fbnet-mini", "--filter", "^classifier|^skip|head"]
    words += ["--quiet", "--output", str(bench.output), *([preset] if preset else [])]
    done = bench.call(*words, "--prepare", str(job))
    assert done.code == 0, done.err
    measure(job)
    done = bench.call(*words, "--records", str(job))
    assert done.code == 0, done.err
    assert "iphonex" in done.out
    for option in (
        "--dtype=w8",
        "--filter=^classifier",
        "--seed=5",
        "--backend=coreml-cpu_and_gpu",
    ):
        done = bench.call(*words, option, "--records", str(job))
        assert done.code == 2
        assert "was prepared with" in done.err


def test_another_preset_than_the_folders_is_named(folder: Path, settings: CampaignSettings) -> None:
    from dataclasses import replace

    other = replace(settings, effort=replace(settings.effort, preset="rigorous"))
    with pytest.raises(UsageError, match="prepared with preset fast, asked for is rigorous"):
        recorded_plan(make_plan(other), folder)


def test_stale_records_are_never_another_tables(folder: Path, tmp_path: Path, bench: Any) -> None:
    """The plan's nonce is its digest: records of another folder are refused."""
    measure(folder)
    other = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16").spec,
        dtype="fp16",
        backend="coreml-cpu_only",
        chains=(1, 4, 16),
        seed=1,
    )
    prepare(make_plan(other), PHONE, tmp_path / "other", None, Silent())
    (tmp_path / "other/records.jsonl").write_text((folder / "records.jsonl").read_text())
    with pytest.raises(DeviceLost, match="another run's plan"):
        ReplayAgent(PHONE, tmp_path / "other")


def test_a_plan_that_was_changed_is_refused(folder: Path) -> None:
    measure(folder)
    plan = load_plan((folder / "plan.json").read_text())
    changed = plan.model_copy(update={"warmup": plan.warmup + 1})
    (folder / "plan.json").write_text(dump_plan(changed))
    with pytest.raises(UsageError, match="not as it was prepared"):
        ReplayAgent(PHONE, folder)


def test_numbered_records_are_read_in_order_and_none_may_be_missing(folder: Path) -> None:
    measure(folder)
    lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").unlink()
    (folder / "records").mkdir()
    for number, start in enumerate(range(0, len(lines), 1000), 1):
        part = folder / f"records/{number:06d}.jsonl"
        part.write_text("".join(lines[start : start + 1000]))
    assert ReplayAgent(PHONE, folder).info().model == "iPhone10,3"
    (folder / "records/000002.jsonl").unlink()
    with pytest.raises(UsageError, match=r"lacks records/000002\.jsonl"):
        ReplayAgent(PHONE, folder)


def test_records_of_other_settings_are_refused(
    folder: Path, settings: CampaignSettings, bench: Any
) -> None:
    measure(folder)
    other = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16", resolution=64).spec,
        dtype="fp16",
        backend="coreml-cpu_only",
        chains=(1, 4, 16),
    )
    with pytest.raises(DeviceError, match="other packages"):
        bench.measure(settings=other, agent=ReplayAgent(PHONE, folder))


def test_records_cut_off_are_a_lost_device(folder: Path) -> None:
    measure(folder)
    path = folder / "records.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DeviceLost):
        ReplayAgent(PHONE, folder)


def test_a_folder_without_records_says_what_is_missing(folder: Path) -> None:
    with pytest.raises(UsageError, match="no prepared folder with records") as raised:
        ReplayAgent(PHONE, folder)
    assert "records.jsonl" in raised.value.remedy


def test_a_folder_that_holds_something_is_refused(
    settings: CampaignSettings, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder"):
        prepare(make_plan(settings), PHONE, tmp_path, None, Silent())


@pytest.mark.parametrize("option", ["--prepare", "--records"])
def test_other_devices_are_measured_directly(bench: Any, tmp_path: Path, option: str) -> None:
    done = bench.call(*bench.words(option, str(tmp_path / "new")))
    assert done.code == 2
    assert f"{option} is for iPhones" in done.err


def test_a_unit_that_the_phone_lacks_is_refused_before_anything_is_built(
    bench: Any, tmp_path: Path
) -> None:
    words = ("--device", "iphonex", "--space", "fbnet-mini", "--backend", "coreml-cpu_and_ne")
    done = bench.call(*words, "--prepare", str(tmp_path / "new"))
    assert done.code == 2
    assert "not open to Core ML" in done.err
    assert not (tmp_path / "new").exists()


@pytest.mark.thorough
class TestPackages:
    """One operator's chains as real packages."""

    @pytest.fixture(autouse=True)
    def _coremltools(self) -> None:
        pytest.importorskip("coremltools", reason="needs the iphone extra")

    def test_packages_lie_where_the_plan_says(self, bench: Any, tmp_path: Path) -> None:
        from deploy.coreml.package import open_package
        from deploy.coreml.program import read_program

        settings = bench.settings(
            device="iphonex",
            space=make_space("fbnet-mini", dtype="fp16").spec,
            dtype="fp16",
            backend="coreml-cpu_only",
            chains=(1, 2, 3),
            filter="^classifier",
        )
        for multifunction in (False, True):  # the second time the packages are built already
            options = {"multifunction": multifunction}
            device: Device = PHONE.model_copy(update={"options": options})
            job = tmp_path / f"job{multifunction}"
            prepare(make_plan(settings), device, job, 1, Silent())
            plan: Plan = load_plan((job / "plan.json").read_text())
            files = {item.file for item in plan.items}
            assert len(files) == (3 if multifunction else 6)
            for item in plan.items:
                open_package(job / item.file)
                program = read_program(job / item.file)
                assert item.method in program.functions
                assert program.specification == (9 if len(program.functions) > 1 else 7)
            assert json.loads(dump_plan(plan))["backend"] == "coreml-cpu_only"
