"""One supernet, many tables: scored once, selected exactly, compared."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from search.architecture import read_architecture
from search.latency.model import LatencyModel
from search.latency.priced_table import PricedTable
from search.pipeline.problem import SearchProblem, Waivers
from search.pipeline.specialise import cross_latencies, specialisation_of, specialise
from search.pipeline.supernet_scores import draw_balanced, fit_additive_scores
from search.selection.exact import select
from search.selection.scores import Scores, for_space
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import SPACE, TARGET_MS, Desk, is_refusal, write
from tests.search.targets import latency_target

WIDTHS = [len(layer.choices) for layer in SPACE.layers]


def random_scores(seed: int = 0) -> Scores:
    values = np.full((len(WIDTHS), max(WIDTHS)), -np.inf)
    draw = np.random.default_rng(seed)
    for layer, width in enumerate(WIDTHS):
        values[layer, :width] = draw.normal(size=width)
    return Scores(values=values, space=SPACE.spec, origin="made up")


def words(desk: Desk, searched: Searched, *tables: Path) -> list[str]:
    run = str(searched.desk.path("arch.run"))
    options = ["--supernet", run, "--target-ms", str(TARGET_MS), "--limit", "60", "--threads", "1"]
    options += ["--networks", "15", "-o", str(desk.path("out"))]
    return ["specialise", *options, "--table", *map(str, tables)]


# --- scores ------------------------------------------------------------------


def test_every_candidate_is_drawn_equally_often() -> None:
    networks = draw_balanced(WIDTHS, 90, seed=3)
    for column, width in zip(networks.T, WIDTHS, strict=True):
        counts = np.bincount(column, minlength=width)
        assert len(counts) == width
        assert counts.max() - counts.min() <= 1


def test_an_additive_quality_is_recovered_from_balanced_networks() -> None:
    truth = random_scores().values
    networks = draw_balanced(WIDTHS, 400, seed=0)
    entropies = 3 - truth[np.arange(len(WIDTHS)), networks].sum(1)
    found = fit_additive_scores(networks, entropies, SPACE, "test")
    assert found.spearman > 0.99
    legal = np.isfinite(truth)
    assert (np.isfinite(found.scores.values) == legal).all()
    centred = (
        np.where(legal, truth, np.nan) - np.nanmean(np.where(legal, truth, np.nan), 1)[:, None]
    )
    np.testing.assert_allclose(found.scores.values[legal], centred[legal], atol=0.1)


def test_a_quality_without_pattern_has_no_rank_correlation() -> None:
    networks = draw_balanced(WIDTHS, 400, seed=0)
    noise = np.random.default_rng(1).normal(size=400)
    assert abs(fit_additive_scores(networks, noise, SPACE, "test").spearman) < 0.35


def test_scores_follow_the_networks_to_another_dtype_but_not_to_another_space() -> None:
    scores = random_scores()
    other = make_space("fbnet-mini", resolution=16, dtype="int8")
    assert for_space(scores, other).space == other.spec
    with pytest.raises(Exception, match="belong to the space"):
        for_space(scores, make_space("fbnet-mini", resolution=32))


# --- selection ---------------------------------------------------------------


def task_of(folder: Path, target_us: float) -> SearchProblem:
    priced = PricedTable(read_table(folder))
    return SearchProblem(
        priced=priced,
        costs=priced.costs,
        target=latency_target(target_us),
        waivers=Waivers(),
    )


def test_each_table_gets_its_exact_optimum_under_its_target(tmp_path: Path) -> None:
    problems = [
        task_of(write(tmp_path / f"t{seed}", seed=seed), 1000 * TARGET_MS) for seed in range(3)
    ]
    scores = random_scores()
    found = specialise(scores, problems)
    matrix = cross_latencies(found)
    for number, (one, problem) in enumerate(zip(found, problems, strict=True)):
        best = select(scores, problem.matrix, 1000 * TARGET_MS)
        assert one.score == pytest.approx(best.score)
        assert best.optimal
        assert matrix[number, number] <= 1000 * TARGET_MS
        other = problems[(number + 1) % 3].costs.cost_of([one.choices])[0]
        assert matrix[number, (number + 1) % 3] == other
    assert len({one.choices for one in found}) == 3


# --- the command -------------------------------------------------------------


def test_one_architecture_a_table_and_a_matrix_are_written_and_scores_are_kept(
    desk: Desk, searched: Searched
) -> None:
    more = write(desk.path("more"), seed=5)
    command = words(desk, searched, desk.table, more)
    ended = desk.call(*command, "--format", "json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert json.loads((desk.path("out") / "specialise.json").read_text()) == result
    assert len(result["networks"]) == 2
    for number, row in enumerate(result["networks"]):
        network = read_architecture(desk.path("out") / row["architecture"])
        assert network.name == row["network"]
        assert row["own_us"] == row["predicted_us"][number] <= 1000 * TARGET_MS
        folder = (desk.table, more)[number]
        estimate = LatencyModel(read_table(folder)).estimate(network)
        assert estimate.value_us == pytest.approx(row["own_us"])
    assert "rank correlation" in result["scores"]
    again = desk.call(*command, "--data", "no-such-images", "--format", "csv")
    assert again.code == 0, again.err
    assert "judging" not in again.err
    assert again.out.startswith("network,target_ms,own_ms")


def test_other_images_than_the_searchs_are_refused(desk: Desk, searched: Searched) -> None:
    ended = desk.call(*words(desk, searched, desk.table), "--limit", "50", "--rescore")
    assert is_refusal(ended)
    assert "not the images of the search" in ended.err


def test_a_folder_without_a_supernet_is_refused(desk: Desk, searched: Searched) -> None:
    command = words(desk, searched, desk.table)
    command[2] = str(desk.folder)
    ended = desk.call(*command)
    assert is_refusal(ended)
    assert "--supernet" in ended.err


def test_targets_must_be_one_or_one_a_table(desk: Desk, searched: Searched) -> None:
    ended = desk.call(*words(desk, searched, *[desk.table] * 3), "--target-ms", "5")
    assert is_refusal(ended)
    assert "2 targets for 3 tables" in ended.err


def test_an_unmeasured_table_needs_the_flag_that_is_recorded(
    desk: Desk, searched: Searched
) -> None:
    made = write(desk.path("made"), source="simulated")
    assert desk.call(*words(desk, searched, made)).code == 1
    ended = desk.call(*words(desk, searched, made), "--allow-simulated", "--format", "json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["waivers"] == ["--allow-simulated"]
    assert result["networks"][0]["table_source"] == "simulated"


def test_networks_are_told_by_letters_with_intervals_in_80_columns(
    desk: Desk, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tables = [desk.table, *(write(desk.path(f"more{seed}"), seed=seed) for seed in range(5, 9))]
    ended = desk.call(*words(desk, searched, *tables))
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line for line in lines if re.match(r"[A-E]  predicted: phone-\d/", line)] == [
        line for line in lines if "  predicted: " in line
    ]
    # A path cannot be broken.
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 3] == []
    rows = [line for line in lines if re.match(r"of [A-E] ", line)]
    assert len(rows) == 2 * len(tables)  # four columns, then one
    assert sum(row.count("* ") for row in rows) == len(tables)
    assert all("+-" in row for row in rows)
    assert sum("the other networks take" in line for line in lines) == len(tables)


def test_intervals_of_a_specialisation_are_those_of_the_tables(tmp_path: Path) -> None:
    problems = [
        task_of(write(tmp_path / f"t{seed}", seed=seed), 1000 * TARGET_MS) for seed in range(2)
    ]
    scores = random_scores()
    found = specialise(scores, problems)
    for one, row in zip(found, specialisation_of(found, scores).networks, strict=True):
        for number, problem in enumerate(problems):
            estimate = problem.estimate(one.network)
            assert estimate is not None
            assert (row.low_us[number], row.high_us[number]) == (estimate.low_us, estimate.high_us)
            assert row.predicted_us[number] == pytest.approx(estimate.value_us)
