"""Choice of the runner for a device, checked before anything is copied.

A phone gets a folder with ExecuTorch's published libraries and a C library of its own, or one
program that was built with the NDK.
"""

import os
import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from device_agents.android.file_store import FileStore
from device_agents.android.identity import Identity
from device_agents.cross import build as cross
from device_agents.cross.targets import find_target
from device_agents.native import build as native
from device_agents.runtime.build import build as make_runtime
from device_agents.runtime.downloads import Downloads
from device_agents.runtime.folder import Runtime, find
from device_agents.runtime.targets import PHONE, PHONE_ONNX, Target
from search.errors import DeviceError, UsageError
from search.files import sha256_file

ENVIRONMENT = "KIT_ANDROID_RUNNER"
_TARGET = "android-arm64"
_FETCHED_MB = {"executorch": 18, "onnxruntime": 23}
_BUILD = (
    f"Build it once: python -m device_agents.cross --target {_TARGET} --executorch CHECKOUT "
    "--ndk NDK (device_agents/runners/executorch/README.md says where both come from), "
    f"or name a built one by {ENVIRONMENT}."
)
# e_machine of the ELF specification, and its names in uname -m and the ABI list.
_MACHINES = {
    0x03: ("x86", {"x86", "i686", "i386"}),
    0x28: ("arm", {"armeabi-v7a", "armv7l", "armv8l"}),
    0x3E: ("x86-64", {"x86_64"}),
    0xB7: ("arm64", {"arm64-v8a", "aarch64"}),
}
# A 64-bit kernel calls itself armv8l where its programs have 32 bits.
_ARM64_KERNELS = {"aarch64", "armv8l"}


class PhoneRunner(Protocol):
    """A runner as it is kept on this computer and started on a device."""

    @property
    def sha256(self) -> str:
        """Hash of all that computes: the program, or the whole folder."""
        ...

    def place(self, store: FileStore) -> list[str]:
        """Copy what is not there yet; returns the words that start it."""
        ...


@dataclass(frozen=True, slots=True)
class ProgramRunner:
    """One program that needs nothing but the device's own system."""

    path: Path
    sha256: str

    def place(self, store: FileStore) -> list[str]:
        return [store.put(self.path, self.sha256, executable=True)]


@dataclass(frozen=True, slots=True)
class FolderRunner:
    """A runtime of several files, started by the loader among them."""

    runtime: Runtime

    @property
    def sha256(self) -> str:
        """Hash of all files."""
        return self.runtime.sha256

    def place(self, store: FileStore) -> list[str]:
        folder = store.put_folder(self.runtime.path, self.runtime.files, self.sha256)
        return self.runtime.target.command(folder)


def find_runner(
    identity: Identity, runtime: str, say: Callable[[str], None], backend: str = "xnnpack"
) -> PhoneRunner:
    """The runner for a device; for a rehearsal on this machine's processor its own.

    A runtime from wheels is made first where there is none yet; `say` hears of each step.
    ONNX Runtime is one from wheels.

    Raises:
        UsageError: The device has no such runtime.
        DeviceError: It cannot be made, is not built, or is of another architecture; the
            remedy is the command that builds it.
    """
    if runtime not in ("auto", "wheels", "ndk"):
        raise UsageError(f"A phone has no runtime {runtime!r}.", "Known: auto, wheels, ndk.")
    if backend == "onnxruntime":
        return _onnx_runner(identity, runtime, say)
    configured = os.environ.get(ENVIRONMENT)
    if configured:
        return _program(Path(configured), identity)
    if identity.rehearsal and identity.machine in (None, platform.machine()):
        return _program(_built_for_this_machine(), identity)
    if runtime == "ndk":
        return _program(_built_for_android(), identity)
    check_word_size(identity)
    return FolderRunner(_from_wheels(PHONE, say))


def _onnx_runner(identity: Identity, runtime: str, say: Callable[[str], None]) -> PhoneRunner:
    if runtime == "ndk":
        raise UsageError(
            "ONNX Runtime comes from wheels alone.", "Leave --runtime out, or --backend."
        )
    if identity.rehearsal and identity.machine in (None, platform.machine()):
        raise UsageError(
            "A rehearsal on this machine's own processor has no ONNX Runtime.",
            "Rehearse a phone (python -m tests.loopback --phone pixel-6), or measure "
            "--device host.",
        )
    check_word_size(identity)
    return FolderRunner(_from_wheels(PHONE_ONNX, say))


def _from_wheels(target: Target, say: Callable[[str], None]) -> Runtime:
    runtime = find(target)
    if runtime is not None:
        return runtime
    name = "ONNX Runtime" if target.is_onnx else "ExecuTorch"
    say(
        f"No runtime for phones is made of {name} yet. It is made now, once: {name} "
        f"{target.wheel.version} for arm64 is fetched ({_FETCHED_MB[target.runtime]} MB), a runner "
        "compiled against it, and glibc put beside it."
    )
    return make_runtime(target, Downloads(offline=None, say=say))


def check_word_size(identity: Identity) -> None:
    """Refuse a device whose kernel is not a 64-bit one for Arm.

    Raises:
        DeviceError: It is not.
    """
    kernel = identity.machine
    known = {kernel} if kernel else {abi for abi in identity.abis if abi}
    if known and not known & {*_ARM64_KERNELS, "arm64-v8a"}:
        raise DeviceError(
            f"The device runs {', '.join(sorted(known))} programs; the runtime is made for "
            "64-bit Arm alone.",
            "Choose a phone with a 64-bit kernel.",
        )


def _program(path: Path, identity: Identity) -> ProgramRunner:
    check_architecture(path, identity)
    return ProgramRunner(path, sha256_file(path))


def _built_for_android() -> Path:
    path = cross.find(find_target(_TARGET))
    if path is None:
        raise DeviceError("The native runner for Android is not built from these sources.", _BUILD)
    return path


def _built_for_this_machine() -> Path:
    path = native.find()
    if path is None:
        raise DeviceError(
            "A rehearsal needs the native runner of this machine, which is not built.",
            "Build it: python -m device_agents.native.",
        )
    return path


def check_architecture(path: Path, identity: Identity) -> None:
    """Refuse a program that the device cannot execute, before it is copied.

    Raises:
        DeviceError: Not a program, or of another architecture.
    """
    machine = elf_machine(path)
    name, aliases = _MACHINES.get(machine or -1, ("unknown", set()))
    # The processes of a rehearsal run on this machine, whatever it pretends to be.
    reported = {identity.machine} if identity.rehearsal else {*identity.abis, identity.machine}
    known = {architecture for architecture in reported if architecture}
    if machine is None:
        raise DeviceError(f"{path} is not a program (no ELF header).", _BUILD)
    if known and not aliases & known:
        raise DeviceError(
            f"The runner {path} is made for {name}, the device is {', '.join(sorted(known))}.",
            _BUILD,
        )


def elf_machine(path: Path) -> int | None:
    """`e_machine` of an ELF file, or None for any other file."""
    try:
        with path.open("rb") as stream:
            header = stream.read(20)
    except OSError as error:
        raise DeviceError(f"Cannot read {path}: {error.strerror}.") from error
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[5] not in (1, 2):
        return None
    order = "<" if header[5] == 1 else ">"
    return int(struct.unpack_from(f"{order}H", header, 18)[0])
