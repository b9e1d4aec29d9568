"""The iPhone's agent against stand-in programs, and the compute units of a phone."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.base import AgentSettings
from device_agents.device import Device, load_device
from device_agents.iphone.agent import IphoneAgent
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.iphone.transport import IphoneTransport
from device_agents.protocol import Bye, Hello, Plan, PlanItem, Sample
from device_agents.registry import make_agent
from search.errors import DeviceError, DeviceLost, DeviceTimeout, UsageError
from tests.device_agents.iphone.standin import Standin, listed


def device(**changes: Any) -> Device:
    return load_device("iphone").model_copy(update=changes)


SETTINGS = AgentSettings(backend="coreml-cpu_only", threads=1, affinity=None, say=lambda _: None)
NEURAL = replace(SETTINGS, backend="coreml-cpu_and_ne")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Manifest.json", "{}")
        archive.writestr("Data/com.apple.CoreML/model.mlmodel", b"model")
    path = tmp_path / "artefact.mlpackage"
    path.write_bytes(buffer.getvalue())
    return path


def plan(file: str) -> Plan:
    return Plan(
        nonce="ab12",
        backend=SETTINGS.backend,
        threads=1,
        order_seed=0,
        rounds=3,
        items=(PlanItem(id=4, file=file, sha256="x"),),
    )


@pytest.fixture
def agent(transport: IphoneTransport) -> IphoneAgent:
    return IphoneAgent(device(), SETTINGS, transport, poll_s=0.01)


class TestAgent:
    def test_a_plan_goes_there_and_records_come_back(
        self, agent: IphoneAgent, package: Path
    ) -> None:
        with agent:
            file = agent.deliver(package, "f" * 64)
            records = list(agent.run(plan(file)))
            assert agent.info().kind == "ios"
        assert isinstance(records[0], Hello)
        assert isinstance(records[-1], Bye)
        samples = [record for record in records if isinstance(record, Sample)]
        assert [sample.ns for sample in samples] == [1000, 1001, 1002]
        assert samples[0].thermal_state == "nominal"

    def test_what_lies_on_the_phone_is_not_copied_again(
        self, agent: IphoneAgent, package: Path, standin: Standin
    ) -> None:
        with agent:
            places = {agent.deliver(package, "f" * 64) for _ in range(3)}
        assert places == {"models/" + "f" * 64 + ".mlpackage"}
        pushed = [c for c in standin.calls() if "push" in c or c[3:5] == ["copy", "to"]]
        assert len(pushed) == 2  # the package, then its mark

    def test_a_copy_that_was_cut_off_is_made_again(
        self, agent: IphoneAgent, package: Path, standin: Standin
    ) -> None:
        with agent:
            standin.write(fail={".done": "ConnectionTerminatedError"})
            with pytest.raises(DeviceLost):
                agent.deliver(package, "f" * 64)
            standin.write(fail={})
            agent.deliver(package, "f" * 64)
        assert (standin.documents / "models" / ("f" * 64 + ".mlpackage.done")).is_file()

    @pytest.mark.parametrize("cut", [0.0, 0.9])
    def test_an_app_that_falls_silent_is_started_again_and_then_a_timeout(
        self, transport: IphoneTransport, package: Path, standin: Standin, cut: float
    ) -> None:
        standin.write(cut=cut)
        impatient = IphoneAgent(device(), replace(SETTINGS, timeout_s=0.1), transport, poll_s=0.01)
        with impatient as agent, pytest.raises(DeviceTimeout, match="3 starts in a row"):
            list(agent.run(plan(agent.deliver(package, "f" * 64))))
        assert sum("launch" in call for call in standin.calls()) == 3

    def test_outputs_are_collected_by_name(self, agent: IphoneAgent, standin: Standin) -> None:
        with agent:
            name = agent.reserve()
            with pytest.raises(DeviceError, match="wrote no file"):
                agent.collect(name)
            (standin.documents / "outputs").mkdir()
            (standin.documents / name).write_bytes(b"1234")
            assert agent.collect(name) == b"1234"


def test_another_backend_is_refused() -> None:
    settings = AgentSettings(backend="xnnpack", threads=1, affinity=None)
    with pytest.raises(UsageError, match="cannot run the backend 'xnnpack'"):
        make_agent(device(), settings)


# --- compute units


@pytest.mark.parametrize("model", ["iPhone10,3", "iPhone10,6", "iPhone10,1"])
def test_a_unit_that_a_phone_lacks_is_refused(model: str, standin: Standin) -> None:
    """Core ML may use the Neural Engine from the A12 on."""
    standin.write(listed=[listed(ProductType=model)])
    with (
        pytest.raises(UsageError, match="not open to Core ML") as raised,
        IphoneAgent(device(), NEURAL, Pymobiledevice()),
    ):
        pass
    assert "coreml-cpu_only" in raised.value.remedy
    standin.write(listed=[listed(ProductType="iPhone11,2")])
    with IphoneAgent(device(), NEURAL, Pymobiledevice()) as agent:
        assert agent.phone.model == "iPhone11,2"


def test_an_iphone_x_runs_on_the_cpu_unless_told_otherwise() -> None:
    phone = load_device("iphonex")
    assert phone.backend == "coreml-cpu_only"
    with pytest.raises(UsageError, match="not open to Core ML"):
        make_agent(phone, NEURAL)
    make_agent(phone, replace(SETTINGS, backend="coreml-cpu_and_gpu"))
