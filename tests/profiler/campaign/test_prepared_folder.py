"""Prepared folders: written without a phone, and their records read back into a table."""

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.device import Device, load_device
from device_agents.iphone.replay import ReplayAgent
from device_agents.protocol import Hello, Plan, dump_plan, dump_record, load_plan
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.campaign import prepared_folder
from profiler.campaign.prepared_folder import Job, prepare
from profiler.planning.plan import make_plan
from profiler.settings import CampaignSettings
from search.console.progress import Silent
from search.errors import DeviceError, DeviceLost, UsageError
from search.spaces.registry import make_space

PHONE = load_device("iphonex")
# On a phone eight times slower the small space's operators take what FBNet's do.
TRUTH = Truth.from_options(
    {**load_device("simulated-iphone").options, "gmacs_per_s": 50.0, "gb_per_s": 3.75}
)


@pytest.fixture
def settings(bench: Any) -> CampaignSettings:
    made: CampaignSettings = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16").spec,
        dtype="fp16",
        chains=(1, 4, 16),
        extra_passes=0,
    )
    return made


@pytest.fixture
def folder(settings: CampaignSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared folder whose packages are the simulated exporter's, written as they are."""

    def as_files(content: bytes, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    monkeypatch.setattr(prepared_folder, "replace_folder", as_files)
    prepare(make_plan(settings), PHONE, tmp_path / "job", None, Silent())
    return tmp_path / "job"


def measure(folder: Path, rounds: int | None = None) -> None:
    """What the app would do, done by the simulated phone."""
    plan = load_plan((folder / "plan.json").read_text())
    items = tuple(item.model_copy(update={"file": str(folder / item.file)}) for item in plan.items)
    wanted = {"items": items, "backend": "simulated", "rounds": rounds or plan.rounds}
    with SimulatedAgent(agent_settings(), TRUTH) as agent:
        records = list(agent.run(plan.model_copy(update=wanted)))
    (folder / "records.jsonl").write_text("".join(f"{dump_record(r)}\n" for r in records))


def agent_settings() -> Any:
    from device_agents.base import AgentSettings

    return AgentSettings(backend="simulated", threads=1, affinity=None)


def test_a_folder_holds_the_whole_campaign(folder: Path, settings: CampaignSettings) -> None:
    plan = load_plan((folder / "plan.json").read_text())
    job = Job.model_validate_json((folder / "job.json").read_text())
    assert plan.rounds == settings.effort.passes * settings.effort.rounds
    assert set(job.items) == {item.id for item in plan.items}
    chains = [name for name in job.items.values() if name.endswith("*16")]
    assert len(chains) > 5
    assert "empty" in job.items.values()
    assert not job.failed
    assert all((folder / item.file).exists() for item in plan.items)
    readme = (folder / "README.txt").read_text()
    assert "xcrun devicectl device copy to" in readme
    assert "--records" in readme


def test_records_become_the_table_that_the_phone_would_have_given(
    folder: Path, settings: CampaignSettings, bench: Any
) -> None:
    measure(folder)
    table = bench.measure(settings=settings, agent=ReplayAgent(PHONE, folder))
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


def test_records_of_other_settings_are_refused(
    folder: Path, settings: CampaignSettings, bench: Any
) -> None:
    measure(folder)
    other = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16", resolution=64).spec,
        dtype="fp16",
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


class TestPackages:
    """One operator's chains as real packages."""

    @pytest.fixture(autouse=True)
    def _coremltools(self) -> None:
        pytest.importorskip("coremltools", reason="needs the iphone extra")

    @pytest.mark.parametrize("multifunction", [False, True])
    def test_packages_lie_where_the_plan_says(
        self, bench: Any, tmp_path: Path, multifunction: bool
    ) -> None:
        from deploy.coreml.program import read_program

        options = {"multifunction": multifunction}
        device: Device = PHONE.model_copy(update={"options": options})
        settings = bench.settings(
            device="iphonex",
            space=make_space("fbnet-mini", dtype="fp16").spec,
            dtype="fp16",
            backend="coreml-cpu_and_ne",
            chains=(1, 2, 3),
            filter="^classifier",
        )
        prepare(make_plan(settings), device, tmp_path / "job", 1, Silent())
        plan: Plan = load_plan((tmp_path / "job/plan.json").read_text())
        files = {item.file for item in plan.items}
        assert len(files) == (3 if multifunction else 6)
        for item in plan.items:
            program = read_program(tmp_path / "job" / item.file)
            assert item.method in program.functions
            assert program.specification == (9 if len(program.functions) > 1 else 7)
        assert json.loads(dump_plan(plan))["backend"] == "coreml-cpu_and_ne"


def test_the_phones_own_words_reach_the_table(tmp_path: Path) -> None:
    plan = Plan(nonce="n", backend="b", threads=1, order_seed=0, rounds=0, items=())
    hello = Hello(
        nonce="n", runner="coreml-agent", runtime="coreml", runtime_version="16.7", backend="b",
        threads=1, device_model="iPhone10,3", os_build="20H350",
    )  # fmt: skip
    (tmp_path / "plan.json").write_text(dump_plan(plan))
    bye = '{"type":"bye","samples":0,"sentinels":0,"failures":0}'
    (tmp_path / "records.jsonl").write_text(f"{dump_record(hello)}\n{bye}\n")
    info = ReplayAgent(PHONE, tmp_path).info()
    assert (info.model, info.os, info.os_build) == ("iPhone10,3", "iOS 16.7", "20H350")
