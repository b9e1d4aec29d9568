"""What the runtime is made of, as data: releases, file names and the sha256 of each file.

Nothing is fetched that is not named here. A new release of ExecuTorch is one new version and
a new sha256 a machine; of glibc, a new version, sha256 and sha1 of each package.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EXECUTORCH = "1.5.1"
ONNXRUNTIME = "1.32.0"
ZIG = "0.17.1"
# The wheels' libraries refer to no Python: any one of them serves every Python.
_PYTHON = "311"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One wheel of a package index, as pip is asked for it."""

    project: str
    version: str
    platform: str
    sha256: str
    python: str | None = None

    @property
    def name(self) -> str:
        """Project and version, for messages."""
        return f"{self.project} {self.version} ({self.platform})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """One package of Debian, and the files of it that are used (the name on the phone: path)."""

    file: str
    pool: str
    sha256: str
    sha1: str
    members: Mapping[str, str]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it can be had: Debian's mirrors, and its archive, which keeps all versions."""
        return (
            f"https://deb.debian.org/debian/pool/main/{self.pool}/{self.file}",
            f"https://snapshot.debian.org/file/{self.sha1}",
        )


def _executorch(machine: str, sha256: str) -> Wheel:
    return Wheel(
        project="executorch",
        version=EXECUTORCH,
        platform=f"manylinux_2_28_{machine}",
        sha256=sha256,
        python=_PYTHON,
    )


# By the machine's name in `uname -m`.
EXECUTORCH_WHEELS: Mapping[str, Wheel] = {
    "aarch64": _executorch(
        "aarch64", "8ee02348a3ea80ddf770822911ebf78da616b73afce0fbaaa79f23311c88c66a"
    ),
    "x86_64": _executorch(
        "x86_64", "274c28c2fe2b76acb03f9fa381537425c40e0098dcf886baf6d97a1a55ffe300"
    ),
}


# Its library is a whole one, of the C interface; the wheel's Python module is left out.
ONNXRUNTIME_WHEELS: Mapping[str, Wheel] = {
    "aarch64": Wheel(
        project="onnxruntime",
        version=ONNXRUNTIME,
        platform="manylinux_2_28_aarch64",
        sha256="2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
        python=_PYTHON,
    ),
}


def _zig(platform: str, sha256: str) -> Wheel:
    return Wheel(project="ziglang", version=ZIG, platform=platform, sha256=sha256)


# By `platform.system()` and `platform.machine()` of this computer.
ZIG_WHEELS: Mapping[tuple[str, str], Wheel] = {
    ("Linux", "x86_64"): _zig(
        "manylinux_2_12_x86_64",
        "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",
    ),
    ("Linux", "aarch64"): _zig(
        "manylinux_2_17_aarch64",
        "b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e",
    ),
    ("Darwin", "arm64"): _zig(
        "macosx_13_0_arm64",
        "09953b6af7f64168b915180a42774f520f92d86ef6331b28e33915c7e1f0bb23",
    ),
}

_LIB = "lib/aarch64-linux-gnu"
DEBIAN_PACKAGES: tuple[DebianPackage, ...] = (
    DebianPackage(
        file="libc6_2.36-9+deb12u14_arm64.deb",
        pool="g/glibc",
        sha256="01f4330719fd4f65580e16ea5a0527f372fca750e8f588d26deaf09f2d3b1cf4",
        sha1="85af57bf1f9fa075163e51c99d9536154c21ab7e",
        members={
            "ld-linux-aarch64.so.1": f"{_LIB}/ld-linux-aarch64.so.1",
            "libc.so.6": f"{_LIB}/libc.so.6",
            "libm.so.6": f"{_LIB}/libm.so.6",
            "libdl.so.2": f"{_LIB}/libdl.so.2",
            "libpthread.so.0": f"{_LIB}/libpthread.so.0",
            "librt.so.1": f"{_LIB}/librt.so.1",
        },
    ),
    DebianPackage(
        file="libgcc-s1_12.2.0-14+deb12u1_arm64.deb",
        pool="g/gcc-12",
        sha256="576926b283613db80168ddf76380a3bd877602778cf0d226caa7bfbfa71eacf3",
        sha1="6534755fbb89e7bd0ef86c53fce6f34b4f7bfbd4",
        members={"libgcc_s.so.1": f"{_LIB}/libgcc_s.so.1"},
    ),
    DebianPackage(
        file="libstdc++6_12.2.0-14+deb12u1_arm64.deb",
        pool="g/gcc-12",
        sha256="26e138c677a985775331373828a6c286c551ff397cb735d00e2383cb273d1cb2",
        sha1="d0ab5371c1259b637436b4e61381e47385386650",
        members={"libstdc++.so.6": "usr/lib/aarch64-linux-gnu/libstdc++.so.6"},
    ),
)

# The system's libraries that the wheel's refer to; the loader first.
# ONNX Runtime's library asks for one more than ExecuTorch's.
ALL_SYSTEM_LIBRARIES: tuple[str, ...] = tuple(
    name for package in DEBIAN_PACKAGES for name in package.members
)
SYSTEM_LIBRARIES: tuple[str, ...] = tuple(
    name for name in ALL_SYSTEM_LIBRARIES if name != "librt.so.1"
)
LOADER = SYSTEM_LIBRARIES[0]
