"""Cross-builds: what is missing is told at once, what was made is checked and recorded."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.cross.build import build, check_machine, find, runner_path
from device_agents.cross.checks import BuildInputs, missing, read_cmake_cache
from device_agents.cross.targets import TARGETS, find_target
from device_agents.native import build as native
from device_agents.native.record import RunnerBuild, find_build, read_build
from search.errors import DeviceError, UsageError
from search.files import sha256_file
from tests.device_agents.cross.world import SUBMODULES, World, make_world

Change = Callable[[World], object]


@pytest.fixture(params=sorted(TARGETS))
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    return make_world(tmp_path, request.param, monkeypatch)


@pytest.fixture
def android(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, "android-arm64", monkeypatch)


@pytest.fixture
def linux(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, "linux-arm64", monkeypatch)


def test_where_everything_is_there_nothing_is_missing(world: World) -> None:
    assert missing(world.target, world.places) == []


def test_all_that_is_missing_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    places = BuildInputs(executorch=tmp_path, build=tmp_path / "cmake-out", ndk=None)
    with pytest.raises(UsageError) as refused:
        build(find_target("android-arm64"), places)
    for word in ("CMake is not", "Neither ninja", "--ndk", "no version.txt", "cmake-out holds no"):
        assert word in str(refused.value)
    assert "aarch64-linux-gnu-g++ is not" in "\n".join(missing(TARGETS["linux-arm64"], places))


def _change_after_checkout(world: World) -> None:
    (world.checkout / ".git").mkdir()
    world.program("git", "#!/bin/sh\necho v1.4.1-3-gabc-dirty\n")


EVERYWHERE: dict[str, Change] = {
    r"CMake 3\.20\.9 is too old": lambda w: w.cmake("3.20.9"),
    r"is ExecuTorch 1\.5\.0\. Check out v1\.4\.1": lambda w: w.change(
        w.checkout / "version.txt", "1.4.1", "1.5.0"
    ),
    r"Submodules .*: backends/xnnpack/third-party/XNNPACK\. ": lambda w: (
        w.checkout / SUBMODULES[0] / "LICENSE"
    ).unlink(),
    r"is at v1\.4\.1-3-gabc-dirty": _change_after_checkout,
    r"EXECUTORCH_PAL_DEFAULT=android\. .* posix": lambda w: w.change(w.cache, "posix", "android"),
    r"EXECUTORCH_ENABLE_PROGRAM_VERIFICATION=OFF\. .* ON": lambda w: w.change(
        w.cache, "VERIFICATION:STRING=ON", "VERIFICATION:STRING=FALSE"
    ),
    r"CMAKE_BUILD_TYPE=\(not set\)": lambda w: w.change(w.cache, "CMAKE_BUILD_TYPE", "OTHER"),
    r"was built from /elsewhere, not from": lambda w: w.change(
        w.cache, f"DIRECTORY:STRING={w.checkout}", "DIRECTORY:STRING=/elsewhere"
    ),
    r"is not installed\. Run cmake --install": lambda w: shutil.rmtree(w.build / "lib"),
    r"cmake-out holds no build": lambda w: w.cache.unlink(),
}


def test_without_a_build_all_settings_that_it_needs_are_told_at_once(world: World) -> None:
    world.cache.unlink()
    (sentence,) = missing(world.target, world.places)
    for name, value in world.target.required.items():
        assert f"{name}={value}" in sentence


@pytest.mark.parametrize("sentence", EVERYWHERE)
def test_one_fault_is_one_sentence(sentence: str, world: World) -> None:
    EVERYWHERE[sentence](world)
    found = missing(world.target, world.places)
    assert len(found) == 1
    with pytest.raises(UsageError, match=sentence):
        build(world.target, world.places)


ANDROID: dict[str, Change] = {
    r"is NDK 27\.0\.1\. Give Android NDK r28c": lambda w: w.change(
        w.ndk / "source.properties", "28.2.13676358", "27.0.1"
    ),
    r"is no NDK": lambda w: (w.ndk / "source.properties").unlink(),
    r"ANDROID_PLATFORM=android-35\. .* android-28": lambda w: w.change(
        w.cache, "android-28", "android-35"
    ),
    r"ANDROID_STL=c\+\+_shared\. .* c\+\+_static": lambda w: w.change(
        w.cache, "STL:STRING=c++_static", "STL:STRING=c++_shared"
    ),
    r"built with the toolchain /old/ndk": lambda w: w.change(
        w.cache, f"FILE:STRING={w.ndk}", "FILE:STRING=/old/ndk"
    ),
}


@pytest.mark.parametrize("sentence", ANDROID)
def test_one_fault_of_the_ndk_is_one_sentence(sentence: str, android: World) -> None:
    ANDROID[sentence](android)
    assert len(missing(android.target, android.places)) == 1
    with pytest.raises(UsageError, match=sentence):
        build(android.target, android.places)


@pytest.mark.parametrize(
    ("old", "new"),
    [("PLATFORM:STRING=android-28", "PLATFORM:STRING=28"), ("ANDROID_STL:STRING=c++_static", "")],
)
def test_what_the_ndk_takes_as_the_same_is_the_same(old: str, new: str, android: World) -> None:
    android.change(android.cache, old, new)
    assert missing(android.target, android.places) == []


def test_an_executorch_of_another_compiler_is_refused(linux: World) -> None:
    linux.change(linux.cache, "/usr/bin/aarch64-linux-gnu-g++", "/usr/bin/g++")
    assert "not built with aarch64" in missing(linux.target, linux.places)[0]


def test_a_checkout_of_another_name_is_refused(linux: World) -> None:
    other = linux.checkout.rename(linux.root / "et")
    places = BuildInputs(executorch=other, build=other / "cmake-out", ndk=None)
    assert "must be called executorch" in "\n".join(missing(linux.target, places))


def test_switches_are_read_as_on_or_off_however_they_were_written(world: World) -> None:
    cache = read_cmake_cache(world.build) or {}
    switches = [value for name, value in sorted(cache.items()) if "XNNPACK_" in name]
    assert switches == ["OFF", "ON", "ON"]


def test_a_built_runner_is_found_and_says_how_it_was_made(android: World) -> None:
    assert find(android.target) is None
    path = build(android.target, android.places)
    assert find(android.target) == path == runner_path(android.target)
    record = find_build(sha256_file(path))
    assert record is not None
    assert (record.target, record.executorch, record.ndk, record.compiler) == (
        *("android-arm64", "1.4.1", "28.2.13676358"),
        "g++ 12.2.0",
    )
    assert record.facts()["EXECUTORCH_XNNPACK_ENABLE_WEIGHT_CACHE"] == "ON"
    assert record.facts()["EXECUTORCH_XNNPACK_ENABLE_KLEIDI"] == "OFF"
    asked = android.asked()
    assert f"-DCMAKE_TOOLCHAIN_FILE={android.ndk}/build/cmake/android.toolchain.cmake" in asked
    assert {"-DANDROID_ABI=arm64-v8a", "-DANDROID_PLATFORM=android-28"} <= set(asked)
    assert sorted(file.name for file in path.parent.iterdir()) == ["build.json", "runner"]


def test_changed_sources_do_not_meet_the_old_cross_build(
    android: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(android.target, android.places)
    sources = tmp_path / "sources"
    shutil.copytree(native.SOURCES, sources)
    (sources / "random.h").write_text("// changed\n")
    monkeypatch.setattr("device_agents.cross.build.SOURCES", sources)
    assert find(android.target) is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "ELF machine 62"), (b"#!/bin/sh\n", "no program"), (b"", "no program")],
)
def test_what_is_not_for_arm64_is_refused_and_nothing_is_left(
    content: bytes | None, sentence: str, android: World
) -> None:
    x86 = bytearray(android.made.read_bytes())
    x86[18] = 62
    android.made.write_bytes(bytes(x86) if content is None else content)
    with pytest.raises(DeviceError, match=sentence):
        build(android.target, android.places)
    assert list(runner_path(android.target).parent.iterdir()) == []


def test_a_build_that_fails_shows_its_last_lines_and_leaves_nothing(android: World) -> None:
    script = '#!/bin/sh\n[ "$1" = --version ] && echo cmake version 3.25.1 && exit\n'
    android.program("cmake", f"{script}echo 'no such library' >&2; exit 7\n")
    with pytest.raises(DeviceError, match="no such library"):
        build(android.target, android.places)
    assert list(runner_path(android.target).parent.iterdir()) == []


def test_a_runner_that_cannot_start_is_refused(linux: World) -> None:
    linux.program("qemu-aarch64-static", "#!/bin/sh\necho '{\"backends\":[]}'\n")
    with pytest.raises(DeviceError, match="knows no XNNPACK"):
        build(linux.target, linux.places)
    assert find(linux.target) is None


def test_this_machines_own_programs_are_told_from_arm64_ones() -> None:
    if b"\xb7" in Path(sys.executable).read_bytes()[18:19]:
        pytest.skip("this machine is an arm64 one")
    with pytest.raises(DeviceError, match="another machine"):
        check_machine(Path(sys.executable))


def test_a_damaged_or_newer_record_is_as_if_it_were_absent(own_cache: Path) -> None:
    record = RunnerBuild(target="host", sha256="ab", compiler="c", command=(), executorch="1")
    path = own_cache / "runners/one/build.json"
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json())
    assert find_build("ab") == record
    assert find_build("cd") is None
    assert find_build(None) is None
    for text in ("", "{", record.model_dump_json().replace(":1", ":2", 1)):
        path.write_text(text)
        assert read_build(path) is None
        assert find_build("ab") is None


def test_the_command_lists_what_is_missing_and_ends_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "device_agents.cross", "--target", "android-arm64"]
    done = subprocess.run(
        [*command, "--executorch", str(tmp_path), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n  - ") >= 3


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="android-arm64, linux-arm64"):
        find_target("windows")
