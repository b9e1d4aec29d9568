"""Makes a runtime: fetch the wheel, compile the runner, gather the folder, check and record it."""

import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from device_agents.native.build import SOURCES
from device_agents.native.record import FILE, WHEELS, RunnerBuild
from device_agents.runtime.checks import check_folder
from device_agents.runtime.compilers import (
    Compiler,
    glibc_version,
    host_compiler,
    phone_compiler,
)
from device_agents.runtime.debian import read_members
from device_agents.runtime.downloads import Downloads, unpack_wheel
from device_agents.runtime.folder import Runtime, find, hash_files, hash_folder, place_of
from device_agents.runtime.pins import DEBIAN_PACKAGES
from device_agents.runtime.targets import RUNNER, Target
from device_agents.tools import Task, check_tool
from search.files import write_text

_COMPILING = Task(
    failure="The runner did not compile", remedy="Try another --compiler.", timeout_s=1800
)
_FLAGS = ("-std=c++17", "-O2", "-fPIE", "-Wall", "-Wextra")
_EXECUTORCH_FLAGS = (
    "-DC10_USING_CUSTOM_GENERATED_MACROS",
    # The wheel's libraries were compiled with it, and it changes the classes of their headers.
    "-DET_EVENT_TRACER_ENABLED",
)


def build(target: Target, downloads: Downloads, compiler: str = "auto") -> Runtime:
    """Make the runtime for a target, whatever is there already.

    Args:
        target: The machine that it is for.
        downloads: Where files come from, and who is told of it.
        compiler: For phones: `auto`, `cross` or `zig`.

    Raises:
        UsageError: The compiler wanted is not installed.
        DeviceError: Something cannot be fetched, compiled, or started.
    """
    wheel = target.wheel
    unpacked = unpack_wheel(wheel, downloads.wheel(wheel))
    chosen = phone_compiler(compiler, downloads) if target.has_libc else host_compiler()
    place = place_of(target)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".build-", dir=place.parent))
    temporary.chmod(0o755)
    try:
        files = temporary / "files"
        files.mkdir()
        for name in target.libraries:
            shutil.copy(target.library_in(unpacked, name), files / name)
        libc = _gather_system(target, files, chosen, downloads) if target.has_libc else _own_libc()
        downloads.say(f"compiling the runner with {chosen.version}")
        flags = _compile(target, chosen, unpacked, temporary)
        started = check_folder(target, files)
        record = _describe(target, chosen, flags, files, unpacked, libc)
        write_text(temporary / FILE, record.model_dump_json(indent=2) + "\n")
        _put_in_place(temporary, place, find(target), record)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    runtime = find(target)
    assert runtime is not None
    checked = "started here" if started else "not started: there is no emulator for it here"
    downloads.say(
        f"the runtime for {target.name} is made: {len(runtime.files)} files, "
        f"{runtime.bytes / 1e6:.1f} MB; checked, {checked}"
    )
    return runtime


def _gather_system(
    target: Target, files: Path, compiler: Compiler, downloads: Downloads
) -> str | None:
    """Put glibc and its loader there, the compiler's own or Debian's; returns what it is."""
    if compiler.libraries:
        for name in target.system_libraries:
            shutil.copy(compiler.libraries[name], files / name)
    else:
        for package in DEBIAN_PACKAGES:
            wanted = {
                name: member
                for name, member in package.members.items()
                if name in target.system_libraries
            }
            contents = read_members(downloads.package(package), wanted)
            for name, content in contents.items():
                (files / name).write_bytes(content)
    for path in files.iterdir():
        path.chmod(0o755)
    return glibc_version(files / "libc.so.6")


def _own_libc() -> str | None:
    """This machine's C library, with which its runtime is linked."""
    return " ".join(platform.libc_ver()).strip() or None


def _compile(target: Target, compiler: Compiler, unpacked: Path, folder: Path) -> list[str]:
    """Compile and link the runner; returns the flags, for the record."""
    flags = _flags(target, unpacked)
    sources = target.sources
    objects = [folder / f"{source.parent.name}-{source.stem}.o" for source in sources]
    commands = [
        [*compiler.command, *flags, "-c", str(source), "-o", str(made)]
        for source, made in zip(sources, objects, strict=True)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiling = [
            pool.submit(check_tool, command, _COMPILING, compiler.environment)
            for command in commands
        ]
        for one in compiling:
            one.result()
    # Nothing names the backend: it registers itself. The system's libraries are not the
    # compiler's, so what those of the wheel refer to is checked afterwards, not here.
    linking = ["-pie", "-s", "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined"]
    linking += [] if target.has_libc else ["-Wl,-rpath,$ORIGIN"]
    libraries = [str(folder / "files" / name) for name in target.libraries]
    runner = folder / "files" / RUNNER
    command = [*compiler.command, "-o", str(runner), *map(str, objects), *libraries]
    linked = [*command[: -len(libraries)], *linking, *libraries]
    check_tool(linked, _COMPILING, compiler.environment)
    runner.chmod(0o755)
    return [*flags, *linking]


def _flags(target: Target, unpacked: Path) -> list[str]:
    # Messages name their source: without folders the binary is the same everywhere.
    own = f"-fmacro-prefix-map={SOURCES.parent if target.is_onnx else SOURCES}/="
    if target.is_onnx:
        return [*_FLAGS, "-DKIT_ONNXRUNTIME", own]
    include = unpacked / "executorch" / "include"
    return [
        *_FLAGS,
        *_EXECUTORCH_FLAGS,
        f'-DKIT_RUNTIME_VERSION="{target.wheel.version}"',
        f"-isystem{include}",
        f"-isystem{include / 'executorch/runtime/core/portable_type/c10'}",
        f"-fmacro-prefix-map={include}/=",
        own,
    ]


def _describe(
    target: Target,
    compiler: Compiler,
    flags: Sequence[str],
    folder: Path,
    unpacked: Path,
    libc: str | None,
) -> RunnerBuild:
    files = hash_files(folder)
    return RunnerBuild(
        target=f"{target.name}{WHEELS}",
        sha256=hash_folder(files),
        compiler=compiler.version,
        command=(*compiler.command, *flags),
        executorch="" if target.is_onnx else target.wheel.version,
        executorch_commit=None if target.is_onnx else _commit_of(unpacked / "executorch"),
        libc=libc,
        wheel=f"{target.wheel.project}-{target.wheel.version}-{target.wheel.platform}",
        wheel_sha256=target.wheel.sha256,
        files=files,
    )


def _commit_of(unpacked: Path) -> str | None:
    """The commit that the wheel names in its version.py, which is read, not run."""
    text = (unpacked / "version.py").read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        if line.startswith("git_version"):
            return line.partition("=")[2].strip().strip("'\"") or None
    return None


def _put_in_place(
    temporary: Path, place: Path, before: Runtime | None, record: RunnerBuild
) -> None:
    """Replace the folder as one step; object files stay behind."""
    if before is not None and before.record == record and hash_files(before.path) == record.files:
        return  # the same to the bit, and perhaps in use
    for path in temporary.glob("*.o"):
        path.unlink()
    old = temporary.with_name(f"{temporary.name}-old")
    try:
        if place.exists():
            place.rename(old)
        temporary.rename(place)
    except OSError:
        if not place.is_dir():  # another process was faster: what it made will do
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
