"""The command line as a user meets it."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from profiler.cli.app import app
from profiler.planning.plan import make_plan
from search.table.store import Table, read_table

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = (
    "checkup",
    "compare",
    "completion",
    "devices",
    "diff",
    "export",
    "import",
    "networks",
    "refine",
    "report",
    "show",
    "tables",
    "validate",
)
HEAVY = ("torch", "executorch", "onnx", "onnxruntime", "torchao", "sklearn")
SLOW = (*HEAVY, "scipy", "plotly", "jinja2", "PIL", "yaml", "adbutils", "adb_shell")


def python(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def rows(text: str) -> list[dict[str, str]]:
    """CSV with a header of column names and no ragged rows."""
    reader = csv.DictReader(io.StringIO(text), restkey="surplus")
    found = list(reader)
    assert reader.fieldnames
    assert all(name.isidentifier() for name in reader.fieldnames), reader.fieldnames
    assert all(None not in row.values() and "surplus" not in row for row in found)
    return found


# --- help --------------------------------------------------------------------


def test_help_comes_at_once_for_it_imports_nothing_slow() -> None:
    program = (
        "import runpy, sys\nsys.argv = ['profiler', '--help']\n"
        "try:\n    runpy.run_module('profiler', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        f"print(set({SLOW!r}) & set(sys.modules))\n"
    )
    done = python("-c", program)
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_no_command_but_measuring_imports_torch_or_a_runtime(
    measured: Table, own_cache: Path
) -> None:
    table = str(measured.path)
    commands = [
        ["--help"],
        ["devices"],
        ["show", table],
        ["validate", table],
        ["diff", table, table],
        ["--device", "host", "--dry-run"],
        ["--device", "host", "--dtype", "int8", "--dry-run"],
        ["--device", "host", "--backend", "onnxruntime", "--dry-run"],
    ]
    program = (
        "import json, sys\n"
        "from profiler.cli.app import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['profiler', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0, words\n"
        f"    heavy = set({HEAVY!r}) & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)\n"
    )
    done = python("-c", program, json.dumps(commands))
    assert done.returncode == 0, done.stderr


def test_every_command_and_every_option_has_help() -> None:
    group = typer.main.get_command(app)
    commands = {"": group, **group.commands}  # type: ignore[attr-defined]
    assert set(commands) >= {"", *COMMANDS}
    for name, command in commands.items():
        assert command.help, name
        for option in command.params:
            if option.name not in ("install_completion", "show_completion", "help"):
                assert option.help, (name, option.name)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_prints_its_help(bench, command: str) -> None:
    ended = bench.call(command, "--help")
    assert ended.code == 0
    assert "Usage" in ended.out
    assert ended.err == ""


# --- what a campaign would do ------------------------------------------------


def test_a_dry_run_counts_the_fbnet_space_as_the_paper_does(bench) -> None:
    ended = bench.call("--device", "host", "--dry-run", "--format", "json")
    content = json.loads(ended.out)
    assert content["candidates"] == 192
    assert content["unique_operators"] == 99
    assert content["layers"] == 22
    assert content["networks"] == 9**16 * 8**6
    assert (content["measured"], content["missing"]) == (0, 99)
    assert content["built"] == 0
    assert content["estimated_seconds"] > 10
    assert ended.err == ""


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_dry_run_says_the_same_in_every_format(bench, form: str) -> None:
    ended = bench.call("--device", "host", "--dry-run", "--format", form)
    assert ended.code == 0
    if form == "csv":
        (row,) = rows(ended.out)
        assert (row["candidates"], row["unique_operators"]) == ("192", "99")
    else:
        lines = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
        assert lines["candidates"] == "192"
        assert lines["missing"] == "99"


def test_a_dry_run_writes_nothing(bench) -> None:
    assert bench.call(*bench.words("--dry-run")).code == 0
    assert not bench.output.exists()


def test_a_dry_run_resumes_nothing_that_was_not_begun(bench) -> None:
    ended = bench.call(*bench.words("--dry-run", "--resume"))
    assert ended.code == 2
    assert "no unfinished campaign" in ended.err
    assert ended.out == ""


def test_the_bare_program_prints_its_help_and_measures_nothing(bench, monkeypatch) -> None:
    monkeypatch.chdir(bench.folder)
    ended = bench.call()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Usage: python -m profiler")
    assert ended.out == bench.call("-h").out
    assert not list(bench.folder.rglob("manifest.json"))


def test_every_program_tells_its_version(bench) -> None:
    ended = bench.call("--version")
    assert ended.code == 0
    assert ended.out.startswith("fbnet-kit ")


def test_tables_are_listed_and_shown_by_words(bench, measured: Table, monkeypatch) -> None:
    root = str(measured.path.parents[1])
    listed = rows(bench.call("tables", "--tables", root, "--format", "csv").out)
    (row,) = [row for row in listed if row["path"] == str(measured.path)]
    assert (row["space"], row["dtype"], row["threads"]) == ("fbnet-mini", "fp32", "1")
    shown = bench.call("tables", "fbnet-mini", "--tables", root)
    assert max(map(len, shown.out.splitlines())) <= 80
    monkeypatch.chdir(measured.path.parents[2])
    assert bench.call("show", measured.path.name, "--format", "csv").code == 0
    nothing = bench.call("show", "nowhere")
    assert (nothing.code, nothing.out) == (2, "")
    assert "python -m profiler tables" in nothing.err


def test_a_dry_run_under_a_filter_counts_what_was_asked_for(bench) -> None:
    words = bench.words("--filter", "^ir_k5", "--dry-run", "--format", "json")
    content = json.loads(bench.call(*words).out)
    plan = make_plan(bench.settings(filter="^ir_k5"))
    assert content["selected_operators"] == content["missing"] == len(plan.operators)
    assert content["unique_operators"] > content["selected_operators"]
    assert content["whole_networks"] == 0


# --- measuring ---------------------------------------------------------------


def test_standard_output_holds_only_data_and_standard_error_only_progress(bench) -> None:
    ended = bench.run(*bench.words("--format", "json"))
    assert ended.code == 0, ended.err
    content = json.loads(ended.out)
    assert content["manifest"]["source"] == "simulated"
    assert len(content["entries"]) == content["manifest"]["space"]["operators_expected"]
    lines = ended.err.splitlines()
    assert any(line.startswith("build:") for line in lines)
    assert any(line.startswith("pass 6 of 6:") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_csv_of_a_campaign_is_the_csv_of_its_table(bench) -> None:
    ended = bench.call(*bench.words("--format", "csv", "--filter", "_k5_"))
    assert ended.code == 0
    shown = bench.call("show", str(bench.written()[0]), "--format", "csv")
    assert ended.out == shown.out
    assert [row["key"] for row in rows(ended.out)]


def test_quiet_says_nothing_on_standard_error(bench) -> None:
    ended = bench.call(*bench.words("--quiet"))
    assert ended.code == 0
    assert ended.err == ""
    assert "SIMULATED, NOT MEASURED" in ended.out
    assert str(bench.written()[0]) in ended.out


def test_options_reach_the_table(bench) -> None:
    ended = bench.call(
        *bench.words("--iterations", "9", "--warmup", "5", "--min-time", "200", "--seed", "7"),
        *("--precision", "40", "--networks", "4", "--threads", "2", "--affinity", "1,3"),
        *("--max-temp", "60", "--context", "room=cold", "--context", "who=me=you"),
        *("--resolution", "64", "--width", "0.5", "--classes", "7", "--head", "64"),
    )
    assert ended.code in (0, 1), ended.err
    manifest = read_table(bench.written()[0]).manifest
    protocol = manifest.protocol
    assert protocol.passes * protocol.rounds_per_pass >= 9
    assert (protocol.warmup, protocol.min_block_us, protocol.seed) == (5, 200, 7)
    assert protocol.target_relative_ci == 0.4
    assert protocol.threads == 2
    assert protocol.affinity_asked == (1, 3)
    assert protocol.temperature_limit_c == 60
    assert manifest.context == {"room": "cold", "who": "me=you"}
    assert manifest.space.spec == "fbnet-mini-r64-x0.5-c7-h64-p1-b1-fp32"
    assert manifest.exam.networks == 4


def test_a_space_can_be_named_by_its_full_spec(bench) -> None:
    spec = "fbnet-mini-r16-x1-c10-h256-p1-b1-int8"
    ended = bench.call("--device", "simulated", "--space", spec, "--dry-run", "--format", "json")
    assert json.loads(ended.out)["space"] == spec


def test_a_campaign_below_its_gates_writes_the_table_and_ends_with_exit_code_1(bench) -> None:
    ended = bench.call(*bench.words("--networks", "0"))
    assert ended.code == 1
    assert "no exam" in ended.out
    assert len(bench.written()) == 1
