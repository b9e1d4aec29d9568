"""Check that a run may begin in a folder."""

from pathlib import Path

from search.errors import UsageError
from search.files import check_folder

# Sub-folder in which the chosen network is trained.
RETRAIN = "retrain"
# Scores of the networks that a baseline has tried.
TRIALS = "trials.jsonl"
# Files that show that a folder holds a run: of the engine, of the baselines.
_RUN_FILES = ("last.pt", TRIALS)


def check_run(folder: Path, resume: bool) -> None:
    """Make sure that a run may begin, or resume, in a folder.

    Raises:
        UsageError: It holds a run that is not to be resumed, or none that could
            be, or files cannot be written in it.
    """
    if resume and not (folder.is_dir() and any(folder.iterdir())):
        raise UsageError(
            f"There is no run to resume in {folder}.",
            "Leave --resume out, or name the run's folder with --run.",
        )
    for part in (folder, folder / RETRAIN):
        if not resume and any((part / name).exists() for name in _RUN_FILES):
            raise UsageError(
                f"{part} holds a run already.",
                "Use --resume to go on with it, or choose another folder with --run.",
            )
    check_folder(folder, "--run")
