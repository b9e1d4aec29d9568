"""The agent app's Swift: its own tests, and its Apple-only files against written signatures.

Both need a toolchain (`tests/device_agents/iphone/swift.py`); without one they skip.
"""

import json
import re

import pytest

from deploy.exporters.registry import COMPUTE_UNITS
from device_agents.iphone.record_checks import RUNNER
from device_agents.iphone.transport import BUNDLE
from device_agents.protocol import Hello, Loaded, Plan, PlanItem, Sample, dump_plan
from tests.device_agents.iphone.swift import APP, Swift, find_swift

pytestmark = pytest.mark.thorough

CORE = APP / "Sources/AgentCore"


@pytest.fixture(scope="module")
def swift() -> Swift:
    found = find_swift()
    if found is None:
        pytest.skip("no Swift toolchain: the agent app has not been compiled here")
    return found


def test_the_logic_passes_its_own_tests_and_builds_without_warnings(swift: Swift) -> None:
    done = swift.build("test")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(r"Executed \d\d tests, with 0 failures", done.stdout + done.stderr)


@pytest.mark.parametrize("mode", ["5", "6"])
def test_apple_only_files_fit_the_signatures_that_they_use(swift: Swift, mode: str) -> None:
    """Core ML, SwiftUI and UIKit are stood in for by `stubs`: types and isolation are checked."""
    script = f"""
    set -e
    out=stubs/modules{mode}; mkdir -p $out
    common="-parse-as-library -I $out"
    for name in CoreML SwiftUI UIKit; do
      swiftc -emit-module $common -module-name $name stubs/$name.swift \
        -emit-module-path $out/$name.swiftmodule
    done
    strict="-swift-version {mode} -warnings-as-errors $common"
    swiftc $strict -emit-module -module-name AgentCore coreml/Sources/AgentCore/*.swift \
      -emit-module-path $out/AgentCore.swiftmodule
    swiftc $strict -emit-module -module-name CoreMLBackend coreml/Sources/CoreMLBackend/*.swift \
      -emit-module-path $out/CoreMLBackend.swiftmodule
    swiftc $strict -typecheck -module-name CoreMLAgent coreml/App/AgentApp.swift
    """
    done = swift.run("sh", "-c", script)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_app_reads_fields_that_a_plan_has() -> None:
    text = (CORE / "Plan.swift").read_text()
    plan = Plan(nonce="a", backend="coreml-cpu_only", threads=1, order_seed=0, rounds=1, items=())
    known = json.loads(dump_plan(plan))
    for name in re.findall(r'case \w+ = "(\w+)"', text.partition("ComputeUnit:")[0]):
        assert name in known
    assert set(re.findall(r'case \w+ = "(cpu\w+)"', text)) == set(COMPUTE_UNITS)
    fields = set(PlanItem.model_fields) - {"profile"}  # asked of ExecuTorch's runner alone
    assert fields == {"id", "file", "sha256", "method", "loops", "input", "output"}


def test_the_app_writes_fields_that_records_have() -> None:
    text = (CORE / "Records.swift").read_text()
    written = re.findall(r"public var (\w+):", text)
    fields = {f for kind in (Hello, Loaded, Sample) for f in kind.model_fields}
    fields |= {"kind", "message", "samples", "sentinels", "failures"}
    spelled = {re.sub("([A-Z])", r"_\1", word).lower() for word in written}
    assert spelled <= fields


def test_the_project_and_the_transports_name_the_same_app() -> None:
    assert f"PRODUCT_BUNDLE_IDENTIFIER: {BUNDLE}\n" in (APP / "App/project.yml").read_text()
    assert f'record.runner = "{RUNNER}"' in (APP / "App/AgentApp.swift").read_text()


def test_the_project_shares_its_files_by_a_property_that_xcode_knows() -> None:
    """Xcode drops INFOPLIST_KEY_ settings that it does not know without a word."""
    yaml = pytest.importorskip("yaml", reason="reads the project file")

    target = yaml.safe_load((APP / "App/project.yml").read_text())["targets"]["CoreMLAgent"]
    properties = target["info"]["properties"]
    assert properties["UIFileSharingEnabled"] is True
    assert properties["LSSupportsOpeningDocumentsInPlace"] is True
    assert {"CFBundleVersion", "CFBundleShortVersionString", "UILaunchScreen"} <= set(properties)
    assert target["settings"]["SWIFT_VERSION"] == "5.0"
    assert not [name for name in target["settings"] if name.startswith("INFOPLIST_KEY_")]
