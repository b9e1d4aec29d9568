"""Builds the native runner for this machine against the installed ExecuTorch.

One compiler command and no checkout: the wheel brings the headers and the
libraries. The binary lies in the cache under a hash of all that it is made of,
so a changed source or another version never meets an old binary. The compiler
is left out of the hash, so that `find` needs none; `build.json` beside the
binary names it.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from device_agents.native.record import FILE, RunnerBuild, runners_folder
from search.errors import DeviceError, UsageError
from search.files import sha256_file

SOURCES = Path(__file__).parents[1] / "runners" / "executorch"
COMPILERS = ("c++", "g++", "clang++")
COMPILE_TIMEOUT_S = 600
CHECK_TIMEOUT_S = 60
SHOWN_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Installed:
    """Where the two packages lie and which they are."""

    executorch: Path
    torch: Path
    executorch_version: str
    torch_version: str


def find() -> Path | None:
    """Return the binary built from the present sources and packages, if there is one.

    Quick: imports neither torch nor ExecuTorch, and runs nothing.
    """
    try:
        path = _place(_installed())
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
    path = _place(installed) if out is None else out
    if not force and os.access(path, os.X_OK) and out is None:
        return path
    compiler = _compiler()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the last step is one rename.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        made = Path(folder) / "runner"
        command = [*compiler, *_compile_flags(installed), "-o", str(made)]
        command += [*map(str, sorted(SOURCES.glob("*.cpp"))), *_link_flags(installed)]
        _run(command, COMPILE_TIMEOUT_S, "The native runner did not compile")
        _run([str(made), "--version"], CHECK_TIMEOUT_S, "The native runner does not start")
        about = Path(folder) / FILE
        about.write_text(_describe(installed, compiler, command, made), encoding="utf-8")
        about.replace(path.with_name(FILE if out is None else f"{path.name}.json"))
        made.replace(path)
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
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise PackageNotFoundError(package)
    return Path(places[0])


def _place(installed: _Installed) -> Path:
    """Return where the binary belongs: its folder is named after its ingredients."""
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
    # The runtime itself, log and all, lies in the second, whatever its name.
    beside = sorted((installed.executorch / "backends/qualcomm").glob("libqnn_executorch*.so"))
    torch = [installed.torch / f"lib/lib{name}.so" for name in ("torch_python", "torch_cpu", "c10")]
    return [bindings[0], *beside, *torch]


def _python_library() -> list[str]:
    """Return the flags that bring libpython, which the wheel's libraries refer to.

    A Python built without a shared library leaves an archive to link in.
    """
    names = ("LIBDIR", "LIBPL", "INSTSONAME", "LDVERSION", "LIBS", "SYSLIBS")
    known = {name: str(sysconfig.get_config_var(name) or "") for name in names}
    stem = f"libpython{known['LDVERSION']}"
    places = [known["LIBDIR"], known["LIBPL"], f"{sys.base_prefix}/lib"]
    for name in (known["INSTSONAME"], f"{stem}.so.1.0", f"{stem}.so", f"{stem}.a"):
        found = [Path(place) / name for place in places if place and (Path(place) / name).is_file()]
        if found and ".so" in name:
            return [str(found[0]), f"-Wl,-rpath,{found[0].parent}"]
        if found:
            needed = shlex.split(f"{known['LIBS']} {known['SYSLIBS']}")
            return [str(found[0]), *needed, "-ldl", "-lpthread", "-lutil", "-lm"]
    raise DeviceError(
        "This Python brings no library (libpython) to link the native runner with.",
        "Install its development files, or measure with the Python runtime.",
    )


def _compiler() -> list[str]:
    chosen = shlex.split(os.environ.get("CXX", ""))
    if chosen:
        if shutil.which(chosen[0]) is None:
            raise UsageError(f"CXX names no program: {chosen[0]}.", "Correct or unset CXX.")
        return chosen
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise DeviceError(
        f"No C++ compiler found (looked for CXX, {', '.join(COMPILERS)}).",
        "Install one (Debian: apt install g++), or measure with the Python runtime.",
    )


def _run(command: list[str], timeout_s: float, complaint: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{complaint}: {error}.", "Try another compiler by CXX.") from error
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-SHOWN_LINES:])
        raise DeviceError(
            f"{complaint} (exit code {done.returncode}):\n{last}\n",
            "Try another compiler by CXX, or measure with the Python runtime.",
        )
    return done.stdout


def _describe(installed: _Installed, compiler: list[str], command: list[str], binary: Path) -> str:
    reported = _run([*compiler, "--version"], CHECK_TIMEOUT_S, "The compiler does not start")
    record = RunnerBuild(
        target="host",
        sha256=sha256_file(binary),
        compiler=reported.partition("\n")[0],
        command=tuple(command),
        executorch=installed.executorch_version,
        torch=installed.torch_version,
    )
    return record.model_dump_json(indent=2) + "\n"
