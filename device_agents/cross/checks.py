"""Checks before a cross-build, made before anything is compiled.

Every check returns sentences, one for each thing that is missing, so that all
of them are reported at once.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agents.cross.targets import (
    CROSS_COMPILER,
    EXECUTORCH_VERSION,
    NDK_REVISION,
    Target,
)

CMAKE_AT_LEAST = (3, 24)
PACKAGE = Path("lib/cmake/ExecuTorch")  # inside ExecuTorch's install folder
_SUBMODULES = (
    *(f"backends/xnnpack/third-party/{name}" for name in ("XNNPACK", "cpuinfo", "pthreadpool")),
    *(f"backends/xnnpack/third-party/{name}" for name in ("FP16", "FXdiv")),
    *(f"third-party/{name}" for name in ("flatbuffers", "flatcc", "gflags", "json")),
)
_ENTRY = re.compile(r"^([A-Za-z_][\w.+-]*):[A-Z]+=(.*)$")
_ON = {"1", "ON", "YES", "TRUE", "Y"}
_OFF = {"0", "OFF", "NO", "FALSE", "N", "IGNORE", "NOTFOUND", ""}
_DEFAULTS = {"ANDROID_STL": "c++_static"}  # of the NDK, which leaves them out of the cache
_QUICK_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """Folders of a cross-build: ExecuTorch's checkout, its build folder, the NDK."""

    executorch: Path
    build: Path
    ndk: Path | None


def missing(target: Target, inputs: BuildInputs) -> list[str]:
    """Everything that is missing for this build, a sentence each."""
    problems = [*_check_cmake(), *_check_checkout(inputs.executorch)]
    problems += _check_ndk(inputs.ndk) if target.ndk else _check_compiler()
    return [*problems, *_check_build(target, inputs)]


def cmake_version() -> str | None:
    """The version of the CMake on the PATH; None if there is none."""
    output = _output("cmake", "--version").split()
    return output[2] if len(output) > 2 else None


def ndk_revision(ndk: Path) -> str | None:
    """`Pkg.Revision` of an NDK folder; None if it is not one."""
    try:
        text = (ndk / "source.properties").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^Pkg\.Revision\s*=\s*(\S+)", text, re.MULTILINE)
    return match[1] if match else None


def executorch_version(checkout: Path) -> str | None:
    """The version in a checkout's version.txt; None if it cannot be read."""
    try:
        return (checkout / "version.txt").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def executorch_commit(checkout: Path) -> str | None:
    """The checkout's commit, marked if files differ from it; None without git's folder."""
    if not (checkout / ".git").exists():
        return None
    arguments = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return _output("git", "-C", str(checkout), *arguments).strip() or None


