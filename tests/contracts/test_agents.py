"""The agent contract over every agent that needs no cable."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.base import AgentSettings, DeviceAgent
from device_agents.native import build as native
from device_agents.protocol import Failure, Hello, PlanItem, Record
from device_agents.runtime.build import build as make_runtime
from device_agents.runtime.downloads import Downloads
from device_agents.runtime.folder import find
from device_agents.runtime.targets import find_target
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from search.errors import DeviceError, KitError
from search.files import sha256_file
from tests.contracts.agent_contract import AgentContract, HostContract, samples
from tests.contracts.conftest import SPECS, Export, spec_of

NAMES = ("residual", "stride")


@pytest.fixture(scope="class")
def agent(request: pytest.FixtureRequest) -> Iterator[DeviceAgent]:
    with request.cls.make_agent() as agent:
        yield agent


@pytest.fixture(scope="class")
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, export: Export
) -> list[str]:
    with request.cls.make_agent() as agent:
        paths = request.cls.write_programs(tmp_path_factory.mktemp("programs"), export)
        return [agent.deliver(path, sha256_file(path)) for path in paths]


class TestSimulated(AgentContract):
    settings = AgentSettings(backend="simulated", threads=1, affinity=None)
    source = "simulated"

    @classmethod
    def make_agent(cls) -> DeviceAgent:
        return SimulatedAgent(cls.settings, Truth())

    @classmethod
    def write_programs(cls, folder: Path, export: Any) -> list[Path]:
        paths = [folder / f"{name}.json" for name in NAMES]
        for name, path in zip(NAMES, paths, strict=True):
            path.write_text(json.dumps([key.format(dtype="fp32") for key in SPECS[name]]))
        return paths

    def lose(self, agent: Any, hello: Hello) -> None:
        agent.truth = replace(agent.truth, lose_after=0)

    def test_it_computes_nothing_and_says_so(self, agent: DeviceAgent) -> None:
        with pytest.raises(DeviceError, match="computes nothing"):
            agent.reserve()
        with pytest.raises(DeviceError, match="wrote no file"):
            agent.collect("output")


class ExportedContract(HostContract):
    """Programs come from the exporter of the agent's backend."""

    @classmethod
    def write_programs(cls, folder: Path, export: Any) -> list[Path]:
        paths = [folder / name for name in NAMES]
        for name, path in zip(NAMES, paths, strict=True):
            path.write_bytes(export(cls.settings.backend, "fp32", name).content)
        return paths

    @pytest.fixture
    def network(self, agent: DeviceAgent, tmp_path: Path, export: Export) -> str:
        path = tmp_path / "network"
        path.write_bytes(export(self.settings.backend, "fp32", "network").content)
        return agent.deliver(path, sha256_file(path))

    @pytest.fixture
    def images(self) -> Any:
        return np.random.default_rng(4).normal(size=(5, 3, 24, 24)).astype(np.float32)

    def infer(
        self, agent: DeviceAgent, network: str, source: Path | None, target: str, **plan: Any
    ) -> list[Record]:
        given = None if source is None else str(source)
        item = PlanItem(id=3, file=network, sha256="", input=given, output=target)
        return list(agent.run(self.plan([], **{"rounds": 0, **plan}, items=(item,))))

    def test_a_file_of_images_is_run_one_by_one_and_the_outputs_are_those_of_torch(
        self, agent: DeviceAgent, network: str, images: Any, tmp_path: Path
    ) -> None:
        import torch

        from deploy.network import seeded_network

        given, target = tmp_path / "images", agent.reserve()
        given.write_bytes(images.tobytes())
        records = self.infer(agent, network, given, target, rounds=2)
        assert len(samples(records)) == 2
        made = np.frombuffer(agent.collect(target), np.float32).reshape(5, -1)
        module = seeded_network(spec_of("network", "fp32").operators)
        with torch.no_grad():
            expected = module(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())

    def test_one_image_gives_the_first_of_the_outputs(
        self, agent: DeviceAgent, network: str, images: Any, tmp_path: Path
    ) -> None:
        made = []
        for number in (1, 3):
            given, target = tmp_path / str(number), agent.reserve()
            given.write_bytes(images[:number].tobytes())
            self.infer(agent, network, given, target)
            made.append(agent.collect(target))
        assert len(made[1]) == 3 * len(made[0]) > 0
        assert made[1].startswith(made[0])

    def test_without_images_the_output_is_that_of_the_random_input(
        self, agent: DeviceAgent, network: str
    ) -> None:
        targets = [agent.reserve() for _ in range(2)]
        for target in targets:
            self.infer(agent, network, None, target)
        made = [agent.collect(target) for target in targets]
        assert len(made[0]) == 4 * 100
        assert made[0] == made[1]

    @pytest.mark.parametrize("surplus", [-1, 1, 4])
    def test_a_file_that_holds_no_whole_images_is_a_failure(
        self, agent: DeviceAgent, network: str, images: Any, tmp_path: Path, surplus: int
    ) -> None:
        given, content = tmp_path / "images", images[:2].tobytes()
        given.write_bytes(content[:surplus] if surplus < 0 else content + bytes(surplus))
        failure = self.infer(agent, network, given, agent.reserve())[-2]
        assert isinstance(failure, Failure)
        assert failure.kind == "input"
        assert "or a multiple" in failure.message

    def test_files_that_cannot_be_read_or_written_are_failures(
        self, agent: DeviceAgent, network: str, tmp_path: Path
    ) -> None:
        asked = [(tmp_path / "absent", agent.reserve()), (None, str(tmp_path / "absent" / "x"))]
        for (source, target), kind in zip(asked, ("input", "output"), strict=True):
            failure = self.infer(agent, network, source, target)[-2]
            assert isinstance(failure, Failure)
            assert failure.kind == kind

    def test_an_output_is_collected_once_under_a_name_of_its_own(
        self, agent: DeviceAgent, network: str
    ) -> None:
        target = agent.reserve()
        with pytest.raises(DeviceError, match="wrote no"):
            agent.collect(target)
        self.infer(agent, network, None, target)
        assert agent.collect(target)
        with pytest.raises(DeviceError, match="wrote no"):
            agent.collect(target)
        assert agent.reserve() != target


