"""The agent contract over Android's agent, on the loopback device."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from device_agents.adb.device import AdbDevice
from device_agents.adb.direct import tcp_transport
from device_agents.adb.shell import Running
from device_agents.android.agent import AndroidAgent
from device_agents.android.fence import PhoneFence
from device_agents.base import AgentSettings, DeviceAgent
from device_agents.device import load_device
from device_agents.farm.model import FencedOff, LeaseLost
from device_agents.native import build as native
from device_agents.protocol import Failure, Hello, PlanItem
from search.errors import ConnectionLost, DeviceError, DeviceLost, DeviceTimeout
from search.files import sha256_file
from tests.contracts.agent_contract import FOREVER, AgentContract, drain, samples
from tests.contracts.conftest import Export
from tests.loopback.device import LoopbackDevice
from tests.waiting import wait_until


@pytest.fixture(scope="class", autouse=True)
def loopback(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoopbackDevice]:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    native.build()
    home = tmp_path_factory.mktemp("android-home")
    with (
        pytest.MonkeyPatch.context() as patch,
        LoopbackDevice(tmp_path_factory.mktemp("device")) as device,
    ):
        if device.ground != "namespace":
            pytest.skip("plans name device paths, which need a mount namespace")
        patch.setenv("ANDROID_USER_HOME", str(home))
        request.cls.device = device
        yield device


class TestAndroid(AgentContract):
    settings = AgentSettings(backend="xnnpack", threads=1, affinity=None, say=lambda _: None)
    device: ClassVar[LoopbackDevice]

    @classmethod
    def make_agent(cls, token: int | None = None) -> AndroidAgent:
        options = {"connect": f"127.0.0.1:{cls.device.port}"}
        target = load_device("android").model_copy(update={"options": options})
        return AndroidAgent(target, cls.settings, token=token)

    # One agent at a time has the device: each test opens its own.
    @pytest.fixture
    def files(self, tmp_path: Path, export: Export) -> list[str]:
        with self.make_agent() as agent:
            paths = [tmp_path / name for name in ("residual", "stride")]
            for path in paths:
                path.write_bytes(export("xnnpack", "fp32", path.name).content)
            return [agent.deliver(path, sha256_file(path)) for path in paths]

    @pytest.fixture
    def agent(self, files: list[str]) -> Iterator[DeviceAgent]:
        with self.make_agent() as agent:
            yield agent

    def lose(self, agent: Any, hello: Hello) -> None:
        self.device.drop_connections()

    def test_a_broken_cable_is_told_apart_from_a_dead_runner(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        for lose, kind in ((self.lose, ConnectionLost), (self.kill, DeviceLost)):
            stream = agent.run(self.plan(files, rounds=FOREVER))
            hello = next(stream)
            assert isinstance(hello, Hello)
            lose(agent, hello)
            with pytest.raises(DeviceLost) as told:
                drain(stream)
            assert type(told.value) is kind
        assert "signal 9" in told.value.message

    def kill(self, agent: Any, hello: Hello) -> None:
        assert hello.pid
        os.kill(hello.pid, signal.SIGKILL)

    def test_the_runner_of_a_broken_run_does_not_go_on(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        stream = agent.run(self.plan(files, rounds=FOREVER))
        hello = next(stream)
        assert isinstance(hello, Hello)
        os.kill(hello.pid or 0, signal.SIGSTOP)  # it cannot notice by itself
        self.lose(agent, hello)
        with pytest.raises(ConnectionLost):
            drain(stream)
        list(agent.run(self.plan([], rounds=0)))
        wait_until(lambda: not Path(f"/proc/{hello.pid}").exists(), "the end of the runner")

    @pytest.mark.parametrize("accepts", [True, False])
    def test_a_device_that_restarted_measures_in_performance_mode_again_or_says_so(
        self, agent: AndroidAgent, files: list[str], accepts: bool
    ) -> None:
        stream = agent.run(self.plan(files, rounds=FOREVER))
        next(stream)
        with self.device.settings.after_a_restart(accepts):
            self.device.drop_connections()
            with pytest.raises(ConnectionLost):
                drain(stream)
            assert not self.device.settings.fixed_performance
            list(agent.run(self.plan(files)))
            assert self.device.settings.fixed_performance is accepts
            assert agent.state().fixed_performance_mode is accepts
            assert any("again" in remark for remark in agent.remarks()) is not accepts

    def test_a_frozen_runner_is_a_timeout(
        self, files: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with self.make_agent() as agent:
            start, started = agent.adb_device.start, []

            def remembered(*words: Any) -> Running:
                started.append(start(*words))
                return started[-1]

            monkeypatch.setattr(agent.adb_device, "start", remembered)
            stream = agent.run(self.plan(files, rounds=FOREVER))
            hello = next(stream)
            assert isinstance(hello, Hello)
            os.kill(hello.pid or 0, signal.SIGSTOP)
            # Only now, so that the runner may take its time to start.
            monkeypatch.setattr(started[-1]._parts, "_timeout_s", 1.0)
            with pytest.raises(DeviceTimeout):
                drain(stream)
            os.kill(hello.pid or 0, signal.SIGCONT)

    def test_files_are_copied_once(self, agent: AndroidAgent, files: list[str]) -> None:
        before = self.device.traffic.bytes_pushed
        assert agent.lacking({Path(file).name: 1 for file in files}) == set()
        assert [agent.deliver(Path("/gone"), Path(file).name) for file in files] == files
        assert self.device.traffic.bytes_pushed == before

    def test_the_device_is_a_rehearsal_and_says_so(self, agent: DeviceAgent) -> None:
        info = agent.info()
        assert info.kind == "rehearsal"
        assert info.id.startswith("rehearsal-")
        assert "not a phone" in (info.model or "")

    def test_outputs_are_computed_there_and_collected_once(
        self, agent: DeviceAgent, export: Export, tmp_path: Path
    ) -> None:
        network, images = tmp_path / "network", tmp_path / "images"
        network.write_bytes(export("xnnpack", "fp32", "network").content)
        rng = np.random.default_rng(4)
        images.write_bytes(rng.normal(size=(5, 3, 24, 24)).astype(np.float32).tobytes())
        place = agent.deliver(network, sha256_file(network))
        given = agent.deliver(images, sha256_file(images))
        target = agent.reserve()
        with pytest.raises(DeviceError, match="wrote no"):
            agent.collect(target)
        item = PlanItem(id=3, file=place, sha256="", input=given, output=target)
        list(agent.run(self.plan([], rounds=0, items=(item,))))
        made = np.frombuffer(agent.collect(target), np.float32)
        assert made.shape == (500,)
        assert np.isfinite(made).all()
        with pytest.raises(DeviceError, match="wrote no"):
            agent.collect(target)

    def test_a_file_outside_the_kits_folder_is_never_collected(self, agent: DeviceAgent) -> None:
        for name in ("/etc/passwd", "/data/local/tmp/fbnet-kit/../x"):
            with pytest.raises(DeviceError, match="wrote no"):
                agent.collect(name)

    def test_an_input_that_is_missing_is_a_failure(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        item = PlanItem(id=3, file=files[0], sha256="", input="/nowhere", output=agent.reserve())
        failure = list(agent.run(self.plan([], rounds=0, items=(item,))))[-2]
        assert isinstance(failure, Failure)
        assert failure.kind == "input"

    def test_the_runner_is_pinned_as_its_hello_tells(
        self, agent: AndroidAgent, files: list[str]
    ) -> None:
        records = list(agent.run(self.plan(files)))
        assert isinstance(records[0], Hello)
        assert records[0].affinity == agent.pinned
        assert len(samples(records)) == 6

    def test_a_later_lease_takes_the_phone_and_the_earlier_one_writes_no_sample_more(
        self, files: list[str]
    ) -> None:
        largest = PhoneFence(self.device_now()).fence()
        with self.make_agent(largest + 1) as agent:
            stream = agent.run(self.plan(files, rounds=FOREVER))
            assert isinstance(next(stream), Hello)
            PhoneFence(self.device_now()).raise_fence(largest + 2)
            with pytest.raises(LeaseLost):
                drain(stream)
            with pytest.raises(FencedOff):
                drain(agent.run(self.plan(files)))
        with pytest.raises(FencedOff), self.make_agent(largest + 1):
            pass
        with self.make_agent(largest + 2) as agent:
            assert len(samples(list(agent.run(self.plan(files))))) == 6
        assert PhoneFence(self.device_now()).fence() == largest + 2

    def test_opening_for_a_lease_ends_a_run_that_cannot_end_itself(self, files: list[str]) -> None:
        with self.make_agent() as agent:
            stream = agent.run(self.plan(files, rounds=FOREVER))
            hello = next(stream)
            assert isinstance(hello, Hello)
            os.kill(hello.pid or 0, signal.SIGSTOP)
            PhoneFence(self.device_now()).stop_runs()
            wait_until(lambda: not Path(f"/proc/{hello.pid}").exists(), "the end of the runner")
            with pytest.raises(DeviceLost):
                drain(stream)

    def device_now(self) -> AdbDevice:
        """A connection of its own, as another host has one."""
        device = AdbDevice(tcp_transport("127.0.0.1", self.device.port))
        device.connect()
        return device
