"""The host agent against runners that misbehave in every way a process can."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.base import AgentSettings, default_runtime
from device_agents.host import agent as host_agent
from device_agents.host import runner as host_runner
from device_agents.host.agent import HostAgent
from device_agents.native import build as native
from device_agents.processor import identity_digest
from device_agents.protocol import Hello, Plan, Record
from device_agents.runtime.targets import find_target
from search.errors import DeviceError, DeviceLost, DeviceTimeout, KitError, UsageError
from search.files import sha256_file
from search.table.manifest import CpuIdentity
from tests.waiting import PATIENCE_S, wait_until

SCRIPT = """#!{python}
import json, os, sys, time

def say(**record):
    print(json.dumps(record), flush=True)

def hello(nonce):
    say(type="hello", nonce=nonce, runner="fake", runtime="t", backend="xnnpack", threads=1,
        pid=os.getpid(), runner_sha256=os.environ.get("KIT_RUNNER_SHA256"))

def bye():
    say(type="bye", samples=0, sentinels=0, failures=0)

for line in sys.stdin:
    nonce = json.loads(line)["nonce"]
{deed}
"""
GOOD = "hello(nonce); bye()"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HostAgent]:
    """Agents whose native runner is a script with the given deed."""

    def make(deed: str, timeout_s: float = PATIENCE_S) -> HostAgent:
        script = tmp_path / "runner"
        body = "".join(f"    {line}\n" for line in deed.splitlines())
        script.write_text(SCRIPT.format(python=sys.executable, deed=body))
        script.chmod(0o755)
        monkeypatch.setattr(native, "find", lambda: script)
        return HostAgent(settings(runner="native", timeout_s=timeout_s))

    return make


def settings(**changes: Any) -> AgentSettings:
    fields = {"backend": "xnnpack", "threads": 1, "affinity": None, **changes}
    return AgentSettings(**fields)


def plan(nonce: str = "n") -> Plan:
    return Plan(nonce=nonce, backend="xnnpack", threads=1, order_seed=0, rounds=0, items=())


def broken(agent: HostAgent, impatient: bool = False) -> tuple[list[Record], KitError]:
    """What came before the run raised, and what it raised.

    An impatient agent waits for half a second once the runner has started, which may take long.
    """
    seen: list[Record] = []

    def read(patch: pytest.MonkeyPatch) -> None:
        for record in agent.run(plan()):
            seen.append(record)
            if impatient:
                patch.setattr(agent, "_settings", replace(agent._settings, timeout_s=0.5))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KitError) as raised:
        read(patch)
    return seen, raised.value


def is_alive(hello: Record) -> bool:
    assert isinstance(hello, Hello)
    return Path(f"/proc/{hello.pid}").exists()


def test_the_runner_stays_for_the_next_plan(fake: Callable[..., HostAgent]) -> None:
    with fake(GOOD) as agent:
        first, second = (list(agent.run(plan(nonce))) for nonce in ("one", "two"))
        assert is_alive(first[0])
    assert [record.type for record in first] == ["hello", "bye"]
    assert isinstance(first[0], Hello)
    assert isinstance(second[0], Hello)
    assert (first[0].nonce, second[0].nonce) == ("one", "two")
    assert first[0].pid == second[0].pid
    assert not is_alive(first[0])


def test_the_runner_is_told_its_own_hash(fake: Callable[..., HostAgent], tmp_path: Path) -> None:
    with fake(GOOD) as agent:
        hello = next(iter(list(agent.run(plan()))))
    assert isinstance(hello, Hello)
    assert hello.runner_sha256 == sha256_file(tmp_path / "runner")


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("sys.exit(0)", "before its plan was complete"),
        ("hello(nonce); sys.exit(0)", "before its plan was complete"),
        ("hello('other'); bye()", "another run"),
        ("print('{\"type\":\"hel', end='', flush=True); sys.exit(0)", "not a record"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.flush()", "not a record"),
        ("hello(nonce); sys.exit(7)", r"exit code 7"),
        ("hello(nonce); os.kill(os.getpid(), 11); time.sleep(9)", "signal 11"),
        ("print('disk on fire', file=sys.stderr, flush=True); os._exit(1)", "disk on fire"),
    ],
)
def test_a_runner_that_breaks_off_is_a_lost_device(
    deed: str, told: str, fake: Callable[..., HostAgent]
) -> None:
    with fake(deed) as agent:
        seen, error = broken(agent)
    assert isinstance(error, DeviceLost)
    assert re.search(told, str(error))
    assert "--resume" in error.remedy
    assert len(seen) == deed.count("hello(nonce)")


def test_a_runner_that_never_starts_listening_is_a_lost_device(
    fake: Callable[..., HostAgent], tmp_path: Path
) -> None:
    with fake(GOOD) as agent:
        (tmp_path / "runner").write_text(f"#!{sys.executable}\nraise SystemExit(5)\n")
        assert isinstance(broken(agent)[1], DeviceLost)


def test_a_silent_runner_is_a_timeout_and_is_not_left_behind(
    fake: Callable[..., HostAgent],
) -> None:
    with fake("hello(nonce); time.sleep(600)") as agent:
        seen, error = broken(agent, impatient=True)
        assert isinstance(error, DeviceTimeout)
        assert "said nothing for" in error.message
        assert not is_alive(seen[0])


def test_after_each_way_to_break_off_the_next_plan_gets_a_new_runner(
    fake: Callable[..., HostAgent], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    deed = (
        f"turn = os.path.getsize({str(state)!r})\n"
        f"open({str(state)!r}, 'a').write('x')\n"
        "hello(nonce)\n"
        "if turn == 0: os._exit(3)\n"
        "if turn == 1: print('garbage', flush=True)\n"
        "if turn == 2: time.sleep(600)\n"
        "bye()"
    )
    state.touch()
    pids = []
    with fake(deed) as agent:
        for kind in (DeviceLost, DeviceLost, DeviceTimeout):
            seen, error = broken(agent, impatient=kind is DeviceTimeout)
            assert type(error) is kind
            assert isinstance(seen[0], Hello)
            pids.append(seen[0].pid)
        assert [record.type for record in agent.run(plan())] == ["hello", "bye"]
    assert len(set(pids)) == 3


def test_the_last_words_of_one_runner_are_not_put_into_the_mouth_of_the_next(
    fake: Callable[..., HostAgent], tmp_path: Path
) -> None:
    once = str(tmp_path / "once")
    deed = (
        f"if not os.path.exists({once!r}): print('disk on fire', file=sys.stderr, flush=True)\n"
        f"open({once!r}, 'w').close()\n"
        "os._exit(1)"
    )
    with fake(deed) as agent:
        assert "disk on fire" in broken(agent)[1].message
        assert "disk on fire" not in broken(agent)[1].message


def test_a_run_that_is_given_up_leaves_no_answers_for_the_next(
    fake: Callable[..., HostAgent],
) -> None:
    with fake("hello(nonce); time.sleep(0.2); bye()") as agent:
        given_up = agent.run(plan("one"))
        first = next(given_up)
        given_up.close()  # type: ignore[attr-defined]
        assert not is_alive(first)
        records = list(agent.run(plan("two")))
    assert isinstance(records[0], Hello)
    assert records[0].nonce == "two"


def test_a_runner_that_died_between_plans_is_replaced(fake: Callable[..., HostAgent]) -> None:
    with fake(GOOD) as agent:
        first = next(iter(list(agent.run(plan()))))
        assert isinstance(first, Hello)
        assert first.pid
        os.kill(first.pid, 9)
        wait_until(lambda: not is_alive(first), "the end of the runner")
        assert [record.type for record in agent.run(plan())] == ["hello", "bye"]


def test_ctrl_c_of_the_terminal_does_not_reach_the_runner(fake: Callable[..., HostAgent]) -> None:
    with fake(GOOD) as agent:
        hello = next(iter(list(agent.run(plan()))))
        assert isinstance(hello, Hello)
        assert hello.pid
        assert os.getpgid(hello.pid) != os.getpgid(0)


def test_an_unknown_backend_or_runner_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'coreml'") as raised:
        HostAgent(settings(backend="coreml"))
    assert "xnnpack, onnxruntime" in raised.value.remedy
    with pytest.raises(UsageError, match="'rust'") as raised:
        HostAgent(settings(runner="rust"))
    assert "auto, native, python" in raised.value.remedy


def test_a_native_runner_that_is_not_built_is_refused_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "find", lambda: None)
    with pytest.raises(UsageError, match="not built"):
        HostAgent(settings(runner="native"))
    with HostAgent(settings(runner="auto")) as agent:
        assert "device_agents.host.python_runner" in agent._command


def test_the_native_runner_is_preferred_but_knows_no_onnx(
    fake: Callable[..., HostAgent], tmp_path: Path
) -> None:
    with fake(GOOD), HostAgent(settings()) as agent:
        assert agent._command == [str(tmp_path / "runner"), "--serve"]
    with HostAgent(settings(backend="onnxruntime")) as agent:
        assert "device_agents.host.python_runner" in agent._command
    with pytest.raises(UsageError, match="not built for this toolchain and backend"):
        HostAgent(settings(backend="onnxruntime", runner="native"))


def test_a_file_is_delivered_only_as_it_was_built(
    fake: Callable[..., HostAgent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.pte"
    file.write_bytes(b"abc")
    sha256 = sha256_file(file)
    monkeypatch.chdir(tmp_path)
    with fake(GOOD) as agent:
        assert agent.deliver(Path("a.pte"), sha256) == str(file.resolve())
        file.write_bytes(b"abd")
        with pytest.raises(DeviceError, match="changed since it was built"):
            agent.deliver(file, sha256)
        file.unlink()
        with pytest.raises(DeviceError, match="No such file"):
            agent.deliver(file, sha256)


XEON = CpuIdentity(vendor="GenuineIntel", family=6, model=85, stepping=7, cores=2)


@pytest.mark.parametrize(
    ("model", "identity", "slug", "name"),
    [
        (
            "Intel(R) Xeon(R) CPU @ 2.20GHz",
            XEON,
            f"host-intel-xeon-2-20ghz-f6m85s7-{identity_digest(XEON)[:6]}",
            "Intel(R) Xeon(R) CPU @ 2.20GHz (family 6 model 85 stepping 7)",
        ),
        (
            "AMD Ryzen 9 5950X 16-Core Processor",
            XEON,
            f"host-amd-ryzen-9-5950x-16-core-{identity_digest(XEON)[:6]}",
            "AMD Ryzen 9 5950X 16-Core Processor",
        ),
        (None, CpuIdentity(), "host-riscv64", "riscv64"),
    ],
)
def test_the_id_of_a_host_is_made_of_its_processors_name_and_facts(
    model: str | None,
    identity: CpuIdentity,
    slug: str,
    name: str,
    fake: Callable[..., HostAgent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_agent, "cpu_model", lambda: model)
    monkeypatch.setattr(host_agent, "read_identity", lambda: identity)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with fake(GOOD) as agent:
        assert agent.info().id == slug
        assert agent.info().kind == "host"
        assert (agent.info().model, agent.info().cpu) == (name, model)
        assert agent.info().processor == (identity if model else None)


def test_a_load_that_cannot_be_read_is_unknown(
    fake: Callable[..., HostAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake(GOOD) as agent:
        assert agent.state().load_average == pytest.approx(os.getloadavg()[0], abs=5)

        def unreadable() -> Any:
            raise OSError

        monkeypatch.setattr(os, "getloadavg", unreadable)
        assert agent.state().load_average is None


# --- which runtime


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime": "ndk"},
        {"runtime": "wheels", "runner": "python"},
        {"runtime": "wheels", "backend": "onnxruntime"},
    ],
)
def test_a_runtime_that_this_machine_does_not_have_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="has no runtime"):
        HostAgent(settings(**changes))


def test_a_default_that_cannot_be_made_gives_way_with_a_sentence_a_wish_does_not(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DeviceError("No compiler.", "Install one.")

    said: list[str] = []
    monkeypatch.setattr(host_runner, "make_runtime", fail)
    monkeypatch.setattr(host_runner, "default_runtime", lambda _: "wheels")
    HostAgent(settings(say=said.append)).__exit__()
    assert said == ["No compiler. Install one. Going on without it."]
    for wish in ({"runtime": "wheels"}, {"runner": "native"}):
        with pytest.raises(DeviceError, match="No compiler"):
            HostAgent(settings(**wish))


def test_on_an_arm64_machine_the_wheels_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agents.base.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert default_runtime("host") == "wheels"
    target = find_target("host")
    assert (target.machine, target.elf_machine, target.has_libc) == (
        *("aarch64", "EM_AARCH64"),
        False,
    )
    assert "aarch64" in target.wheel.platform
