"""Compilers, pip and other programs of this machine: run them, or say what they said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.errors import DeviceError


@dataclass(frozen=True)
class Task:
    """What a program is run for.

    Attributes:
        failure: Begins the sentence of an error: "The runner did not compile".
        remedy: What the user may do then.
        timeout_s: Seconds that it may take.
        shown_lines: How many of its last lines an error repeats.
    """

    failure: str
    remedy: str
    timeout_s: float
    shown_lines: int = 12


def run_tool(
    command: Sequence[str], task: Task, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end and return what it said; `environment` is added to this one.

    Raises:
        DeviceError: It does not start, or takes too long. Its exit code is the caller's matter.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=task.timeout_s,
            env={**os.environ, **(environment or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{task.failure}: {error}.", task.remedy) from error


def check_tool(
    command: Sequence[str], task: Task, environment: Mapping[str, str] | None = None
) -> str:
    """Standard output of a program that has to succeed.

    Raises:
        DeviceError: As `run_tool`, or its exit code is not 0; with its last lines.
    """
    done = run_tool(command, task, environment)
    require_success(done, task)
    return done.stdout


def require_success(done: "subprocess.CompletedProcess[str]", task: Task) -> None:
    """Refuse what has failed.

    Raises:
        DeviceError: The exit code is not 0; with the last lines of what it said.
    """
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        lines = "\n".join(said[-task.shown_lines :])
        raise DeviceError(f"{task.failure} (exit code {done.returncode}):\n{lines}\n", task.remedy)
