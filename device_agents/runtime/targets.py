"""The machines that a runtime is made for, as data, and how it is started there."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from device_agents.runtime.pins import EXECUTORCH_WHEELS, LOADER, Wheel
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
_ELF_MACHINES = {"aarch64": "EM_AARCH64", "x86_64": "EM_X86_64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of machine.

    Args:
        name: `phone`, or `host` for this machine; `host-kernels` where it has kernels too.
        machine: As `uname -m` names it.
        has_libc: Whether the folder brings glibc and its loader.
    """

    name: str
    machine: str
    has_libc: bool

    @property
    def libraries(self) -> tuple[str, ...]:
        """The wheel's libraries that the runner is linked with."""
        return (*LIBRARIES, KERNELS) if self.name == HOST_KERNELS else LIBRARIES

    @property
    def wheel(self) -> Wheel:
        """The wheel that it is made from."""
        return EXECUTORCH_WHEELS[self.machine]

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


def _host(name: str) -> Target:
    return Target(name=name, machine=platform.machine(), has_libc=False)


def find_target(name: str) -> Target:
    """Return the target of this name.

    Raises:
        UsageError: Unknown; lists the known ones. Or there is no wheel for this machine.
    """
    if name == PHONE.name:
        return PHONE
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
}
