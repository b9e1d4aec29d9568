"""Every command that stands in a block of a README, run as it is printed.

python -m tests.journeys.readmes [--readme NAME] [--match TEXT] [--list] [--keep]

What this machine has not is stood in for, by the rules of `readme_rules.py`; what cannot be run
is listed with its reason.
"""

import argparse
import contextlib
import re
import shlex
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.journeys.readme_desk import Desk
from tests.journeys.readme_rules import (
    MAY_ANSWER_NO,
    PHONE,
    SERVES,
    adapted,
    reason_not_to_run,
)
from tests.journeys.terminal import Step, in_terminal, told
from tests.readmes import Command, Readme, all_readmes


class Reader:
    """Types the commands of a README, one after the other."""

    def __init__(self, desk: Desk, budget_s: float) -> None:
        self._desk, self._budget_s = desk, budget_s
        self.steps: list[Step] = []
        self.problems: list[str] = []
        self.left_out: list[str] = []

    def read(self, readme: Readme, match: str) -> None:
        """Run all commands of a README in which the expression `match` is found."""
        self._desk.begin()
        for script in readme.scripts():
            with contextlib.ExitStack() as beside:
                for command in script:
                    if re.search(match, command.line):
                        self._type(readme.name, command, beside)

    def _type(self, readme: str, command: Command, beside: contextlib.ExitStack) -> None:
        said = f"{readme}: {command.line}"
        reason = reason_not_to_run(command.line)
        if not reason and PHONE.search(command.line):
            reason = self._desk.plug_in()
        line, rules = adapted(readme, command.line)
        try:
            words = [word.format(**self._desk.values()) for word in shlex.split(line, True)]
        except KeyError as missing:
            reason = reason or f"there is no {missing.args[0]} here"
        if reason:
            self.left_out.append(f"{said}\n           {reason}")
            return
        changes = "".join(f"\n  ({rule.why}: {rule.words or '-'})" for rule in rules)
        print(f"\n\033[1m$ {shlex.join(words)}\033[0m{changes}", flush=True)
        serves = next((rule for rule in SERVES if rule.fits(line)), None)
        if serves is not None:
            self._serve(said, words, serves.words, beside)
            return
        self._desk.clear(words)
        codes = (0, 1) if MAY_ANSWER_NO.search(line) else (0,)
        step = in_terminal(
            words, self._desk.checkout, self._desk.environment, codes, self._budget_s
        )
        self.steps.append(replace(step, line=said))
        # Said at once: a run that is broken off has told what it found.
        print(f"{step.seconds:7.1f} s", *step.problems(), sep="\nSTUMBLE: ", flush=True)

    def _serve(self, said: str, words: list[str], ready: str, beside: contextlib.ExitStack) -> None:
        try:
            shown = beside.enter_context(self._desk.serving(words, ready))
        except RuntimeError as error:
            self.problems.append(f"{said}: {error}")
            return
        print(shown)
        for word in shown.split():
            if word.startswith("http://127.0.0.1"):
                with urllib.request.urlopen(word.rstrip(".,"), timeout=60) as page:  # noqa: S310
                    if b"<html" not in page.read().lower():
                        self.problems.append(f"{said}: it serves no page")


def _listed(readmes: Sequence[Readme], match: str) -> Iterator[str]:
    for readme in readmes:
        for script in readme.scripts():
            for command in script:
                if re.search(match, command.line):
                    reason = reason_not_to_run(command.line)
                    shown = (
                        f"not run: {reason}" if reason else adapted(readme.name, command.line)[0]
                    )
                    yield f"{readme.name}: {command.line}\n           {shown}"


def main() -> int:
    """Run the commands; 1 if a reader would have stumbled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", default="", help="only those whose names hold this")
    parser.add_argument("--match", default="", help="only commands with this expression")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds that one may take")
    parser.add_argument("--cache", type=Path, help="the kit's cache; a new one without")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    asked = parser.parse_args()
    readmes = [readme for readme in all_readmes() if asked.readme in readme.name]
    if asked.list:
        print("\n".join(_listed(readmes, asked.match)))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="journey-"))
    try:
        desk = Desk(folder, asked.cache)
        with contextlib.closing(desk):
            reader = Reader(desk, asked.budget)
            for readme in readmes:
                reader.read(readme, asked.match)
        for text in reader.left_out:
            print(f"NOT RUN: {text}")
        problems = [problem for step in reader.steps for problem in step.problems()]
        return told(reader.steps, [*reader.problems, *problems])
    finally:
        if asked.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
