"""What a person sees in a terminal: 80 columns, and completion of commands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from profiler.cli.app import app
from profiler.cli.options import complete_space as suggested_spaces
from search.console.completion import MODULES, completion_script
from search.console.suggestions import tables as suggested_tables
from search.errors import UsageError
from search.table.store import Table
from tests.profiler.conftest import ROOT, Bench


def _suggestions(words: str, number: int, module: str = "profiler") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={
            **os.environ,
            "COMP_WORDS": words.replace(" ", "\n"),
            "COMP_CWORD": str(number),
            f"_{module.upper()}_COMPLETE": "complete_bash",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.split()


def test_no_line_of_show_is_wider_than_80_columns(bench: Bench, measured: Table) -> None:
    for words in (("--all",), ("--match", "k5_e6")):
        shown = bench.call("show", str(measured.path), *words)
        assert max(map(len, shown.out.rstrip().splitlines())) <= 80
        assert "SIMULATED, NOT MEASURED" in shown.out


def test_no_line_of_diff_is_wider_than_80_columns(
    bench: Bench, measured: Table, slower: Table
) -> None:
    shown = bench.call("diff", str(measured.path), str(slower.path))
    rows = [line for line in shown.out.splitlines() if "slower" in line]
    assert rows
    assert max(map(len, rows)) <= 80


def test_short_words_and_keys_both_find_an_operator(bench: Bench, measured: Table) -> None:
    for pattern in ("k5_e6 24>24", "ir_k5_e6_m144_g1_relu_i24_o24"):
        shown = bench.call("show", str(measured.path), "--match", pattern, "--format", "csv")
        assert len(shown.out.splitlines()) == 2


@pytest.mark.parametrize("form", ["json", "csv"])
def test_the_report_tells_its_page_in_every_format(
    bench: Bench, measured: Table, form: str
) -> None:
    page = bench.folder / "page.html"
    done = bench.call("report", str(measured.path), "-o", str(page), "--format", form)
    assert done.code == 0
    size = page.stat().st_size
    if form == "json":
        assert json.loads(done.out) == [{"page": str(page), "bytes": size, "tables": 1}]
    else:
        assert done.out.splitlines() == ["page,bytes,tables", f"{page},{size},1"]


def test_names_of_devices_spaces_networks_and_tables_are_suggested(
    measured: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _suggestions("profiler --device pix", 2) == ["pixel"]
    assert "fbnetv2-f" in _suggestions("profiler --space fbnetv2", 2)
    assert "FBNet-iPhoneX" in _suggestions("profiler compare FBNet-i", 2)
    monkeypatch.chdir(measured.path.parents[2])
    assert {"latest", "fbnet-mini"} <= set(suggested_tables(""))
    (path,) = {
        path for path in suggested_tables(f"{measured.path.parents[1].name}/") if "-v1" in path
    }
    assert Path(path).name == measured.path.name


def test_files_of_spaces_are_suggested_beside_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "edge.toml").touch()
    (tmp_path / "edge.txt").touch()
    (tmp_path / "fb.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert {"fb.toml", "fbnet-mini"} <= set(suggested_spaces("fb"))
    assert suggested_spaces("edge") == []
    assert suggested_spaces("mine/") == ["mine/edge.toml"]
    assert suggested_spaces("./f") == ["./fb.toml"]
    assert suggested_spaces(f"{tmp_path}/mine/e") == [f"{tmp_path}/mine/edge.toml"]


def test_the_kits_own_command_completes_its_programs_and_their_words() -> None:
    assert _suggestions("fbnet-kit sea", 1, "fbnet_kit") == ["search"]
    assert _suggestions("fbnet-kit search --algorithm pars", 3, "fbnet_kit") == ["parsec"]
    assert _suggestions("fbnet-kit profile --device pix", 3, "fbnet_kit") == ["pixel"]
    assert _suggestions("fbnet-kit vali", 1, "fbnet_kit") == ["validate"]


def test_every_command_is_suggested() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert names <= set(_suggestions("profiler ", 1))


def test_only_what_fits_the_typed_letters_is_suggested() -> None:
    assert set(_suggestions("profiler re", 1)) == {"refine", "report"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_completes_every_command_line_of_the_kit(shell: str) -> None:
    script = completion_script(shell)
    assert "_FBNET_KIT_COMPLETE" in script
    for module in MODULES:
        assert f"python -m {module}" in script
        assert f"_{module.upper()}_COMPLETE=complete_{shell}" in script


def test_an_unknown_shell_is_refused() -> None:
    with pytest.raises(UsageError, match="Known: bash, zsh, fish"):
        completion_script("csh")


def test_bash_takes_the_script_and_completes_with_it(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    script = tmp_path / "complete.sh"
    python = f'python() {{ "{sys.executable}" "$@"; }}\n'
    ask = (
        "COMP_WORDS=(profiler val); COMP_CWORD=1; _profiler_complete;"
        ' printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    script.write_text(python + completion_script("bash") + ask)
    done = subprocess.run(
        [bash, "--norc", str(script)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["validate"], done.stderr