def asked(backend: str, runner: str) -> AgentSettings:
    return AgentSettings(backend=backend, threads=1, affinity=None, runner=runner)


@pytest.mark.thorough
@pytest.mark.usefixtures("executorch")
class TestPythonExecutorch(ExportedContract):
    settings = asked("xnnpack", "python")
    runner = "python"


@pytest.mark.usefixtures("built")
class TestNative(ExportedContract):
    settings = asked("xnnpack", "native")
    runner = "executorch-native"


@pytest.mark.usefixtures("executorch", "host_runtime")
class TestNativeFromWheels(ExportedContract):
    settings = AgentSettings(
        backend="xnnpack", threads=1, affinity=None, runner="native", runtime="wheels"
    )
    runner = "executorch-native"


@pytest.mark.thorough
@pytest.mark.usefixtures("onnxruntime")
class TestOnnxruntime(ExportedContract):
    settings = asked("onnxruntime", "auto")
    runner = "python"


@pytest.fixture(scope="class")
def executorch() -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")


@pytest.fixture(scope="class")
def onnxruntime() -> None:
    for package in ("onnxruntime", "onnxscript", "torch"):
        pytest.importorskip(package, reason="needs ONNX Runtime and its exporter")


@pytest.fixture(scope="class")
def host_runtime() -> None:
    try:
        target = find_target("host")
        find(target) or make_runtime(target, Downloads(offline=None, say=lambda _: None))
    except KitError as error:
        pytest.skip(f"the runtime from wheels cannot be made here: {error}")


@pytest.fixture(scope="class")
def built(executorch: None) -> None:
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    native.build()
