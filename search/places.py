"""Where results go: refused before any work where they could not be written after it."""

import tempfile
from pathlib import Path

from search.errors import UsageError

# Sub-folder in which the network found is trained.
RETRAIN = "retrain"
# Files by which a folder is known to hold a run: of the engine, of the baselines.
_KEPT = ("last.pt", "trials.jsonl")
# More than a full disk grants, less than anybody notices.
_PROBE_BYTES = 65536


def check_file(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    """Make sure that a file can be written or replaced here, and is named like its kind.

    Args:
        path: The file; its folder is made.
        option: The option that named it, for the remedy.
        suffixes: One of these must end the name.

    Raises:
        UsageError: Another suffix, a folder of this name, or no writing here.
    """
    if path.suffix not in suffixes:
        raise UsageError(
            f"{str(path)!r} does not end in {' or '.join(suffixes)}.",
            f"Give {option} such as result{suffixes[0]}.",
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", f"Name a file with {option}.")
    check_folder(path.parent, option)


def check_folder(folder: Path, option: str) -> None:
    """Make a folder, and make sure that files can be written in it.

    Raises:
        UsageError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
    except OSError as error:
        raise UsageError(
            f"Cannot write to {folder}: {error.strerror or error}.",
            f"Choose another place with {option}.",
        ) from error


def check_run(folder: Path, resume: bool) -> None:
    """Make sure that a run may be begun, or gone on with, in a folder.

    Raises:
        UsageError: It holds a run that is not to be resumed, or files cannot
            be written in it.
    """
    for part in (folder, folder / RETRAIN):
        if not resume and any((part / name).exists() for name in _KEPT):
            raise UsageError(
                f"{part} holds a run already.",
                "Use --resume to go on with it, or choose another folder with --run.",
            )
    check_folder(folder, "--run")
