"""How an interrupted campaign goes on: the user's own command, with --resume."""

import shlex
from collections.abc import Sequence


def resume_remedy(argv: Sequence[str]) -> str:
    """One sentence that can be pasted into a shell."""
    words = [word for word in argv[1:] if word not in ("--resume", "--restart")]
    command = shlex.join(["python", "-m", "profiler", *words, "--resume"])
    return f"Everything measured is kept; go on with: {command}"
