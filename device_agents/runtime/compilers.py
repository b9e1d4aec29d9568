"""The compilers that can make the runner, and how each one is called.

For a phone: Debian's cross compiler where it is installed with glibc's libraries, else the
`ziglang` wheel, which brings all it needs. For this machine: its own C++ compiler.
"""

import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agents.cross.targets import CROSS_COMPILER
from device_agents.native.build import find_compiler
from device_agents.runtime.downloads import Downloads, unpack_wheel
from device_agents.runtime.pins import ALL_SYSTEM_LIBRARIES, ZIG, ZIG_WHEELS
from device_agents.tools import Task, check_tool
from search.cache import cache_root
from search.errors import DeviceError, UsageError

COMPILERS = ("auto", "cross", "zig")
# The oldest glibc that zig may link for; the wheels want 2.27 or newer.
_ZIG_TARGET = "aarch64-linux-gnu.2.28"
ZIG_SIZE = "fetched once (101 MB, 413 MB unpacked)"
_QUICK_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A compiler: its command, its name and version, variables that it needs.

    `libraries` are the system's libraries that come with it, by name; empty if it has none.
    """

    command: tuple[str, ...]
    version: str
    environment: Mapping[str, str]
    libraries: Mapping[str, Path]


def find_cross_compiler() -> Compiler | None:
    """The installed cross compiler, if it has glibc's libraries beside it."""
    path = shutil.which(CROSS_COMPILER)
    if path is None:
        return None
    libraries = {name: _library_of(path, name) for name in ALL_SYSTEM_LIBRARIES}
    found = {name: library for name, library in libraries.items() if library is not None}
    if len(found) < len(libraries):
        return None
    return Compiler(
        command=(path,), version=_first_line(path, "--version"), environment={}, libraries=found
    )


def zig_compiler(downloads: Downloads) -> Compiler:
    """The compiler of the pinned `ziglang` wheel, fetched if need be.

    Raises:
        DeviceError: There is none for this computer, or it cannot be fetched.
    """
    here = (platform.system(), platform.machine())
    wheel = ZIG_WHEELS.get(here)
    if wheel is None:
        raise DeviceError(
            f"There is no pinned compiler for {' '.join(here)}.",
            f"Install {CROSS_COMPILER} (Debian: apt install g++-aarch64-linux-gnu).",
        )
    downloads.say(f"the compiler is zig's, {ZIG_SIZE}")
    program = unpack_wheel(wheel, downloads.wheel(wheel)) / "ziglang/zig"
    program.chmod(0o755)  # a zip archive keeps no modes
    return Compiler(
        command=(str(program), "c++", "-target", _ZIG_TARGET),
        version=f"zig {ZIG}, {_first_line(str(program), 'c++', '--version')}",
        environment={"ZIG_GLOBAL_CACHE_DIR": str(cache_root() / "zig")},
        libraries={},
    )


def phone_compiler(wanted: str, downloads: Downloads) -> Compiler:
    """The compiler for phones: the one wanted, or by `auto` the installed one before zig's.

    Raises:
        UsageError: An unknown name, or `cross` where none is installed.
        DeviceError: zig's cannot be had.
    """
    if wanted not in COMPILERS:
        raise UsageError(f"Unknown compiler {wanted!r}.", f"Known: {', '.join(COMPILERS)}.")
    installed = find_cross_compiler() if wanted != "zig" else None
    if wanted == "cross" and installed is None:
        raise UsageError(
            f"{CROSS_COMPILER} is not installed with its libraries.",
            "Install it (Debian: apt install g++-aarch64-linux-gnu), or leave --compiler out.",
        )
    return installed or zig_compiler(downloads)


def host_compiler() -> Compiler:
    """This machine's own C++ compiler.

    Raises:
        UsageError, DeviceError: As `find_compiler`.
    """
    command = tuple(find_compiler())
    return Compiler(
        command=command,
        version=_first_line(*command, "--version"),
        environment={},
        libraries={},
    )


def glibc_version(libc: Path) -> str | None:
    """What a libc.so.6 says it is: "Debian GLIBC 2.36-9+deb12u14"."""
    match = re.search(rb"GNU C Library \((.{1,80}?)\) (?:stable|development)", libc.read_bytes())
    return match[1].decode(errors="replace") if match else None


def _library_of(compiler: str, name: str) -> Path | None:
    # A compiler that has no such file answers with the bare name.
    path = Path(_first_line(compiler, f"-print-file-name={name}"))
    return path.resolve() if path.is_absolute() and path.is_file() else None


def _first_line(*command: str) -> str:
    failure = f"The compiler {command[0]} does not start"
    task = Task(failure=failure, remedy="Install it again.", timeout_s=_QUICK_S)
    return check_tool(command, task, {"LC_ALL": "C"}).partition("\n")[0].strip()
