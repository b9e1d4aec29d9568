"""Build record of a native runner: one small JSON file beside each binary.

A table names its runner by sha256. By that, `find_build` finds the compiler and
the switches of the runtime inside, which change how fast operators are.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from search.cache import cache_root

FILE = "build.json"


WHEELS = "-wheels"  # ends the target's name of a runtime made from published wheels


def runtime_of_target(target: str) -> str:
    """The runtime (as `--runtime` names it) of a recorded target."""
    if target.endswith(WHEELS):
        return "wheels"
    return "installed" if target == "host" else "ndk"


class RunnerBuild(BaseModel):
    """Compiler, command, versions and switches of one binary; unknown is null.

    `switches` are ExecuTorch's own CMake options and their values. Those of an
    installed wheel are not known. `executorch` is empty where another runtime is linked, which
    `wheel` names. A runtime of several files has `files`, the sha256 of each
    by its name; its `sha256` is that of all of them, and `libc` the C library among them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    target: str
    sha256: str
    compiler: str
    command: tuple[str, ...]
    executorch: str
    executorch_commit: str | None = None
    torch: str | None = None
    cmake: str | None = None
    ndk: str | None = None
    libc: str | None = None
    wheel: str | None = None
    wheel_sha256: str | None = None
    files: dict[str, str] = {}
    switches: dict[str, str] = {}

    def facts(self) -> dict[str, str]:
        """Names and values that a table records of its runner."""
        values = {
            "runner_target": self.target,
            "runner_compiler": self.compiler,
            "runner_executorch": self.executorch,
            "runner_executorch_commit": self.executorch_commit,
            "runner_ndk": self.ndk,
            "runner_libc": self.libc,
            "runner_wheel": self.wheel,
            "runner_wheel_sha256": self.wheel_sha256,
        }
        return {name: value for name, value in values.items() if value} | self.switches


def runners_folder() -> Path:
    """The cache folder of built runners, one folder each."""
    return cache_root() / "runners"


def read_build(path: Path) -> RunnerBuild | None:
    """The record in this file; None if it is absent, damaged or of another schema."""
    try:
        return RunnerBuild.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def find_build(sha256: str | None) -> RunnerBuild | None:
    """The record of the runner with this content, if it was built on this machine."""
    if sha256 is None:
        return None
    for path in sorted(runners_folder().glob(f"*/{FILE}")):
        build = read_build(path)
        if build is not None and build.sha256 == sha256:
            return build
    return None
