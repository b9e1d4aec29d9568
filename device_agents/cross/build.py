"""Compiles and links the runner for another machine, and records how."""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from device_agents.cross.checks import (
    PACKAGE,
    BuildInputs,
    cmake_version,
    executorch_commit,
    install_folder,
    missing,
    ndk_revision,
    read_cmake_cache,
    toolchain_file,
)
from device_agents.cross.targets import EXECUTORCH_VERSION, RECORDED, Target
from device_agents.native.build import SOURCES
from device_agents.native.record import FILE, RunnerBuild, runners_folder
from search.errors import DeviceError, UsageError
from search.files import sha256_file, write_text

BUILD_TIMEOUT_S = 1800
START_TIMEOUT_S = 60
SHOWN_LINES = 15
_ELF_AARCH64 = 183


def find(target: Target) -> Path | None:
    """The runner for this target built from the present sources, if there is one."""
    path = place(target)
    return path if os.access(path, os.X_OK) else None


def place(target: Target) -> Path:
    """Where the runner for this target lies: its folder is named after the sources."""
    digest = hashlib.sha256()
    for pattern in ("*.cpp", "*.h", "CMakeLists.txt"):
        for source in sorted(SOURCES.glob(pattern)):
            content = source.read_bytes()
            digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return runners_folder() / f"{target.name}-{digest.hexdigest()[:16]}" / "runner"


def build(target: Target, places: BuildInputs, out: Path | None = None) -> Path:
    """Return the runner, compiled and linked now; its record lies beside it.

    Args:
        target: What it is for.
        places: ExecuTorch's checkout and its installed build, and the NDK.
        out: Where to put the binary instead of in the cache.

    Raises:
        UsageError: Something is missing; names all of it.
        DeviceError: The compiler failed, or what it made is for another machine.
    """
    refuse_missing(target, places)
    path = place(target) if out is None else out
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the last step is one rename.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        configure = _configure_command(target, places, Path(folder))
        _run(configure, f"CMake could not configure the runner for {target.name}")
        _run(
            ["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 1)],
            f"The runner for {target.name} did not compile",
        )
        made = Path(folder) / "runner"
        check_machine(made)
        _try_to_start(made, target)
        record = _describe(target, places, Path(folder), configure, made)
        made.replace(path)
        # Last: without a fitting record a binary is only one of unknown make.
        write_text(
            path.with_name(FILE if out is None else f"{path.name}.json"),
            record.model_dump_json(indent=2) + "\n",
        )
    return path


def refuse_missing(target: Target, places: BuildInputs) -> None:
    """Look at all that the build needs.

    Raises:
        UsageError: Something is missing; names all of it.
    """
    lacking = missing(target, places)
    if lacking:
        lines = "\n".join(f"  - {one}" for one in lacking)
        raise UsageError(f"The runner for {target.name} cannot be built yet:\n{lines}")


def check_machine(path: Path) -> None:
    """Refuse a binary that is not for 64-bit Arm.

    Raises:
        DeviceError: It is for another machine, or no program at all.
    """
    with path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise DeviceError(f"{path} is no program.", "Build it again.")
    machine = struct.unpack_from("<H", head, 18)[0]
    if machine != _ELF_AARCH64:
        raise DeviceError(
            f"{path} is for another machine (ELF machine {machine}, not {_ELF_AARCH64}).",
            "Give an ExecuTorch that was built for the target.",
        )


def _configure_command(target: Target, places: BuildInputs, folder: Path) -> list[str]:
    cache = read_cmake_cache(places.build) or {}
    command = ["cmake", "-S", str(SOURCES), "-B", str(folder)]
    command += ["-G", "Ninja" if shutil.which("ninja") else "Unix Makefiles"]
    command += ["-DCMAKE_BUILD_TYPE=Release", f"-DKIT_RUNTIME_VERSION={EXECUTORCH_VERSION}"]
    command += [f"-Dexecutorch_DIR={install_folder(cache) / PACKAGE}", *target.arguments]
    if places.ndk is not None and target.ndk:
        command.append(f"-DCMAKE_TOOLCHAIN_FILE={toolchain_file(places.ndk)}")
    return command


def _try_to_start(binary: Path, target: Target) -> None:
    """Start it where that is possible here: a runner without XNNPACK is useless."""
    emulator = shutil.which(target.emulator) if target.emulator else None
    if emulator is None:
        return
    said = _run([emulator, str(binary), "--version"], "The runner does not start", START_TIMEOUT_S)
    if "XnnpackBackend" not in said:
        raise DeviceError(
            f"The runner knows no XNNPACK: {said.strip()}.",
            "Give an ExecuTorch that was built with EXECUTORCH_BUILD_XNNPACK=ON.",
        )


def _describe(
    target: Target, places: BuildInputs, folder: Path, command: list[str], binary: Path
) -> RunnerBuild:
    cache = read_cmake_cache(places.build) or {}
    compiler = (read_cmake_cache(folder) or {}).get("CMAKE_CXX_COMPILER", "")
    reported = _run([compiler, "--version"], "The compiler does not start", START_TIMEOUT_S)
    return RunnerBuild(
        target=target.name,
        sha256=sha256_file(binary),
        compiler=reported.partition("\n")[0],
        command=tuple(command),
        executorch=EXECUTORCH_VERSION,
        executorch_commit=executorch_commit(places.executorch),
        cmake=cmake_version(),
        ndk=ndk_revision(places.ndk) if places.ndk is not None and target.ndk else None,
        switches={name: cache[name] for name in RECORDED if name in cache},
    )


def _run(command: list[str], complaint: str, timeout_s: float = BUILD_TIMEOUT_S) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{complaint}: {error}.", "Correct that and try again.") from error
    if done.returncode != 0:
        lines = re.split(r"\n+", f"{done.stdout}\n{done.stderr}".strip())
        raise DeviceError(
            f"{complaint} (exit code {done.returncode}):\n" + "\n".join(lines[-SHOWN_LINES:]),
            "\nCheck that ExecuTorch was built and installed for this target.",
        )
    return done.stdout
