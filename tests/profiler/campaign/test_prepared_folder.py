"""Prepared folders: written without a phone, and their records read back into a table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.exporters import registry
from device_agents.base import AgentSettings
from device_agents.device import Device, load_device
from device_agents.iphone.instructions import instructions
from device_agents.iphone.replay import ReplayAgent
from device_agents.iphone.transport import BUNDLE
from device_agents.protocol import (
    Begin,
    Failure,
    Hello,
    Loaded,
    Plan,
    Record,
    Sample,
    dump_plan,
    dump_record,
    load_plan,
    parse_record,
    with_digest,
)
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.campaign import prepared_folder
from profiler.campaign.prepared_folder import Job, prepare, recorded_plan
from profiler.planning.plan import make_plan
from profiler.settings import CampaignSettings
from search.console.progress import Silent
from search.errors import DeviceError, DeviceLost, KitError, UsageError
from search.spaces.registry import make_space

PHONE = load_device("iphonex")
# On a phone eight times slower the small space's operators take what FBNet's do.
TRUTH = Truth.from_options(
    {**load_device("simulated-iphone").options, "gmacs_per_s": 50.0, "gb_per_s": 3.75}
)


@pytest.fixture
def simulated_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of the simulated exporter, written as they are."""

    def as_files(content: bytes, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    entry = registry.exporter_entry("simulated", "fp16")
    monkeypatch.setitem(registry._ENTRIES, ("coreml-cpu_only", "fp16"), entry)
    monkeypatch.setattr(prepared_folder, "replace_folder", as_files)


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


def measure(folder: Path, rounds: int | None = None) -> None:
    """What the app would do, done by the simulated phone."""
    plan = load_plan((folder / "plan.json").read_text())
    items = tuple(item.model_copy(update={"file": str(folder / item.file)}) for item in plan.items)
    wanted = {"items": items, "backend": "simulated", "rounds": rounds or plan.rounds}
    agent_settings = AgentSettings(backend="simulated", threads=1, affinity=None)
    contents = {item.id: item.sha256 for item in plan.items}
    with SimulatedAgent(agent_settings, TRUTH) as agent:
        records = [
            as_the_app_says(record, plan, contents)
            for record in agent.run(plan.model_copy(update=wanted))
        ]
    write_records(folder, records)


def as_the_app_says(record: Record, plan: Plan, contents: dict[int, str]) -> Record:
    match record:
        case Hello():
            phone = {"runner": "coreml-agent", "runtime": "coreml", "runtime_version": "16.7"}
            facts = {**phone, "device_model": "iPhone10,3", "backend": plan.backend}
            facts["runner_build"] = "2.0 (2)"
            return record.model_copy(update=facts)
        case Begin() | Loaded():
            placed = {"sha256": contents[record.item]}
            return record.model_copy(
                update=placed | ({"placement": None} if isinstance(record, Loaded) else {})
            )
    return record


def write_records(folder: Path, records: list[Record]) -> None:
    (folder / "records.jsonl").write_text("".join(f"{dump_record(r)}\n" for r in records))


def read_records(folder: Path) -> list[Record]:
    return [parse_record(line) for line in (folder / "records.jsonl").read_text().splitlines()]


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


# --- planted faults


Change = Callable[[list[Record]], list[Record]]


def hello(**facts: Any) -> Change:
    return lambda records: [records[0].model_copy(update=facts), *records[1:]]


def each(kind: type, number: int | None = None, **facts: Any) -> Change:
    """Change records of one kind: the first `number`, or all."""

    def change(records: list[Record]) -> list[Record]:
        left, made = number, []
        for record in records:
            if isinstance(record, kind) and (left is None or left > 0):
                record = record.model_copy(update=facts)
                left = None if left is None else left - 1
            made.append(record)
        return made

    return change


def _bye(records: list[Record], **more: int) -> list[Record]:
    bye = records[-1]
    counts = {name: getattr(bye, name) + number for name, number in more.items()}
    return [*records[:-1], bye.model_copy(update=counts)]


def double_a_block(records: list[Record]) -> list[Record]:
    sample = next(r for r in records if isinstance(r, Sample))
    return _bye([*records[:-1], sample, records[-1]], samples=1)


def double_all_blocks(records: list[Record]) -> list[Record]:
    samples = [r for r in records if isinstance(r, Sample)]
    return _bye([*records[:-1], *samples, records[-1]], samples=len(samples))


def block_of_a_further_round(records: list[Record]) -> list[Record]:
    sample = next(r for r in records if isinstance(r, Sample))
    late = sample.model_copy(update={"round": 10_000})
    return _bye([*records[:-1], late, records[-1]], samples=1)


def program_never_loaded(records: list[Record]) -> list[Record]:
    first = next(n for n, r in enumerate(records) if isinstance(r, Loaded))
    return records[:first] + records[first + 1 :]


def lose_a_block(records: list[Record]) -> list[Record]:
    first = next(n for n, r in enumerate(records) if isinstance(r, Sample))
    return records[:first] + records[first + 1 :]


PLANTED: dict[str, Change] = {
    "another model": hello(device_model="iPhone12,1"),
    "no model": hello(device_model=None),
    "a newer system": hello(runtime_version="17.0"),
    "an older system": hello(runtime_version="15.7"),
    "no system": hello(runtime_version=None),
    "another unit": hello(backend="coreml-cpu_and_gpu"),
    "another runtime": hello(backend="xnnpack"),
    "more threads": hello(threads=2),
    "another job": hello(nonce="prepared"),
    "hot throughout": each(Sample, thermal_state="serious"),
    "critically hot for a third": each(Sample, 900, thermal_state="critical"),
    "another file begun": each(Begin, 1, sha256="0" * 64),
    "another file loaded": each(Loaded, 1, sha256="0" * 64),
    "no file named": each(Loaded, sha256=None),
    "a block twice": double_a_block,
    "all blocks twice": double_all_blocks,
    "a block too many": block_of_a_further_round,
    "a block lost": lose_a_block,
    "a program never loaded": program_never_loaded,
    "other numbers of calls": each(Sample, 1, loops=77),
    "a block of no time": each(Sample, 1, ns=0),
}


@pytest.fixture
def small_folder(bench: Any, tmp_path: Path, simulated_packages: None) -> Path:
    """A measured folder of one operator."""
    settings = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16").spec,
        dtype="fp16",
        backend="coreml-cpu_only",
        chains=(1, 4, 16),
        filter="head|^classifier",
    )
    prepare(make_plan(settings), PHONE, tmp_path / "job", None, Silent())
    measure(tmp_path / "job")
    return tmp_path / "job"


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_refused(fault: str, small_folder: Path) -> None:
    ReplayAgent(PHONE, small_folder)
    write_records(small_folder, PLANTED[fault](read_records(small_folder)))
    with pytest.raises(KitError):
        ReplayAgent(PHONE, small_folder)


