"""No line that a command prints on a terminal of 80 columns has to be broken by the terminal."""

import io
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer", reason="the command lines are built on typer")

import typer

from search.console.plain import plain_output
from tests.journeys.terminal import COLUMNS, Step
from tests.product import PACKAGES, ROOT
from tests.readmes import Command, all_readmes

APPS = {
    "search": "search.cli.app",
    "deploy": "deploy.cli",
    "profiler": "profiler.cli.app",
    "device_agents.cross": "device_agents.cross.cli",
    "device_agents.runtime": "device_agents.runtime.cli",
}
# What goes round the folding: bars, and what other programs read.
AROUND = {
    "search/console/output.py",  # JSON, CSV and the stream of a bar
    "search/console/plain.py",
    "search/cli/copies.py",  # TOML
    "profiler/cli/app.py",  # the completion of a shell
    "profiler/cli/import_export.py",  # tables for other programs
    "profiler/cli/show.py",  # JSON and CSV
}
# Programs that others start, or that print one path.
NO_COMMAND_LINES = {"device_agents/native/__main__.py"}
SAMPLES = sorted({line for readme in all_readmes() for line, _ in readme.samples()})


class Terminal(io.StringIO):
    """Keeps what it is shown."""

    def isatty(self) -> bool:
        return True


def shown(
    monkeypatch: pytest.MonkeyPatch, module: str, words: list[str], codes: tuple[int, ...] = (0,)
) -> Step:
    """All that a command shows on a terminal, on both of its streams."""
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    app = import_module(APPS[module]).app
    with plain_output():
        try:
            code = typer.main.get_command(app)(args=words, prog_name=module, standalone_mode=False)
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
    line = f"{module} {' '.join(words)}"
    return Step(line=line, code=int(code or 0), seconds=0, shown=screen.getvalue(), expected=codes)


def _verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, verb in getattr(command, "commands", {}).items():
        yield from _verbs(verb, (*words, name))


@pytest.mark.parametrize("module", APPS)
def test_every_help_fits_into_a_terminal(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    command = typer.main.get_command(import_module(APPS[module]).app)
    for words in list(_verbs(command)):
        step = shown(monkeypatch, module, [*words, "--help"])
        assert step.shown
        # An example is a command to be pasted; it stands alone in its line.
        wide = [line for line in step.wide() if not line.lstrip().startswith(("python", "eval"))]
        assert wide == [], words


@pytest.mark.parametrize("line", [line for line in SAMPLES if "--dry-run" not in line])
def test_every_output_that_a_readme_shows_fits_into_a_terminal(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path, line: str
) -> None:
    monkeypatch.chdir(ROOT)
    module, *words = Command(line, whole=True).words[2:]
    assert shown(monkeypatch, module, words).problems() == []


def test_whatever_prints_goes_through_the_folding() -> None:
    going_round = re.compile(
        r"print_whole\(|raw_stream\(|sys\.__std|sys\.(stdout|stderr)\.(buffer|write)|os\.write\([12],"
    )
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if going_round.search(path.read_text(encoding="utf-8"))
    }
    assert found - AROUND == set()


def test_every_command_line_runs_where_lines_are_folded() -> None:
    without = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("__main__.py")
        if not re.search(r"\brun_app\(|\bmain\(", path.read_text(encoding="utf-8"))
    }
    assert without == NO_COMMAND_LINES


def test_a_wide_line_would_be_seen() -> None:
    text = "many words " * 9
    assert Step(line="x", code=0, seconds=0, shown=f"{text}\n").problems()
