"""A runtime as it is made: recorded, found again, and remade when anything changes.

Without the wheel, a compiler or an emulator the tests that need them are skipped.
"""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.native import build as native
from device_agents.native.record import FILE, find_build, read_build, runtime_of_target
from device_agents.runtime import build as building
from device_agents.runtime import folder
from device_agents.runtime.compilers import Compiler, phone_compiler
from device_agents.runtime.downloads import Downloads
from device_agents.runtime.folder import Runtime, find, hash_files, hash_folder
from device_agents.runtime.pins import SYSTEM_LIBRARIES
from device_agents.runtime.targets import LIBRARIES, PHONE, RUNNER
from search.errors import DeviceError, UsageError

pytestmark = pytest.mark.thorough


@pytest.fixture
def runtime(phone_runtime: Runtime, own_cache: Path) -> Runtime:
    """The runtime, copied into a cache of this test alone; what was fetched is shared."""
    for name in ("downloads", "unpacked"):
        own_cache.mkdir(exist_ok=True)
        (own_cache / name).symlink_to(phone_runtime.path.parents[2] / name)
    place = folder.place_of(PHONE)
    shutil.copytree(phone_runtime.path.parent, place)
    found = find(PHONE)
    assert found is not None
    return found


def test_the_folder_holds_the_runner_the_wheels_libraries_and_glibc(runtime: Runtime) -> None:
    assert set(runtime.files) == {RUNNER, *LIBRARIES, *SYSTEM_LIBRARIES}
    assert hash_files(runtime.path) == runtime.files
    assert runtime.bytes < 10e6


def test_the_record_says_how_it_was_made(runtime: Runtime) -> None:
    assert find_build(runtime.sha256) == runtime.record
    facts = runtime.record.facts()
    assert facts["runner_target"] == "phone-wheels"
    assert facts["runner_executorch"] == PHONE.wheel.version
    assert facts["runner_wheel_sha256"] == PHONE.wheel.sha256
    assert "GLIBC" in facts["runner_libc"]
    assert runtime_of_target(facts["runner_target"]) == "wheels"


def test_the_hash_is_that_of_all_files_not_of_the_runner_alone(runtime: Runtime) -> None:
    changed = {**runtime.files, "libm.so.6": "0" * 64}
    assert hash_folder(dict(runtime.files)) == runtime.sha256 != hash_folder(changed)


def test_a_folder_that_lacks_a_file_is_not_found(runtime: Runtime) -> None:
    (runtime.path / "libm.so.6").unlink()
    assert find(PHONE) is None


def test_changed_sources_or_another_wheel_do_not_meet_the_old_runtime(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(replace(PHONE, name="board")) is None
    sources = tmp_path / "sources"
    shutil.copytree(native.SOURCES, sources)
    (sources / "random.h").write_text("// changed\n")
    monkeypatch.setattr(folder, "SOURCES", sources)
    assert find(PHONE) is None


def test_a_compiler_that_fails_shows_its_last_line_and_leaves_the_old_runtime(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "c++"
    script.write_text("#!/bin/sh\necho 'no such header' >&2; exit 1\n")
    script.chmod(0o755)
    broken = Compiler(
        command=(str(script),),
        version="c++ 0",
        environment={},
        libraries={name: runtime.path / name for name in SYSTEM_LIBRARIES},
    )
    monkeypatch.setattr(building, "phone_compiler", lambda *_: broken)
    with pytest.raises(DeviceError, match="no such header"):
        building.build(PHONE, Downloads(offline=None, say=lambda _: None))
    assert find(PHONE) == runtime
    assert [path.name for path in runtime.path.parent.parent.glob(".build-*")] == []


def test_without_the_files_it_says_which_and_how_to_give_them(
    own_cache: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    with pytest.raises(DeviceError, match=r"pip cannot fetch executorch") as told:
        building.build(PHONE, Downloads(offline=tmp_path, say=said.append))
    assert "--find-links" in told.value.remedy
    assert said == [f"fetching {PHONE.wheel.name} from {tmp_path}"]


def test_a_compiler_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    downloads = Downloads(offline=None, say=lambda _: None)
    with pytest.raises(UsageError, match="is not installed with its libraries"):
        phone_compiler("cross", downloads)
    with pytest.raises(UsageError, match="auto, cross, zig"):
        phone_compiler("rustc", downloads)


def test_a_computer_without_a_pinned_compiler_is_told_which_one_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    with pytest.raises(DeviceError, match="no pinned compiler for Plan9") as told:
        phone_compiler("auto", Downloads(offline=None, say=lambda _: None))
    assert "g++-aarch64-linux-gnu" in told.value.remedy


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", "toaster"), "Known: phone, host, host-kernels, phone-onnxruntime."),
        (("--find-links", "/nowhere"), "/nowhere is no folder."),
    ],
)
def test_a_wrong_option_ends_with_2_and_a_sentence(words: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "device_agents.runtime", *words], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_a_record_of_another_schema_is_no_runtime(runtime: Runtime) -> None:
    path = runtime.path.parent / FILE
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    assert read_build(path) is None
    assert find(PHONE) is None
