"""Target machines of the native runner, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.errors import UsageError

EXECUTORCH_VERSION = "1.4.1"
NDK_REVISION = "28.2"  # r28c
ANDROID_ABI = "arm64-v8a"
ANDROID_PLATFORM = "android-28"
ANDROID_STL = "c++_static"  # nothing but the runner has to be pushed
CROSS_COMPILER = "aarch64-linux-gnu-g++"

# What ExecuTorch's build must have been configured with. Verification is off
# in its release builds; without it a damaged file ends the runner, where it
# owes a `failure` record. The android PAL would send errors to logcat.
_REQUIRED = {
    "CMAKE_BUILD_TYPE": "Release",
    "EXECUTORCH_BUILD_XNNPACK": "ON",
    "EXECUTORCH_BUILD_PORTABLE_OPS": "ON",
    "EXECUTORCH_ENABLE_PROGRAM_VERIFICATION": "ON",
    "EXECUTORCH_ENABLE_EVENT_TRACER": "OFF",
    "EXECUTORCH_OPTIMIZE_SIZE": "OFF",
    "EXECUTORCH_PAL_DEFAULT": "posix",
}

# Free to choose, but they change times: recorded.
RECORDED = (
    "EXECUTORCH_XNNPACK_ENABLE_WEIGHT_CACHE",
    "EXECUTORCH_XNNPACK_SHARED_WORKSPACE",
    "EXECUTORCH_XNNPACK_ENABLE_KLEIDI",
    "EXECUTORCH_ENABLE_LOGGING",
    "XNNPACK_ENABLE_ARM_SME",
    "XNNPACK_ENABLE_ARM_SME2",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of machine.

    `required` are entries of ExecuTorch's CMake cache and the values they must
    have; `arguments` go to CMake when the runner itself is configured;
    `emulator` can start the result on this machine.
    """

    name: str
    required: Mapping[str, str]
    arguments: tuple[str, ...]
    ndk: bool = False
    emulator: str | None = None


_TARGETS = (
    Target(
        name="android-arm64",
        required={
            **_REQUIRED,
            "ANDROID_ABI": ANDROID_ABI,
            "ANDROID_PLATFORM": ANDROID_PLATFORM,
            "ANDROID_STL": ANDROID_STL,
        },
        arguments=(
            f"-DANDROID_ABI={ANDROID_ABI}",
            f"-DANDROID_PLATFORM={ANDROID_PLATFORM}",
            f"-DANDROID_STL={ANDROID_STL}",
        ),
        ndk=True,
    ),
    Target(
        name="linux-arm64",
        required=_REQUIRED,
        arguments=(
            "-DCMAKE_SYSTEM_NAME=Linux",
            "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
            f"-DCMAKE_CXX_COMPILER={CROSS_COMPILER}",
            "-DCMAKE_EXE_LINKER_FLAGS=-static",
        ),
        emulator="qemu-aarch64-static",
    ),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _TARGETS}


def find_target(name: str) -> Target:
    """Return the target of this name.

    Raises:
        UsageError: Unknown; lists the known ones.
    """
    if name not in TARGETS:
        raise UsageError(f"Unknown target {name!r}.", f"Known: {', '.join(TARGETS)}.")
    return TARGETS[name]
