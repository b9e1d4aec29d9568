"""Fills in what a table says of the kit and the machine that ran it."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from profiler import __version__
from search.table.manifest import Kit

_PACKAGES = ("torch", "executorch", "torchao", "onnx", "onnxruntime", "numpy")


def kit_info() -> Kit:
    """Version, commit and packages of the program that writes a table."""
    commit, dirty = _commit()
    return Kit(
        version=__version__,
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        packages={name: found for name in _PACKAGES if (found := _version(name))},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether sources differ from it; None outside one."""
    root = Path(__file__).parents[2]
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    # A table being written must not make the kit that writes it look edited.
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":!tables")
    return commit, None if changed is None else bool(changed)


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
