"""The machines that a runtime is made for, as data, and how it is started there."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agents.native.build import SOURCES
from device_agents.runtime.pins import (
    ALL_SYSTEM_LIBRARIES,
    EXECUTORCH_WHEELS,
    LOADER,
    ONNXRUNTIME,
    ONNXRUNTIME_WHEELS,
    SYSTEM_LIBRARIES,
    Wheel,
)
from search.errors import UsageError

RUNNER = "runner"
HOST_KERNELS = "host-kernels"
# Kernels of operators that are not delegated: twice as large as all others together.
KERNELS = "libexecutorch_kernels_optimized.so"
# All that a program that is one XNNPACK delegate needs; the kernel libraries are left out.
LIBRARIES = (
    "libexecutorch.so",
    "libexecutorch_threadpool.so",
    "libexecutorch_backend_xnnpack.so",
)
# By the name under which programs look for it, which is not that of its file in the wheel.
ONNX_LIBRARY = "libonnxruntime.so.1"
# What ONNX Runtime's runner takes of ExecuTorch's: all that names no runtime.
_SHARED = ("bench", "buffer", "clock", "host_facts", "json", "main", "plan", "records")
_ONNX_SOURCES = SOURCES.parent / "onnxruntime"
_ELF_MACHINES = {"aarch64": "EM_AARCH64", "x86_64": "EM_X86_64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of machine.

    Args:
        name: `phone`, or `host` for this machine; `host-kernels` where it has kernels too.
        machine: As `uname -m` names it.
        has_libc: Whether the folder brings glibc and its loader.
        runtime: `executorch`, or `onnxruntime`.
    """

    name: str
    machine: str
    has_libc: bool
    runtime: str = "executorch"

    @property
    def libraries(self) -> tuple[str, ...]:
        """The wheel's libraries that the runner is linked with."""
        if self.is_onnx:
            return (ONNX_LIBRARY,)
        return (*LIBRARIES, KERNELS) if self.name == HOST_KERNELS else LIBRARIES

    @property
    def wheel(self) -> Wheel:
        """The wheel that it is made from."""
        if self.is_onnx:
            return ONNXRUNTIME_WHEELS[self.machine]
        return EXECUTORCH_WHEELS[self.machine]

    @property
    def is_onnx(self) -> bool:
        """Whether ONNX Runtime computes, not ExecuTorch."""
        return self.runtime == "onnxruntime"

    @property
    def backend(self) -> str:
        """What the runner names among its backends."""
        return "CPUExecutionProvider" if self.is_onnx else "XnnpackBackend"

    @property
    def sources(self) -> tuple[Path, ...]:
        """What the runner is compiled from, headers left out."""
        if not self.is_onnx:
            return tuple(sorted(SOURCES.glob("*.cpp")))
        shared = [SOURCES / f"{name}.cpp" for name in _SHARED]
        return (*shared, *sorted(_ONNX_SOURCES.glob("*.cpp")))

    @property
    def system_libraries(self) -> tuple[str, ...]:
        """Libraries of the system in a folder that has a libc of its own."""
        return ALL_SYSTEM_LIBRARIES if self.is_onnx else SYSTEM_LIBRARIES

    def library_in(self, unpacked: Path, name: str) -> Path:
        """Where a library lies in the unpacked wheel."""
        if self.is_onnx:
            return unpacked / "onnxruntime" / "capi" / f"libonnxruntime.so.{ONNXRUNTIME}"
        return unpacked / "executorch" / "lib" / name

    @property
    def elf_machine(self) -> str:
        """The machine's name in ELF files."""
        return _ELF_MACHINES[self.machine]

    @property
    def needs_emulator(self) -> bool:
        """Whether this computer cannot run it by itself."""
        return platform.system() != "Linux" or platform.machine() != self.machine

    def command(self, folder: str) -> list[str]:
        """The words that start the runner in a folder on the machine; its arguments follow."""
        runner = f"{folder}/{RUNNER}"
        # No system has this loader where programs look for it: a phone has another libc.
        return (
            [f"{folder}/{LOADER}", "--library-path", folder, runner] if self.has_libc else [runner]
        )


PHONE = Target(name="phone", machine="aarch64", has_libc=True)
PHONE_ONNX = Target(
    name="phone-onnxruntime", machine="aarch64", has_libc=True, runtime="onnxruntime"
)


def _host(name: str) -> Target:
    return Target(name=name, machine=platform.machine(), has_libc=False)


def find_target(name: str) -> Target:
    """Return the target of this name.

    Raises:
        UsageError: Unknown; lists the known ones. Or there is no wheel for this machine.
    """
    for phone in (PHONE, PHONE_ONNX):
        if name == phone.name:
            return phone
    if name not in ("host", HOST_KERNELS):
        raise UsageError(f"Unknown target {name!r}.", f"Known: {', '.join(TARGETS)}.")
    host = _host(name)
    if platform.system() != "Linux" or host.machine not in EXECUTORCH_WHEELS:
        raise UsageError(
            f"There is no runtime for {platform.system()} on {host.machine} in wheels.",
            f"It is made for Linux on {', '.join(EXECUTORCH_WHEELS)}.",
        )
    return host


TARGETS: Mapping[str, str] = {
    "phone": "64-bit Android phones and arm64 boards reached by adb",
    "host": "this machine",
    HOST_KERNELS: "this machine, with kernels of operators that XNNPACK does not take",
    PHONE_ONNX.name: "phones and boards as above, with ONNX Runtime",
}
