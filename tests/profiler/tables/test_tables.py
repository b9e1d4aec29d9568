"""Tables on the command line: show, validate, diff, devices, in three formats."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from profiler.planning.plan import make_plan
from profiler.tables.diff import Change
from search.operators.words import short_name
from search.table.columns import COLUMNS
from search.table.store import Table

ROOT = Path(__file__).resolve().parents[3]


def rows(text: str) -> list[dict[str, str]]:
    """CSV with a header of column names and no ragged rows."""
    reader = csv.DictReader(io.StringIO(text), restkey="surplus")
    found = list(reader)
    assert reader.fieldnames
    assert all(name.isidentifier() for name in reader.fieldnames), reader.fieldnames
    assert all(None not in row.values() and "surplus" not in row for row in found)
    return found


# --- tables ------------------------------------------------------------------


def test_show_prints_what_a_table_is_and_its_slowest_rows(bench, measured: Table) -> None:
    ended = bench.call("show", str(measured.path))
    assert ended.code == 0
    assert ended.err == ""
    assert "SIMULATED, NOT MEASURED" in ended.out
    slowest = max(measured.entries, key=lambda entry: entry.known_time.centre_us)
    fastest = min(measured.entries, key=lambda entry: entry.known_time.centre_us)
    assert short_name(slowest.key) in ended.out
    assert short_name(fastest.key) not in ended.out
    assert short_name(fastest.key) in bench.call("show", str(measured.path), "--all").out
    assert slowest.key in bench.call("show", str(measured.path), "--keys").out


def test_show_as_json_holds_manifest_and_rows(bench, measured: Table) -> None:
    content = json.loads(bench.call("show", str(measured.path), "--format", "json").out)
    assert content["manifest"]["table_id"] == measured.manifest.table_id
    assert content["manifest"]["source"] == "simulated"
    assert [row["key"] for row in content["entries"]] == [e.key for e in measured.entries]


def test_show_as_csv_has_the_columns_of_a_row(bench, measured: Table) -> None:
    ended = bench.call("show", str(measured.path), "--format", "csv")
    found = rows(ended.out)
    assert list(found[0]) == [column.name for column in COLUMNS]
    assert len(found) == len(measured.entries)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_show_with_a_match_prints_only_rows_whose_key_holds_it(
    bench, measured: Table, form: str
) -> None:
    ended = bench.call("show", str(measured.path), "--match", "_k5_", "--format", form)
    found = json.loads(ended.out)["entries"] if form == "json" else rows(ended.out)
    assert [row["key"] for row in found] == [e.key for e in measured.entries if "_k5_" in e.key]


def test_a_reader_that_closes_early_is_no_error_and_no_failed_gate(measured: Table) -> None:
    words = [sys.executable, "-m", "profiler", "show", str(measured.path), "--format", "json"]
    with subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_full_disk_behind_standard_output_is_a_sentence(measured: Table) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "profiler", "show", str(measured.path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_validate_passes_a_good_table_in_every_format(bench, measured: Table, form: str) -> None:
    ended = bench.call("validate", str(measured.path), "--format", form)
    assert ended.code == 0
    assert ended.err == ""
    if form == "json":
        content = json.loads(ended.out)
        assert content["valid"] is True
        assert content["problems"] == []
    elif form == "csv":
        rows(ended.out)
    else:
        assert "whole, complete and examined" in ended.out


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_validate_ends_with_exit_code_1_on_a_table_with_a_problem(bench, form: str) -> None:
    victim = make_plan(bench.settings()).operators[3].key
    bench.call(*bench.words(device=bench.device(refuse=victim)))
    ended = bench.call("validate", str(bench.written()[0]), "--format", form)
    assert ended.code == 1
    assert victim in ended.out
    if form == "json":
        content = json.loads(ended.out)
        assert content["valid"] is False
        assert any(victim in problem for problem in content["problems"])
    elif form == "csv":
        assert rows(ended.out)


def test_an_edited_table_is_refused_by_every_reader(bench, measured: Table) -> None:
    copy = bench.folder / "copy"
    shutil.copytree(measured.path, copy)
    path = copy / "entries.csv"
    path.write_text(path.read_text().replace(",ok,", ",ok ,", 1))
    for words in (["show", copy], ["validate", copy], ["diff", copy, measured.path]):
        ended = bench.call(*map(str, words))
        assert ended.code == 2
        assert "edited or truncated" in ended.err
        assert ended.out == ""


@pytest.mark.parametrize("command", ["show", "validate"])
def test_a_folder_that_is_no_table_is_refused_with_the_way_to_one(bench, command: str) -> None:
    ended = bench.call(command, str(bench.folder))
    assert ended.code == 2
    assert "is not a table" in ended.err
    assert "tables/" in ended.err


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_diff_of_equal_tables_finds_nothing_in_every_format(
    bench, measured: Table, form: str
) -> None:
    ended = bench.call("diff", str(measured.path), str(measured.path), "--format", form)
    assert ended.code == 0
    assert ended.err == ""
    if form == "json":
        content = json.loads(ended.out)
        assert content["identity"] == []
        assert {change["verdict"] for change in content["changes"]} == {"same"}
    elif form == "csv":
        found = rows(ended.out)
        assert list(found[0]) == [field.name for field in fields(Change)]
        assert len(found) == len(measured.entries)
    else:
        assert f"{len(measured.entries)} operators: 0 slower, 0 faster" in ended.out


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_diff_ends_with_exit_code_1_on_a_regression_in_every_format(
    bench, measured: Table, slower: Table, form: str
) -> None:
    ended = bench.call("diff", str(measured.path), str(slower.path), "--format", form)
    assert ended.code == 1
    assert "slower" in ended.out
    back = bench.call("diff", str(slower.path), str(measured.path), "--format", form)
    assert back.code == 0
    assert "faster" in back.out


def test_diff_with_a_higher_threshold_tolerates_the_change(
    bench, measured: Table, slower: Table
) -> None:
    words = ["diff", str(measured.path), str(slower.path), "--threshold", "2"]
    assert bench.call(*words).code == 0


@pytest.mark.parametrize("wrong", [["--threshold", "-1"], ["--fdr", "0"], ["--fdr", "1"]])
def test_diff_refuses_impossible_limits(bench, measured: Table, wrong: list[str]) -> None:
    ended = bench.call("diff", str(measured.path), str(measured.path), *wrong)
    assert ended.code == 2
    assert wrong[0] in ended.err


@pytest.mark.parametrize("command", ["show", "validate", "diff", "devices"])
def test_each_command_refuses_an_unknown_format(bench, measured: Table, command: str) -> None:
    tables = {"devices": 0, "diff": 2}.get(command, 1) * [str(measured.path)]
    ended = bench.call(command, *tables, "--format", "xml")
    assert ended.code == 2
    assert "xml" in ended.err
    assert ended.out == ""


# --- devices -----------------------------------------------------------------


def test_devices_are_listed_as_json_with_what_is_known_of_them(bench) -> None:
    content = json.loads(bench.call("devices", "--format", "json").out)
    known = {device["name"]: device for device in content}
    assert known["host"]["platform"] == "host"
    assert known["simulated"]["backend"] == "simulated"


def test_devices_are_listed_as_csv_with_a_header(bench) -> None:
    found = rows(bench.call("devices", "--format", "csv").out)
    assert {"host", "simulated"} <= {row["name"] for row in found}


def test_devices_are_listed_for_people(bench) -> None:
    lines = bench.call("devices").out.splitlines()
    assert any(line.startswith("simulated ") for line in lines)