def read_cmake_cache(folder: Path) -> dict[str, str] | None:
    """The entries of a build folder's CMake cache; switches as ON or OFF.

    None if the folder was never configured.
    """
    try:
        text = (folder / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    entries = filter(None, map(_ENTRY.match, text.splitlines()))
    return {entry[1]: _switch(entry[2]) for entry in entries}


def _switch(value: str) -> str:
    upper = value.upper()
    return "ON" if upper in _ON else "OFF" if upper in _OFF else value


def _check_cmake() -> Iterator[str]:
    wanted = ".".join(map(str, CMAKE_AT_LEAST))
    version = cmake_version()
    if version is None:
        yield f"CMake is not installed. Install cmake {wanted} or newer."
    elif tuple(map(int, re.findall(r"\d+", version)[:2])) < CMAKE_AT_LEAST:
        yield f"CMake {version} is too old. Install cmake {wanted} or newer."
    if not any(map(shutil.which, ("ninja", "make"))):
        yield "Neither ninja nor make is installed. Install one of them."


def _check_compiler() -> Iterator[str]:
    if shutil.which(CROSS_COMPILER) is None:
        yield (
            f"{CROSS_COMPILER} is not installed. "
            "Install it (Debian: apt install g++-aarch64-linux-gnu)."
        )


def _check_ndk(ndk: Path | None) -> Iterator[str]:
    wanted = f"Android NDK r28c ({NDK_REVISION}.x)"
    if ndk is None:
        yield f"No NDK was given. Give --ndk, the folder of {wanted}."
        return
    revision = ndk_revision(ndk)
    if revision is None:
        yield f"{ndk} is no NDK: it has no readable source.properties. Give {wanted}."
    elif not revision.startswith(f"{NDK_REVISION}."):
        yield f"{ndk} is NDK {revision}. Give {wanted}: another compiler gives other times."
    elif not toolchain_file(ndk).is_file():
        yield f"{ndk} lacks {toolchain_file(ndk).relative_to(ndk)}. Unpack the NDK again."


def toolchain_file(ndk: Path) -> Path:
    """The NDK's toolchain file for CMake."""
    return ndk / "build/cmake/android.toolchain.cmake"


def _check_checkout(folder: Path) -> Iterator[str]:
    version = executorch_version(folder)
    if version is None:
        yield (
            f"{folder} is no checkout of ExecuTorch: it has no version.txt. "
            f"Give --executorch, a checkout of v{EXECUTORCH_VERSION}."
        )
        return
    if version != EXECUTORCH_VERSION:
        yield f"{folder} is ExecuTorch {version}. Check out v{EXECUTORCH_VERSION}."
    elif (folder / ".git").exists():
        described = _output("git", "-C", str(folder), "describe", "--tags", "--dirty").strip()
        if described and described != f"v{EXECUTORCH_VERSION}":
            yield f"{folder} is at {described}. Check out v{EXECUTORCH_VERSION} without changes."
    if folder.resolve().name != "executorch":
        yield f"{folder} must be called executorch: its headers are included by that name."
    empty = [name for name in _SUBMODULES if not any_file(folder / name)]
    if empty:
        yield f"Submodules of {folder} are not there: {', '.join(empty)}. Check them out."


def any_file(folder: Path) -> bool:
    """Whether this is a folder that is not empty."""
    return folder.is_dir() and next(folder.iterdir(), None) is not None


def _check_build(target: Target, inputs: BuildInputs) -> Iterator[str]:
    cache = read_cmake_cache(inputs.build)
    if cache is None:
        settings = ", ".join(f"{name}={value}" for name, value in target.required.items())
        yield (
            f"{inputs.build} holds no build of ExecuTorch for {target.name}. "
            f"Build and install it as its documentation says, with {settings}; "
            "then give --build, its build folder."
        )
        return
    home = cache.get("CMAKE_HOME_DIRECTORY", "")
    if Path(home).resolve() != inputs.executorch.resolve():
        yield f"{inputs.build} was built from {home}, not from {inputs.executorch}. Give both."
    yield from _check_entries(target.required, cache, inputs.build)
    if target.ndk:
        yield from _check_same_ndk(cache, inputs)
    elif Path(cache.get("CMAKE_CXX_COMPILER", "")).name != CROSS_COMPILER:
        yield f"{inputs.build} was not built with {CROSS_COMPILER}. Build it with that."
    if not (install_folder(cache) / PACKAGE / "executorch-config.cmake").is_file():
        yield f"{inputs.build} is not installed. Run cmake --install {inputs.build}."


def _check_entries(wanted: Mapping[str, str], cache: Mapping[str, str], build: Path) -> list[str]:
    return [
        f"{build} was configured with {name}={cache.get(name, '(not set)')}. "
        f"The runner needs {value}."
        for name, value in wanted.items()
        if not _is_same(name, cache.get(name, _DEFAULTS.get(name, "")), value)
    ]


def _is_same(name: str, value: str, wanted: str) -> bool:
    # The NDK takes a bare API level as well.
    return value == wanted or (name == "ANDROID_PLATFORM" and f"android-{value}" == wanted)


def _check_same_ndk(cache: Mapping[str, str], inputs: BuildInputs) -> Iterator[str]:
    if inputs.ndk is None:
        return
    used = cache.get("CMAKE_TOOLCHAIN_FILE", "")
    if not used or Path(used).resolve() != toolchain_file(inputs.ndk).resolve():
        yield (
            f"{inputs.build} was built with the toolchain {used or '(none)'}, "
            f"not with that of {inputs.ndk}. Give the NDK it was built with."
        )


def install_folder(cache: Mapping[str, str]) -> Path:
    """The folder that a build installs to."""
    return Path(cache.get("CMAKE_INSTALL_PREFIX", "/nowhere"))


def _output(*command: str) -> str:
    """Output of a quick command; empty if it fails."""
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_QUICK_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout
