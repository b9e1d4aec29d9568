"""Build of the native runner for another machine, and its build record."""

import hashlib
import os
import shutil
import struct
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
from device_agents.tools import Task, check_tool
from search.errors import DeviceError, UsageError
from search.files import sha256_file, write_text

BUILD_TIMEOUT_S = 1800
START_TIMEOUT_S = 60
_ELF_AARCH64 = 183


def find(target: Target) -> Path | None:
    """The runner for this target built from the present sources, if there is one."""
    path = runner_path(target)
    return path if os.access(path, os.X_OK) else None


def runner_path(target: Target) -> Path:
    """Path of the runner for this target: its folder is a hash of the sources."""
    digest = hashlib.sha256()
    for pattern in ("*.cpp", "*.h", "CMakeLists.txt"):
        for source in sorted(SOURCES.glob(pattern)):
            content = source.read_bytes()
            digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return runners_folder() / f"{target.name}-{digest.hexdigest()[:16]}" / "runner"


def build(target: Target, inputs: BuildInputs, out: Path | None = None) -> Path:
    """Compile and link the runner; returns its path, with the record beside it.

    Args:
        target: The machine that it is built for.
        inputs: ExecuTorch's checkout and its installed build, and the NDK.
        out: Where to put the binary instead of in the cache.

    Raises:
        UsageError: Something is missing; lists all of it.
        DeviceError: The compiler failed, or built for another machine.
    """
    refuse_missing(target, inputs)
    path = runner_path(target) if out is None else out
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the last step is one rename.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        configure = _configure_command(target, inputs, Path(folder))
        _run(configure, f"CMake could not configure the runner for {target.name}")
        _run(
            ["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 1)],
            f"The runner for {target.name} did not compile",
        )
        binary = Path(folder) / "runner"
        check_machine(binary)
        _try_to_start(binary, target)
        record = _describe(target, inputs, Path(folder), configure, binary)
        binary.replace(path)
        # Last: without a record a binary counts as one of unknown origin.
        write_text(
            path.with_name(FILE if out is None else f"{path.name}.json"),
            record.model_dump_json(indent=2) + "\n",
        )
    return path


def refuse_missing(target: Target, inputs: BuildInputs) -> None:
    """Check everything that the build needs.

    Raises:
        UsageError: Something is missing; lists all of it.
    """
    problems = missing(target, inputs)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise UsageError(f"The runner for {target.name} cannot be built yet:\n{lines}")


def check_machine(path: Path) -> None:
    """Refuse a binary that is not for 64-bit Arm.

    Raises:
        DeviceError: It is for another machine, or not a program.
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


def _configure_command(target: Target, inputs: BuildInputs, folder: Path) -> list[str]:
    cache = read_cmake_cache(inputs.build) or {}
    command = ["cmake", "-S", str(SOURCES), "-B", str(folder)]
    command += ["-G", "Ninja" if shutil.which("ninja") else "Unix Makefiles"]
    command += ["-DCMAKE_BUILD_TYPE=Release", f"-DKIT_RUNTIME_VERSION={EXECUTORCH_VERSION}"]
    command += [f"-Dexecutorch_DIR={install_folder(cache) / PACKAGE}", *target.arguments]
    if inputs.ndk is not None and target.ndk:
        command.append(f"-DCMAKE_TOOLCHAIN_FILE={toolchain_file(inputs.ndk)}")
    return command


def _try_to_start(binary: Path, target: Target) -> None:
    """Start it if an emulator is installed: a runner without XNNPACK is useless."""
    emulator = shutil.which(target.emulator) if target.emulator else None
    if emulator is None:
        return
    version_text = _run(
        [emulator, str(binary), "--version"], "The runner does not start", START_TIMEOUT_S
    )
    if "XnnpackBackend" not in version_text:
        raise DeviceError(
            f"The runner knows no XNNPACK: {version_text.strip()}.",
            "Give an ExecuTorch that was built with EXECUTORCH_BUILD_XNNPACK=ON.",
        )


def _describe(
    target: Target, inputs: BuildInputs, folder: Path, command: list[str], binary: Path
) -> RunnerBuild:
    cache = read_cmake_cache(inputs.build) or {}
    compiler = (read_cmake_cache(folder) or {}).get("CMAKE_CXX_COMPILER", "")
    version_text = _run([compiler, "--version"], "The compiler does not start", START_TIMEOUT_S)
    return RunnerBuild(
        target=target.name,
        sha256=sha256_file(binary),
        compiler=version_text.partition("\n")[0],
        command=tuple(command),
        executorch=EXECUTORCH_VERSION,
        executorch_commit=executorch_commit(inputs.executorch),
        cmake=cmake_version(),
        ndk=ndk_revision(inputs.ndk) if inputs.ndk is not None and target.ndk else None,
        switches={name: cache[name] for name in RECORDED if name in cache},
    )


def _run(command: list[str], failure: str, timeout_s: float = BUILD_TIMEOUT_S) -> str:
    remedy = "Check that ExecuTorch was built and installed for this target."
    return check_tool(command, Task(failure=failure, remedy=remedy, timeout_s=timeout_s))
