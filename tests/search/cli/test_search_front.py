"""One search serves many targets and tables: exact selection, without training."""

import csv
import io
import json
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from search.architecture import read_architecture
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import ROOT, SPACE, Desk, is_refusal, write
from tests.waiting import PATIENCE_S

TARGETS = ("3.5", "4", "5", "7")


def scores(searched: Searched) -> str:
    return str(searched.desk.path("arch.run/scores.json"))


def targets(*values: str) -> list[str]:
    return [word for value in values for word in ("--target-ms", value)]


# --- search --algorithm exact ------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_the_exact_selection_meets_every_target_and_says_whose_scores_it_took(
    desk: Desk, searched: Searched, target: str
) -> None:
    exact = ("--algorithm", "exact", "--scores", scores(searched), "--target-ms", target)
    ended = desk.call(*desk.words(*exact))
    assert ended.code == 0, ended.err
    network = read_architecture(desk.path("arch.json"))
    estimate = LatencyModel(read_table(desk.table)).estimate(network)
    assert estimate.value_us <= 1000 * float(target) * (1 + 1e-12)
    result = desk.json("arch.result.json")
    assert result["chosen"]["origin"] == "exact selection by fbnet on phone-0/table"
    assert result["recipe"] == {}
    assert result["data"] == "none"
    assert not desk.path("arch.run").exists()


def test_scores_of_one_device_select_for_another(desk: Desk, searched: Searched) -> None:
    desk.table = write(desk.path("given"), seed=7)
    ended = desk.call(*desk.words("--algorithm", "exact", "--scores", scores(searched)))
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    assert result["device"] == "phone-7"
    assert result["chosen"]["meets_target"]


def test_what_the_exact_selection_found_can_be_trained_at_once(
    desk: Desk, searched: Searched
) -> None:
    exact = ("--algorithm", "exact", "--scores", scores(searched))
    ended = desk.call(*desk.words(*exact, "--retrain", "--retrain-epochs", "1"))
    assert ended.code == 0, ended.err
    assert "top-1" in ended.out
    assert desk.path("arch.pt").exists()
    assert desk.json("arch.result.json")["data"].startswith("digits")


def test_the_exact_selection_needs_a_target(desk: Desk, searched: Searched) -> None:
    words = ["--table", str(desk.table), "--algorithm", "exact", "--scores", scores(searched)]
    ended = desk.call(*words, "-o", str(desk.path("arch.json")))
    assert is_refusal(ended)
    assert "--target-ms" in ended.err


# --- front -------------------------------------------------------------------


def front(desk: Desk, searched: Searched, *more: str) -> list[str]:
    return ["front", "--table", str(desk.table), "--scores", scores(searched), *more]


def test_each_target_is_met_and_slower_networks_score_higher(
    desk: Desk, searched: Searched
) -> None:
    ended = desk.call(*front(desk, searched, *targets(*TARGETS), "--format", "json"))
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)
    assert [row["target_ms"] for row in rows] == [float(target) for target in TARGETS]
    assert all(row["predicted_ms"] <= row["target_ms"] for row in rows)
    assert all(row["low_ms"] < row["predicted_ms"] < row["high_ms"] for row in rows)
    assert all(row["optimal"] for row in rows)
    assert all(a["score"] <= b["score"] for a, b in pairwise(rows))


def test_without_targets_the_whole_front_is_told_from_the_fastest_on(
    desk: Desk, searched: Searched
) -> None:
    ended = desk.call(*front(desk, searched, "--format", "csv"))
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    fastest_us = LatencyModel(read_table(desk.table)).cost_matrix(SPACE).cheapest()
    assert float(rows[0]["predicted_ms"]) == pytest.approx(fastest_us / 1000, abs=1e-6)
    for faster, slower in pairwise(rows):
        assert float(faster["predicted_ms"]) < float(slower["predicted_ms"])
        assert float(faster["score"]) <= float(slower["score"])
    assert {row["target_ms"] for row in rows} == {""}


