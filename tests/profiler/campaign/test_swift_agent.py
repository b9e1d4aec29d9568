"""The whole way on the real Swift core: prepared, run by agent-linux, judged against the truth.

agent-linux is the app's own core with programs of known time; what it measures
is marked as simulated.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.exporters import registry
from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.iphone.agent import IphoneAgent
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.protocol import load_plan
from device_agents.simulated.truth import Truth
from profiler.campaign import prepared_folder
from profiler.campaign.prepared_folder import Job
from profiler.planning.plan import CampaignPlan, make_plan
from search.files import sha256_bytes
from search.operators.spec import OperatorSpec, parse_key
from search.spaces.registry import make_space
from search.table.store import Table, read_table
from tests.device_agents.iphone.standin import Standin, listed
from tests.device_agents.iphone.swift import find_swift

pytestmark = pytest.mark.thorough

# As slow as an iPhone X might be, so that the small space's operators take microseconds.
TRUTH = Truth.from_options(
    {**load_device("simulated-iphone").options, "gmacs_per_s": 50.0, "gb_per_s": 3.75}
)
SPACE = make_space("fbnet-mini", dtype="fp16").spec


@pytest.fixture(scope="module")
def agent_linux() -> list[str]:
    swift = find_swift()
    if swift is None:
        pytest.skip("no Swift toolchain: the agent app's core has not been run here")
    return swift.agent()


@pytest.fixture
def simulated_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of the simulated exporter, written as they are."""

    def as_files(content: bytes, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    entry = registry.exporter_entry("simulated", "fp16")
    monkeypatch.setitem(registry._ENTRIES, ("coreml-cpu_only", "fp16"), entry)
    monkeypatch.setattr(prepared_folder, "replace_folder", as_files)


def truth_of(contents: list[bytes], place: Path, **facts: Any) -> Path:
    """What agent-linux is to know of these packages; faults by a key that is among their own."""
    faults: dict[str, dict[str, Any]] = facts.pop("faults", {})
    programs: dict[str, Any] = {}
    for content in contents:
        specs = tuple(map(parse_key, json.loads(content)))
        known: dict[str, Any] = {"ns": round(TRUTH.program_us(specs) * 1e3), "bytes": len(content)}
        for part, fault in faults.items():
            if any(part in spec.key for spec in specs):
                known |= fault
        programs[sha256_bytes(content)] = known
    phone = {"device_model": "iPhone10,3", "runtime_version": "16.7", "os_build": "20H350"}
    place.write_text(json.dumps({**phone, "noise": 0.01, "programs": programs, **facts}))
    return place


def check_operators(table: Table, relative: float) -> None:
    """Every operator of two microseconds and more within this share of its true time."""
    worst = {
        entry.key: abs(entry.time.centre_us / TRUTH.operator_us(entry.operator) - 1)
        for entry in table.entries
        if entry.time is not None and entry.time.centre_us > 2
    }
    assert worst
    assert max(worst.values()) < relative, worst


def run_agent(command: list[str], documents: Path, truth: Path, *words: str) -> int:
    return subprocess.run(
        [*command, str(documents), str(truth), *words], check=False, timeout=120
    ).returncode


def lay_out(job: Path, documents: Path) -> str:
    """What the commands in README.txt do."""
    nonce = load_plan((job / "plan.json").read_text()).nonce
    assert Job.model_validate_json((job / "job.json").read_text()).items
    (documents / "jobs" / nonce).mkdir(parents=True)
    (documents / "jobs" / nonce / "plan.json").write_bytes((job / "plan.json").read_bytes())
    (documents / "models").symlink_to(job / "models")
    return nonce


def test_the_offline_way_on_the_real_core(
    agent_linux: list[str], bench: Any, tmp_path: Path, simulated_packages: None
) -> None:
    """--prepare, the core (ended and gone on with from its icon), --records, a table."""
    job, documents = tmp_path / "job", tmp_path / "Documents"
    words = ["--device", "iphonex", "--space", "fbnet-mini", "--fast", "--quiet"]
    words += ["--output", str(bench.output)]
    assert bench.call(*words, "--prepare", str(job)).code == 0
    nonce = lay_out(job, documents)
    contents = [path.read_bytes() for path in (job / "models").iterdir()]
    facts = {"load_programs": 60, "ends_after": 1500, "noise": 0.001}
    known = truth_of(contents, tmp_path / "truth.json", **facts)
    codes: list[int] = []
    while not codes or codes[-1] == 137:
        codes.append(run_agent(agent_linux, documents, known))
        assert len(codes) < 50
    assert codes[-1] == 0
    assert len(codes) > 3
    assert run_agent(agent_linux, documents, known) == 2  # nothing is left to do
    (job / "records.jsonl").write_bytes((documents / "jobs" / nonce / "records.jsonl").read_bytes())
    done = bench.call(*words, "--records", str(job))
    assert done.code == 0, done.err + done.out
    (folder,) = bench.written()
    table = read_table(folder)
    assert table.manifest.source == "simulated"
    assert table.manifest.runtime.toolchain["agent app"] == "linux"
    assert {entry.status for entry in table.entries} == {"ok"}
    assert table.manifest.exam is not None
    assert table.manifest.exam.mape.value < 0.01
    check_operators(table, 0.01)


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    made = Standin(tmp_path / "bin", monkeypatch)
    made.write(listed=[listed()])
    return made


def test_the_live_way_on_the_real_core(
    agent_linux: list[str], bench: Any, tmp_path: Path, simulated_packages: None, standin: Standin
) -> None:
    """Killed while loading and between visits, lines cut, and started again by the host."""
    settings = bench.settings(
        device="iphonex",
        space=SPACE,
        dtype="fp16",
        backend="coreml-cpu_only",
        chains=(1, 2, 4),
        filter="i40_o40|^classifier",
        passes=2,
        extra_passes=0,
        timeout_s=0.6,
    )
    plan = make_plan(settings)
    deadly = _deadly(plan)
    known = truth_of(
        _contents(plan), tmp_path / "truth.json",
        ends_after=300, lines_per_file=7, noise=0.0005, faults={deadly.key: {"kills": True}},
    )  # fmt: skip
    command = [*agent_linux, str(standin.documents), str(known)]
    standin.write(agent=command, cut_lines=True)
    agent = IphoneAgent(
        load_device("iphonex"),
        AgentSettings(
            backend="coreml-cpu_only", threads=1, affinity=None, timeout_s=0.6, say=lambda _: None
        ),
        Pymobiledevice(),
        poll_s=0.02,
    )
    table = bench.measure(settings=settings, agent=agent)
    assert table.manifest.source == "simulated"
    (failed,) = [entry for entry in table.entries if entry.status == "failed"]
    assert failed.key == deadly.key
    assert "ended 2 times" in (failed.reason or "")
    check_operators(table, 0.03)


def _contents(plan: CampaignPlan) -> list[bytes]:
    from deploy.exporters.simulated import SimulatedExporter

    return [SimulatedExporter().build(spec).content for spec in plan.exports]


def _deadly(plan: CampaignPlan) -> OperatorSpec:
    """An operator that keeps its shape and is not the sentinel: only its own programs hold it."""
    return next(
        operator
        for operator in plan.operators
        if operator.residual and not plan.sentinel.startswith(operator.key)
    )
