"""The commands explain themselves, quickly."""

import subprocess
import sys
from typing import Any

import pytest
import typer

from search.cli.app import app
from tests.search.cli.runner import ROOT, Desk
from tests.waiting import PATIENCE_S

COMMAND: Any = typer.main.get_command(app)
VERBS: dict[str, Any] = {"": COMMAND, **COMMAND.commands}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_has_help(verb: str) -> None:
    command = VERBS[verb]
    assert command.help
    silent = [
        parameter.name for parameter in command.params if not getattr(parameter, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_option_on_standard_output(desk: Desk, verb: str) -> None:
    ended = desk.call(*([verb] if verb else []), "--help")
    assert (ended.code, ended.err) == (0, "")
    for parameter in VERBS[verb].params:
        if parameter.param_type_name == "option" and "completion" not in parameter.name:
            assert parameter.opts[0][:12] in ended.out


def test_help_and_wrong_words_need_neither_torch_nor_pandas() -> None:
    code = (
        "import sys\nfrom search.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    heavy = {'torch', 'pandas', 'numpy', 'sklearn', 'plotly'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {heavy}' if heavy else end.code)"
    )
    for words, expected in ((["--help"], 0), (["train", "--help"], 0), (["--format", "x"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == expected, done.stderr


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0
    for verb in ("train", "front", "plot"):
        assert verb in done.stdout
