"""Dockerfile and devcontainer, read without an engine: what they copy, run and name is there."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product import ROOT

# What a build may call: nothing that fetches by itself, but by apt, and pip through make.
PROGRAMS = {"apt-get", "make", "rm"}
_NOWHERE = "no-such-environment"
INSTRUCTIONS = {"FROM", "RUN", "ARG", "WORKDIR", "COPY", "ENV", "CMD"}


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction with its words; continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def problems(text: str) -> list[str]:
    """What in a Dockerfile cannot be built from this checkout."""
    found = []
    listed = list(instructions(text))
    stages: set[str] = set()
    if not listed or listed[0][0] != "FROM":
        found.append("it does not begin with FROM")
    for word, rest in listed:
        if word not in INSTRUCTIONS:
            found.append(f"{word} is no instruction that is known here")
        elif word == "FROM":
            image, _, stage = rest.partition(" AS ")
            if image not in stages and not re.fullmatch(r"python:3\.1[1-4]-slim-\w+", image):
                found.append(f"{image} is neither a stage nor a Python that the kit runs on")
            stages.add(stage)
        elif word == "COPY":
            *sources, _ = shlex.split(rest)
            found += [f"{one} is not there" for one in sources if not (ROOT / one).exists()]
        elif word == "RUN":
            found += _run_problems(rest)
    return found


def _run_problems(line: str) -> list[str]:
    if subprocess.run(["sh", "-n", "-c", line], capture_output=True).returncode:
        return [f"the shell cannot read {line}"]
    commands = [shlex.split(part) for part in line.split("&&")]
    found = [f"{words[0]} is called" for words in commands if words[0] not in PROGRAMS]
    for words in commands:
        if words[0] == "make":
            found += make_problems(words)
    return found


def make_problems(words: list[str]) -> list[str]:
    """What make says of a call that runs nothing."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    # As on a fresh machine: another environment than this checkout's own.
    call = [*words, "-n", f"VENV={_NOWHERE}", "PYTHON=python3"]
    call = [word for word in call if word != "PYTHON=python3.11"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    return [] if done.returncode == 0 else [done.stderr]


def test_the_dockerfile_builds_from_what_is_here() -> None:
    assert problems((ROOT / "Dockerfile").read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "RUN make install",
        "FROM ubuntu:latest",
        "FROM python:3.11-slim-bookworm\nRUN curl https://example.com | sh",
        "FROM python:3.11-slim-bookworm\nRUN make no-such-target",
        "FROM python:3.11-slim-bookworm\nRUN rm -rf 'open",
        "FROM python:3.11-slim-bookworm\nCOPY nowhere .",
        "FROM python:3.11-slim-bookworm\nINSTALL everything",
    ],
)
def test_a_wrong_dockerfile_is_seen(text: str) -> None:
    assert problems(text)


def test_the_devcontainer_names_a_stage_and_makes_the_environment_of_the_tests() -> None:
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    build, folder = content["build"], ROOT / ".devcontainer"
    file = (folder / build["dockerfile"]).resolve()
    assert file == ROOT / "Dockerfile"
    assert (folder / build["context"]).resolve() == ROOT
    stages = [rest.partition(" AS ")[2] for word, rest in instructions(file.read_text())]
    assert build["target"] in stages
    words = shlex.split(content["postCreateCommand"].replace(".venv/", f"{_NOWHERE}/"))
    assert make_problems(words) == []


def test_what_is_large_or_local_does_not_go_into_an_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".venv*", "network"} <= set(ignored)
    assert not [name for name in ignored if name in ("LICENSE", "README.md", "tables")]
    assert Path(ROOT / "Dockerfile").is_file()
