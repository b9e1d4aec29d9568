"""A machine on which everything for a cross-build is there, made of small stand-ins.

ExecuTorch's checkout and build, the NDK and the programs on the PATH are folders
and scripts that answer what the real ones answer; `cmake --build` copies the
file `made` to where the runner is expected.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agents.cross.checks import BuildInputs
from device_agents.cross.targets import TARGETS, Target

# The head of an ELF file for 64-bit Arm: class, byte order, type, machine.
ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(44)

CMAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo "cmake version {version}"; exit 0; fi
if [ "$1" = --build ]; then exec cp "{made}" "$2/runner"; fi
printf '%s\\n' "$@" > "{asked}"
printf 'CMAKE_CXX_COMPILER:FILEPATH={compiler}\\n' > "$4/CMakeCache.txt"
"""
SUBMODULES = (
    *(f"backends/xnnpack/third-party/{name}" for name in ("XNNPACK", "cpuinfo", "pthreadpool")),
    *(f"backends/xnnpack/third-party/{name}" for name in ("FP16", "FXdiv")),
    *(f"third-party/{name}" for name in ("flatbuffers", "flatcc", "gflags", "json")),
)


@dataclass(frozen=True)
class World:
    """Where things lie; each test takes one of them away or changes it."""

    root: Path
    target: Target

    @property
    def checkout(self) -> Path:
        return self.root / "executorch"

    @property
    def build(self) -> Path:
        return self.checkout / "cmake-out"

    @property
    def cache(self) -> Path:
        return self.build / "CMakeCache.txt"

    @property
    def ndk(self) -> Path:
        return self.root / "ndk"

    @property
    def programs(self) -> Path:
        return self.root / "bin"

    @property
    def made(self) -> Path:
        """What the compiler will have made."""
        return self.root / "made"

    @property
    def places(self) -> BuildInputs:
        return BuildInputs(
            executorch=self.checkout, build=self.build, ndk=self.ndk if self.target.ndk else None
        )

    def asked(self) -> list[str]:
        """The arguments that CMake was configured with."""
        return (self.root / "asked").read_text().splitlines()

    def program(self, name: str, text: str) -> Path:
        path = self.programs / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def cmake(self, version: str = "3.25.1") -> None:
        compiler = self.programs / "aarch64-linux-gnu-g++"
        asked = self.root / "asked"
        text = CMAKE.format(version=version, made=self.made, asked=asked, compiler=compiler)
        self.program("cmake", text)

    def change(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def make_world(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(root, TARGETS[name])
    world.checkout.mkdir()
    (world.checkout / "version.txt").write_text("1.4.1\n")
    for submodule in SUBMODULES:
        (world.checkout / submodule).mkdir(parents=True)
        (world.checkout / submodule / "LICENSE").touch()
    package = world.build / "lib/cmake/ExecuTorch"
    package.mkdir(parents=True)
    (package / "executorch-config.cmake").touch()
    toolchain = world.ndk / "build/cmake/android.toolchain.cmake"
    toolchain.parent.mkdir(parents=True)
    toolchain.touch()
    (world.ndk / "source.properties").write_text(
        "Pkg.Desc = Android NDK\nPkg.Revision = 28.2.13676358\n"
    )
    entries = {
        **world.target.required,
        "CMAKE_HOME_DIRECTORY": str(world.checkout),
        "CMAKE_INSTALL_PREFIX": str(world.build),
        "EXECUTORCH_XNNPACK_ENABLE_WEIGHT_CACHE": "on",
        "EXECUTORCH_XNNPACK_SHARED_WORKSPACE": "TRUE",
        "EXECUTORCH_XNNPACK_ENABLE_KLEIDI": "0",
    }
    if world.target.ndk:
        entries["CMAKE_TOOLCHAIN_FILE"] = str(toolchain)
    else:
        entries["CMAKE_CXX_COMPILER"] = "/usr/bin/aarch64-linux-gnu-g++"
    world.cache.write_text(
        "# a comment\n\n" + "".join(f"{name}:STRING={value}\n" for name, value in entries.items())
    )
    world.made.write_bytes(ARM64)
    world.made.chmod(0o755)
    world.cmake()
    world.program("ninja", "#!/bin/sh\n")
    world.program("aarch64-linux-gnu-g++", "#!/bin/sh\necho 'g++ 12.2.0'\n")
    world.program("git", "#!/bin/sh\n")
    for tool in ("cp", "sh"):
        (world.programs / tool).symlink_to(Path("/bin") / tool)
    monkeypatch.setenv("PATH", str(world.programs))
    return world
