"""Build of the native runner for this machine against the installed ExecuTorch.

One compiler command and no checkout: the wheel brings the headers and the
libraries. The binary is cached under a hash of its sources, versions and
flags, so that a change never reuses an old binary. The compiler is not part of
the hash, so that `find` needs none; `build.json` beside the binary names it.
"""

import hashlib
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from device_agents.native.record import FILE, RunnerBuild, runners_folder
from device_agents.tools import Task, check_tool
from search.errors import DeviceError, UsageError
from search.files import sha256_file

SOURCES = Path(__file__).parents[1] / "runners" / "executorch"
COMPILERS = ("c++", "g++", "clang++")
COMPILE_TIMEOUT_S = 600
CHECK_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Installed:
    """Folders and versions of the two packages to link against."""

    executorch: Path
    torch: Path
    executorch_version: str
    torch_version: str


def find() -> Path | None:
    """Return the binary built from the present sources and packages, if there is one.

    Quick: imports neither torch nor ExecuTorch, and runs nothing.
    """
    try:
        path = _binary_path(_installed())
    except DeviceError:
        return None
    return path if os.access(path, os.X_OK) else None


def build(force: bool = False, out: Path | None = None) -> Path:
    """Return the runner, compiled first if it is not in the cache yet.

    Args:
        force: Compile even if the same binary exists.
        out: Where to put the binary instead of in the cache.

    Raises:
        UsageError: `CXX` names no compiler.
        DeviceError: No compiler, no ExecuTorch, or the compiler failed.
    """
    installed = _installed()
    path = _binary_path(installed) if out is None else out
    if not force and os.access(path, os.X_OK) and out is None:
        return path
    compiler = find_compiler()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the last step is one rename.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        binary = Path(folder) / "runner"
        command = [*compiler, *_compile_flags(installed), "-o", str(binary)]
        command += [*map(str, sorted(SOURCES.glob("*.cpp"))), *_link_flags(installed)]
        _run(command, COMPILE_TIMEOUT_S, "The native runner did not compile")
        _run([str(binary), "--version"], CHECK_TIMEOUT_S, "The native runner does not start")
        record = Path(folder) / FILE
        record.write_text(_describe(installed, compiler, command, binary), encoding="utf-8")
        record.replace(path.with_name(FILE if out is None else f"{path.name}.json"))
        binary.replace(path)
    return path


def _installed() -> _Installed:
    if sys.platform != "linux":
        raise DeviceError(
            f"The native runner is not made for {sys.platform}.",
            "Measure with the Python runtime instead.",
        )
    try:
        return _Installed(
            executorch=_folder("executorch"),
            torch=_folder("torch"),
            executorch_version=version("executorch"),
            torch_version=version("torch"),
        )
    except PackageNotFoundError as error:
        raise DeviceError(
            f"The native runner needs the package {error.name}, which is not installed.",
            "Install the kit with its extra: pip install -e '.[profile]'.",
        ) from error


def _folder(package: str) -> Path:
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise PackageNotFoundError(package)
    return Path(folders[0])


def _binary_path(installed: _Installed) -> Path:
    """Return the binary's path in the cache: its folder is a hash of what it is built from."""
    digest = hashlib.sha256()
    for source in sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h")]):
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    versions = [installed.executorch_version, installed.torch_version]
    flags = [*_compile_flags(installed), *_link_flags(installed)]
    digest.update("\n".join([*versions, *flags]).encode())
    return runners_folder() / digest.hexdigest()[:24] / "runner"


def _compile_flags(installed: _Installed) -> list[str]:
    include = installed.executorch / "include"
    headers = [
        include,
        include / "executorch/runtime/core/portable_type/c10",
        installed.torch / "include",  # pthreadpool.h
    ]
    return [
        *("-std=c++17", "-O2", "-Wall", "-Wextra"),
        "-DC10_USING_CUSTOM_GENERATED_MACROS",
        f'-DKIT_RUNTIME_VERSION="{installed.executorch_version}"',
        *(f"-isystem{path}" for path in headers),
    ]


def _link_flags(installed: _Installed) -> list[str]:
    libraries = _libraries(installed)
    return [
        "-Wl,--no-as-needed",  # the kernels register themselves: nothing names them
        *(str(path) for path in libraries),
        *_python_library(),
        *(f"-Wl,-rpath,{path}" for path in dict.fromkeys(lib.parent for lib in libraries)),
    ]


def _libraries(installed: _Installed) -> list[Path]:
    bindings = sorted((installed.executorch / "extension/pybindings").glob("_portable_lib*.so"))
    if not bindings:
        raise DeviceError(
            "The installed ExecuTorch has no runtime library to link with.",
            "Install the executorch wheel for this platform, or measure with the Python runtime.",
        )
    # The runtime itself, its log included, is in this library, whatever its name.
    runtime = sorted((installed.executorch / "backends/qualcomm").glob("libqnn_executorch*.so"))
    torch = [installed.torch / f"lib/lib{name}.so" for name in ("torch_python", "torch_cpu", "c10")]
    return [bindings[0], *runtime, *torch]


def _python_library() -> list[str]:
    """Return the flags that link libpython, to which the wheel's libraries refer.

    A Python built without a shared library has a static one.
    """
    names = ("LIBDIR", "LIBPL", "INSTSONAME", "LDVERSION", "LIBS", "SYSLIBS")
    config = {name: str(sysconfig.get_config_var(name) or "") for name in names}
    stem = f"libpython{config['LDVERSION']}"
    folders = [config["LIBDIR"], config["LIBPL"], f"{sys.base_prefix}/lib"]
    for name in (config["INSTSONAME"], f"{stem}.so.1.0", f"{stem}.so", f"{stem}.a"):
        paths = [Path(folder) / name for folder in folders if folder]
        library = next((path for path in paths if path.is_file()), None)
        if library is not None and ".so" in name:
            return [str(library), f"-Wl,-rpath,{library.parent}"]
        if library is not None:
            needed = shlex.split(f"{config['LIBS']} {config['SYSLIBS']}")
            return [str(library), *needed, "-ldl", "-lpthread", "-lutil", "-lm"]
    raise DeviceError(
        "This Python brings no library (libpython) to link the native runner with.",
        "Install its development files, or measure with the Python runtime.",
    )


def find_compiler() -> list[str]:
    """The C++ compiler of this machine, as words of a command.

    Raises:
        UsageError: `CXX` names no program.
        DeviceError: There is none.
    """
    configured = shlex.split(os.environ.get("CXX", ""))
    if configured:
        if shutil.which(configured[0]) is None:
            raise UsageError(f"CXX names no program: {configured[0]}.", "Correct or unset CXX.")
        return configured
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise DeviceError(
        f"No C++ compiler found (looked for CXX, {', '.join(COMPILERS)}).",
        "Install one (Debian: apt install g++), or measure with the Python runtime.",
    )


def _run(command: list[str], timeout_s: float, failure: str) -> str:
    remedy = "Try another compiler by CXX, or measure with the Python runtime."
    return check_tool(command, Task(failure=failure, remedy=remedy, timeout_s=timeout_s))


def _describe(installed: _Installed, compiler: list[str], command: list[str], binary: Path) -> str:
    version_text = _run([*compiler, "--version"], CHECK_TIMEOUT_S, "The compiler does not start")
    record = RunnerBuild(
        target="host",
        sha256=sha256_file(binary),
        compiler=version_text.partition("\n")[0],
        command=tuple(command),
        executorch=installed.executorch_version,
        torch=installed.torch_version,
    )
    return record.model_dump_json(indent=2) + "\n"
