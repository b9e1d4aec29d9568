"""The agent app's logic that needs no Apple framework, where a Swift toolchain is present."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.exporters.registry import COMPUTE_UNITS
from device_agents.iphone.transport import BUNDLE
from device_agents.protocol import Hello, Loaded, Plan, PlanItem, Sample, dump_plan

APP = Path(__file__).resolve().parents[3] / "device_agents/runners/coreml"
CORE = APP / "Sources/AgentCore"


def test_the_logic_passes_its_own_tests(tmp_path: Path) -> None:
    if shutil.which("swift") is None:
        pytest.skip("no Swift toolchain: the agent app has not been compiled here")
    words = ["swift", "test", "--package-path", str(APP), "--scratch-path", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_app_reads_fields_that_a_plan_has() -> None:
    text = (CORE / "Plan.swift").read_text()
    plan = Plan(nonce="a", backend="coreml-cpu_only", threads=1, order_seed=0, rounds=1, items=())
    known = json.loads(dump_plan(plan))
    for name in re.findall(r'case \w+ = "(\w+)"', text.partition("ComputeUnit:")[0]):
        assert name in known
    assert set(re.findall(r'case \w+ = "(cpu\w+)"', text)) == set(COMPUTE_UNITS)
    assert {"id", "file", "sha256", "method", "loops", "input", "output"} == set(
        PlanItem.model_fields
    )


def test_the_app_writes_fields_that_records_have() -> None:
    text = (CORE / "Records.swift").read_text()
    written = re.findall(r"public var (\w+):", text)
    fields = {f for kind in (Hello, Loaded, Sample) for f in kind.model_fields}
    fields |= {"kind", "message", "samples", "sentinels", "failures"}
    spelled = {"runner_sha256" if w == "runnerSha256" else re.sub("([A-Z])", r"_\1", w).lower()
               for w in written}  # fmt: skip
    assert spelled <= fields


def test_the_project_and_the_transports_name_the_same_app() -> None:
    assert f"PRODUCT_BUNDLE_IDENTIFIER: {BUNDLE}\n" in (APP / "App/project.yml").read_text()
