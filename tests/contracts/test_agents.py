"""The agent contract over every agent that needs no cable."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents import native
from device_agents.base import AgentSettings, DeviceAgent
from device_agents.protocol import Hello
from device_agents.simulated import SimulatedAgent, Truth
from search.files import sha256_file
from tests.contracts.agent_contract import AgentContract, HostContract
from tests.contracts.conftest import SUBJECTS, Export

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
            path.write_text(json.dumps([key.format(dtype="fp32") for key in SUBJECTS[name]]))
        return paths

    def lose(self, agent: Any, hello: Hello) -> None:
        agent.truth = replace(agent.truth, lose_after=0)


class ExportedContract(HostContract):
    """Programs come from the exporter of the agent's backend."""

    @classmethod
    def write_programs(cls, folder: Path, export: Any) -> list[Path]:
        paths = [folder / name for name in NAMES]
        for name, path in zip(NAMES, paths, strict=True):
            path.write_bytes(export(cls.settings.backend, "fp32", name).content)
        return paths


def asked(backend: str, runner: str) -> AgentSettings:
    return AgentSettings(backend=backend, threads=1, affinity=None, runner=runner)


@pytest.mark.usefixtures("executorch")
class TestPythonExecutorch(ExportedContract):
    settings = asked("xnnpack", "python")
    runner = "python"


@pytest.mark.usefixtures("built")
class TestNative(ExportedContract):
    settings = asked("xnnpack", "native")
    runner = "executorch-native"


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
def built(executorch: None) -> None:
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    native.build()
