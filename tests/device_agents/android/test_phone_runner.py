"""Which runner a phone gets, how it is copied, and what a phone's refusal says."""

import hashlib
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from device_agents.adb.device import AdbDevice
from device_agents.android import runner
from device_agents.android.agent import AndroidAgent
from device_agents.android.file_store import ROOT, FileStore
from device_agents.android.identity import Identity
from device_agents.android.runner import FolderRunner, find_runner
from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.native.record import RunnerBuild
from device_agents.runtime.folder import Runtime, hash_files, hash_folder
from device_agents.runtime.targets import PHONE, PHONE_ONNX, Target
from search.errors import DeviceError, UsageError
from tests.device_agents.conftest import Connection
from tests.loopback.phone import this_host

STORED = ROOT.lstrip("/")


def identity(machine: str | None, *abis: str) -> Identity:
    """What the choice of a runner depends on, of a real phone's identity."""
    return cast(Identity, SimpleNamespace(abis=abis, machine=machine, rehearsal=False))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A runtime of small files, found as if it had been made."""
    folder = tmp_path / "made"
    folder.mkdir()
    for name in ("ld-linux-aarch64.so.1", "libexecutorch.so", "runner"):
        (folder / name).write_text(f"#!/bin/sh\n# {name}\n")
    files = hash_files(folder)
    record = RunnerBuild(
        target="phone-wheels",
        sha256=hash_folder(files),
        compiler="c++",
        command=(),
        executorch="1.5.1",
        files=files,
    )
    runtime = Runtime(target=PHONE, path=folder, record=record)
    monkeypatch.setattr(runner, "find", lambda _: runtime)
    monkeypatch.delenv("KIT_ANDROID_RUNNER", raising=False)
    return runtime


# --- the choice


@pytest.mark.parametrize("machine", ["aarch64", "armv8l", None])
def test_a_phone_with_a_64_bit_kernel_gets_the_runtime_from_wheels(
    machine: str | None, made: Runtime
) -> None:
    abis = ("arm64-v8a",) if machine is None else ("armeabi-v7a",)
    for chosen in ("auto", "wheels"):
        assert find_runner(identity(machine, *abis), chosen, print) == FolderRunner(made)


@pytest.mark.parametrize(
    ("machine", "abis"), [("armv7l", ()), ("x86_64", ("x86_64", "arm64-v8a")), (None, ("armeabi",))]
)
def test_a_device_of_another_kind_is_refused_with_a_sentence(
    machine: str | None, abis: tuple[str, ...], made: Runtime
) -> None:
    with pytest.raises(DeviceError, match="made for 64-bit Arm alone") as told:
        find_runner(identity(machine, *abis), "auto", print)
    assert (machine or abis[0]) in told.value.message


def test_a_phone_has_no_installed_runtime(made: Runtime) -> None:
    with pytest.raises(UsageError, match="no runtime 'installed'"):
        find_runner(identity("aarch64"), "installed", print)


def test_onnx_runtime_is_a_folder_of_its_own_from_wheels_alone(
    made: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Target] = []

    def found(target: Target) -> Runtime:
        asked.append(target)
        return made

    monkeypatch.setattr(runner, "find", found)
    chosen = find_runner(identity("aarch64"), "auto", print, "onnxruntime")
    assert (chosen, asked) == (FolderRunner(made), [PHONE_ONNX])
    with pytest.raises(UsageError, match="from wheels alone"):
        find_runner(identity("aarch64"), "ndk", print, "onnxruntime")
    own = identity(platform.machine())
    own.rehearsal = True  # type: ignore[misc]
    with pytest.raises(UsageError, match="has no ONNX Runtime") as told:
        find_runner(own, "auto", print, "onnxruntime")
    assert "--phone pixel-6" in told.value.remedy


def test_the_first_time_it_says_what_it_will_fetch_and_make(
    made: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(runner, "find", lambda _: None)
    monkeypatch.setattr(runner, "make_runtime", lambda *_: made)
    assert find_runner(identity("aarch64"), "auto", said.append) == FolderRunner(made)
    (sentence,) = said
    for word in ("ExecuTorch 1.5.1", "18 MB", "compiled", "glibc"):
        assert word in sentence


# --- the copy


@pytest.fixture
def connected(connect_device: Callable[..., Connection]) -> Connection:
    device, transport = connect_device("tcp")
    transport.connect(20)
    return device, transport


def test_a_runtime_is_copied_once_and_started_by_its_own_loader(
    connected: Connection, made: Runtime
) -> None:
    device, transport = connected
    words = FolderRunner(made).place(FileStore(AdbDevice(transport)))
    folder = f"{ROOT}/runtimes/{made.sha256}"
    assert words == [
        *(f"{folder}/ld-linux-aarch64.so.1", "--library-path", folder),
        f"{folder}/runner",
    ]
    there = device.files.within(folder.lstrip("/"))
    assert hash_files(there) == made.files
    assert all(path.stat().st_mode & 0o111 for path in there.iterdir())
    pushed = device.traffic.bytes_pushed
    store = FileStore(AdbDevice(transport))
    assert FolderRunner(made).place(store) == FolderRunner(made).place(store) == words
    assert device.traffic.bytes_pushed == pushed


def test_what_a_broken_copy_left_is_begun_anew(connected: Connection, made: Runtime) -> None:
    device, transport = connected
    part = device.files.within(f"{STORED}/runtimes/{made.sha256}.part")
    part.mkdir(parents=True)
    (part / "runner").write_text("half")
    (part / "stranger").touch()
    FolderRunner(made).place(FileStore(AdbDevice(transport)))
    assert [path.name for path in part.parent.iterdir()] == [made.sha256]
    assert hash_files(part.with_suffix("")) == made.files


def test_a_file_that_changed_since_it_was_made_is_never_started(
    connected: Connection, made: Runtime
) -> None:
    device, transport = connected
    (made.path / "libexecutorch.so").write_text("another")
    with pytest.raises(DeviceError, match="changed since it was made") as told:
        FolderRunner(made).place(FileStore(AdbDevice(transport)))
    assert "--rebuild" in told.value.remedy
    assert not device.files.within(f"{STORED}/runtimes/{made.sha256}").exists()


def test_a_full_phone_is_told_before_anything_is_copied(
    connect_device: Callable[..., Connection], made: Runtime
) -> None:
    device, transport = connect_device("tcp", phone=replace(this_host(), storage_kb=1000))
    transport.connect(20)
    with pytest.raises(DeviceError, match="MiB are needed"):
        FolderRunner(made).place(FileStore(AdbDevice(transport)))
    assert device.traffic.bytes_pushed == 0


# --- the start


def test_a_phone_that_refuses_the_runtime_says_so_with_its_own_words(
    connect_device: Callable[..., Connection], made: Runtime, tmp_path: Path
) -> None:
    loader = made.path / "ld-linux-aarch64.so.1"
    loader.write_text("#!/bin/sh\necho 'Function not implemented' >&2; exit 126\n")
    files = hash_files(made.path)
    changed = made.record.model_copy(update={"files": files, "sha256": hash_folder(files)})
    device, _ = connect_device("tcp")
    target = load_device("android").model_copy(
        update={"options": {"connect": f"127.0.0.1:{device.port}"}}
    )
    settings = AgentSettings(
        backend="xnnpack", threads=1, affinity=None, runtime="wheels", say=lambda _: None
    )
    with pytest.MonkeyPatch.context() as patch:
        refused = FolderRunner(replace(made, record=changed))
        patch.setattr("device_agents.android.agent.find_runner", lambda *_: refused)
        with (
            AndroidAgent(target, settings) as agent,
            pytest.raises(DeviceError, match=r"exit code 126\): Function not implemented") as told,
        ):
            agent.runner_version()
    assert "--runtime ndk" in told.value.remedy


def test_the_hash_of_a_folder_depends_on_names_and_contents() -> None:
    one, other = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    assert len({hash_folder(files) for files in ({"a": one}, {"b": one}, {"a": other})}) == 3
