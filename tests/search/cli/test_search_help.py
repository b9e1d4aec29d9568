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


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_at_least_two_examples(desk: Desk, verb: str) -> None:
    ended = desk.call(*([verb] if verb else []), "--help")
    called = " ".join(["python -m search", verb]).strip()
    shown = [line for line in ended.out.splitlines() if line.strip().startswith(called)]
    assert len([line for line in shown if "[OPTIONS]" not in line]) >= 2


def test_options_stand_in_panels_by_purpose(desk: Desk) -> None:
    shown = desk.call("--help").out
    titles = ("Problem", "Data", "Effort", "Compute", "Output", "Waivers", "Commands")
    places = [shown.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", ["", "train"])
def test_compute_and_its_old_name_are_one_option(verb: str) -> None:
    options = {name: p for p in VERBS[verb].params for name in p.opts}
    assert options["--compute"] is options["--device"]


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
