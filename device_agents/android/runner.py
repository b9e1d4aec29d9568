"""Choice of the native runner for a device, checked by the runner's ELF header."""

import os
import struct
from pathlib import Path

from device_agents.android.identity import Identity
from device_agents.cross import build
from device_agents.cross.targets import find_target
from device_agents.native import build as native
from search.errors import DeviceError

ENVIRONMENT = "KIT_ANDROID_RUNNER"
_TARGET = "android-arm64"
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


def find_runner(identity: Identity) -> Path:
    """The runner for a device; for a rehearsal that of this machine.

    Raises:
        DeviceError: It is not built, or of another architecture; the remedy
            is the command that builds it.
    """
    path = _built_for_this_machine() if identity.rehearsal else _built_for_android()
    check_architecture(path, identity)
    return path


def _built_for_android() -> Path:
    configured = os.environ.get(ENVIRONMENT)
    path = Path(configured) if configured else build.find(find_target(_TARGET))
    if path is None or not path.is_file():
        raise DeviceError("The native runner for Android is not built from these sources.", _BUILD)
    return path


def _built_for_this_machine() -> Path:
    configured = os.environ.get(ENVIRONMENT)
    path = Path(configured) if configured else native.find()
    if path is None or not path.is_file():
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