@pytest.mark.parametrize("where", ["ne", "cpu+gpu", "unknown", "gpu"])
def test_a_program_that_ran_elsewhere_than_asked_has_failed(where: str, small_folder: Path) -> None:
    write_records(small_folder, each(Loaded, 1, placement=where)(read_records(small_folder)))
    plan = load_plan((small_folder / "plan.json").read_text())
    replayed = list(ReplayAgent(PHONE, small_folder).run(plan.model_copy(update={"rounds": 1})))
    (failure,) = [record for record in replayed if isinstance(record, Failure)]
    assert failure.kind == "placement"
    assert "asked for was cpu_only" in failure.message


def test_a_few_hot_blocks_are_marked_and_left_out(small_folder: Path) -> None:
    hot = each(Sample, 10, thermal_state="serious")
    write_records(small_folder, hot(read_records(small_folder)))
    agent = ReplayAgent(PHONE, small_folder)
    assert any("10 of" in remark and "hot" in remark for remark in agent.remarks())
    plan = load_plan((small_folder / "plan.json").read_text())
    samples = [record for record in agent.run(plan) if isinstance(record, Sample)]
    assert 0 < sum(sample.switches > 0 for sample in samples) <= 10


def test_records_that_no_phone_wrote_are_marked_as_simulated(small_folder: Path) -> None:
    write_records(small_folder, hello(runner="agent-linux")(read_records(small_folder)))
    assert ReplayAgent(PHONE, small_folder).source == "simulated"


def test_the_phones_own_words_reach_the_table(tmp_path: Path) -> None:
    plan = with_digest(
        Plan(nonce="", backend="coreml-cpu_only", threads=1, order_seed=0, rounds=0, items=())
    )
    said = Hello(
        nonce=plan.nonce, runner="coreml-agent", runtime="coreml", runtime_version="16.7",
        backend=plan.backend, threads=1, device_model="iPhone10,3", os_build="20H350",
    )  # fmt: skip
    (tmp_path / "plan.json").write_text(dump_plan(plan))
    bye = '{"type":"bye","samples":0,"sentinels":0,"failures":0}'
    (tmp_path / "records.jsonl").write_text(f"{dump_record(said)}\n{bye}\n")
    info = ReplayAgent(PHONE, tmp_path).info()
    assert (info.model, info.os, info.os_build) == ("iPhone10,3", "iOS 16.7", "20H350")
