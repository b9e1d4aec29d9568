"""`python -m profiler compare` as a user meets it."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.comparison.output import show_comparison
from search.architecture import write_architecture
from search.spaces.registry import make_space
from search.table.store import Table
from tests.profiler.conftest import Bench, Finished
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
MINI = make_space("fbnet-mini")


@pytest.fixture
def nets(tmp_path: Path) -> list[str]:
    paths = []
    for name, word in (("small", "k3_e1"), ("large", "k5_e6")):
        path = tmp_path / f"{name}.json"
        write_architecture(MINI.architecture([word] * len(MINI.layers), name), path)
        paths.append(str(path))
    return paths


def compare(bench: Bench, *words: str) -> Finished:
    return bench.call("compare", *words, "--quiet")


def test_by_table_and_on_the_device_in_80_columns(
    bench: Bench, measured: Table, nets: list[str]
) -> None:
    done = compare(bench, *nets, "--table", str(measured.path), "--device", "simulated", "--fast")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "A  simulated: simulated fp32 simulated t1"
    assert any(line.startswith("small") and line.count("* ") == 2 for line in lines)
    assert "on A (simulated) the fastest is small" in lines
    assert any(line.startswith("large: A is ") and " off B, " in line for line in lines)
    assert any("where large and small differ" in line for line in lines)


def test_as_json_with_every_operator(bench: Bench, measured: Table, nets: list[str]) -> None:
    done = compare(bench, *nets, "--table", str(measured.path), "--format", "json", "--top", "0")
    found = json.loads(done.out)
    assert [network["name"] for network in found["networks"]] == ["small", "large"]
    assert found["verdicts"][0]["winner"] == "small"
    assert len(found["layers"]) == len(MINI.layers)
    assert found["cells"][0]["low_us"] < found["cells"][0]["latency_us"]


def test_as_csv_one_row_a_cell(bench: Bench, measured: Table, nets: list[str]) -> None:
    done = compare(bench, *nets, "--table", str(measured.path), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["network"], row["kind"], row["winner"]) for row in rows] == [
        ("small", "simulated", "True"),
        ("large", "simulated", "False"),
    ]
    assert float(rows[1]["ratio_to_winner"]) > 1


def test_without_table_and_device_the_newest_tables_are_taken(
    bench: Bench, nets: list[str]
) -> None:
    bench.measure()
    done = compare(bench, *nets, "--tables", str(bench.output), "--format", "csv")
    assert done.code == 0
    assert len(done.out.splitlines()) == 3


def test_more_settings_than_fit_abreast_are_shown_below(
    bench: Bench, measured: Table, nets: list[str]
) -> None:
    tables = ["--table", str(measured.path)] * 6
    done = compare(bench, *nets, *tables)
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.count("simulated") for line in lines if line.startswith("millis")] == [4, 2]


def test_an_unstable_measurement_ends_with_exit_code_1(bench: Bench, nets: list[str]) -> None:
    shaky = bench.device(wide="k5_e6")
    done = compare(bench, *nets, "--device", shaky, "--fast")
    assert done.code == 1
    assert "unstable after" in done.out
    assert "!" in next(line for line in done.out.splitlines() if line.startswith("large"))


def test_a_device_that_dies_ends_with_exit_code_3(bench: Bench, nets: list[str]) -> None:
    done = compare(bench, *nets, "--device", bench.device(crash_on="conv_k3"), "--fast")
    assert done.code == 3
    assert "died" in done.err


WRONG: dict[str, tuple[list[str], str]] = {
    "an unknown network": (["FBNet-Z"], "Unknown network"),
    "an unknown device": (["FBNet-B", "--device", "toaster"], "Unknown device"),
    "an unknown dtype": (["FBNet-B", "--device", "simulated", "--dtype", "w8"], "no exporter"),
    "a dtype without a device": (["FBNet-B", "--dtype", "int8"], "--dtype is for devices"),
    "a folder that is no table": (["FBNet-B", "--table", "/nowhere"], "not a table"),
    "an unknown format": (["FBNet-B", "--format", "xml"], "Unknown --format"),
    "no network": ([], "Missing argument"),
    "fast and rigorous": (["FBNet-B", "--fast", "--rigorous"], "exclude each other"),
    "no thread": (["FBNet-B", "--device", "simulated", "--threads", "0"], "--threads"),
}


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_a_sentence_and_exit_code_2(
    bench: Bench, measured: Table, words: list[str], sentence: str
) -> None:
    if "--dtype is for devices" in sentence:
        words = [*words, "--table", str(measured.path)]
    done = compare(bench, *words)
    assert done.code == 2
    assert sentence in done.err
    assert done.out == ""


def test_simulated_beside_measured_is_refused_before_anything_is_measured(
    bench: Bench, measured: Table, nets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from device_agents.simulated.agent import SimulatedAgent

    def never(*_: Any) -> Any:
        raise AssertionError("measured")

    monkeypatch.setattr(SimulatedAgent, "run", never)
    words = ["--device", "simulated", "--device", "host", "--fast"]
    done = compare(bench, *nets, *words)
    assert done.code == 2
    assert "--allow-simulated" in done.err


def test_two_comparisons_at_once_would_measure_each_other(bench: Bench, nets: list[str]) -> None:
    from device_agents.lock import device_lock

    with device_lock("simulated", "simulated"):
        done = compare(bench, *nets, "--device", "simulated")
    assert done.code == 2
    assert "at this moment" in done.err


def test_tables_alone_import_neither_torch_nor_a_runtime(measured: Table, nets: list[str]) -> None:
    program = (
        "import sys\n"
        "from profiler.cli.app import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "print([n for n in ('torch', 'executorch', 'onnxruntime') if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "compare", *nets, "--table", str(measured.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_comparison_without_a_verdict_can_be_shown(
    measured: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    from profiler.comparison.compare import compare as compute
    from search.zoo.resolve import NamedNetwork

    alone = NamedNetwork(name="alone", architecture=MINI.architecture(["k3_e3"] * len(MINI.layers)))
    for form in ("table", "json", "csv"):
        show_comparison(compute([alone], [measured]), form, 5)
    assert "fastest" not in capsys.readouterr().out
