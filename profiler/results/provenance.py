"""Version, commit and packages of the kit that writes a table."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from profiler import __version__
from search.table.manifest import Kit

_PACKAGES = ("torch", "executorch", "torchao", "coremltools", "onnx", "onnxruntime", "numpy")


def kit_info() -> Kit:
    """Version, commit and packages of the running program."""
    commit, dirty = _commit()
    return Kit(
        version=__version__,
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        packages={name: installed for name in _PACKAGES if (installed := _version(name))},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether sources differ from it; None outside one."""
    root = Path(__file__).parents[2]
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return None, None  # a repository around the kit, as of a project that installed it
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    # A table being written must not make the kit that writes it look edited.
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":!tables")
    return commit, None if changed is None else bool(changed)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