def test_the_networks_are_written_with_a_record_of_what_they_rest_on(
    desk: Desk, searched: Searched
) -> None:
    desk.table = write(desk.path("doubtful"), source="simulated")
    more = [*targets("4", "6"), "-o", str(desk.path("front")), "--allow-simulated"]
    ended = desk.call(*front(desk, searched, *more))
    assert ended.code == 0, ended.err
    model = LatencyModel(read_table(desk.table))
    for number, target in enumerate((4000, 6000), 1):
        network = read_architecture(desk.path(f"front/front-{number}.json"))
        assert model.estimate(network).value_us <= target
    record = desk.json("front/front.json")
    assert record["waivers"] == ["--allow-simulated"]
    assert record["table_source"] == "simulated"
    assert record["scores"] == "fbnet on phone-0/table"
    assert [row["network"] for row in record["networks"]] == ["front-1", "front-2"]
    assert "front-2" in ended.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (targets("6", "0.1"), "The fastest takes"),
        (targets("6", "nan"), "means nothing"),
        (targets("nan", "6"), "means nothing"),
        (targets("6", "inf"), "means nothing"),
        (targets("-1"), "means nothing"),
        (["--format", "yaml"], "table, json, csv"),
        (["-o", "/proc/nowhere"], "Cannot write to /proc/nowhere"),
        (["--scores", "nowhere.json"], "nowhere.json"),
        (["--table", "nowhere"], "not a table"),
    ],
)
def test_a_front_that_cannot_be_is_refused(
    desk: Desk, searched: Searched, more: list[str], said: str
) -> None:
    ended = desk.call(*front(desk, searched, *more))
    assert is_refusal(ended), ended
    assert said in ended.err


def test_a_front_by_a_table_that_is_not_to_be_trusted_ends_with_1(
    desk: Desk, searched: Searched
) -> None:
    desk.table = write(desk.path("doubtful"), exam=None)
    assert desk.call(*front(desk, searched)).code == 1
    assert desk.call(*front(desk, searched, "--allow-unexamined")).code == 0


def test_a_front_by_scores_of_another_resolution_is_refused(desk: Desk, searched: Searched) -> None:
    desk.table = write(desk.path("larger"), space=make_space("fbnet-mini", resolution=24))
    ended = desk.call(*front(desk, searched))
    assert is_refusal(ended)
    assert "fbnet-mini-r24" in ended.err


def test_a_front_needs_no_torch(desk: Desk, searched: Searched) -> None:
    code = (
        "import sys\nfrom search.cli.app import app\n"
        f"app({front(desk, searched, *targets('6'))!r}, standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert "front-1" in done.stdout


def test_a_front_is_told_by_letters_with_intervals_in_80_columns(
    desk: Desk, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = desk.call(*front(desk, searched, *targets(*TARGETS)))
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].startswith("A  predicted: phone-0/table")
    assert lines[1].startswith("B  score: fbnet on phone-0/table")
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if re.match(r"front-\d +[\d.]+ ", line)]
    assert len(rows) == len(TARGETS)
    assert all("+-" in row for row in rows)


def test_a_front_is_drawn_with_its_line_targets_and_chosen_networks(
    desk: Desk, searched: Searched
) -> None:
    chosen = [*targets("4", "6"), "-o", str(desk.path("front"))]
    ended = desk.call(*front(desk, searched, *chosen))
    assert ended.code == 0, ended.err
    whole = desk.call(*front(desk, searched, "--format", "csv")).out.splitlines()
    page = desk.path("front/front.html").read_text()
    (line,) = re.findall(r'polyline class="curve s0" points="([^"]+)"', page)
    assert len(line.split()) == len(whole) - 1
    assert re.findall(r'class="target".*?<text[^>]*>([\d.]+)<', page) == ["4", "6"]
    assert page.count("<circle") == 2
    assert "95 % interval" in page


@pytest.mark.parametrize("cost", ["flops", "params", "memory"])
def test_a_front_of_what_is_counted_is_told_and_drawn_too(
    desk: Desk, searched: Searched, cost: str
) -> None:
    words = ["front", "--space", SPACE.spec, "--cost", cost, "--scores", scores(searched)]
    ended = desk.call(*words, "-o", str(desk.path("front")))
    assert ended.code == 0, ended.err
    assert "score: fbnet on phone-0/table" in ended.out
    assert "<polyline" in desk.path("front/front.html").read_text()
