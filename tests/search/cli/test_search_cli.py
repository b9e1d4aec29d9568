"""A search from the command line to its files."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import search.pipeline.images
from search.architecture import read_architecture
from search.cli.output import _summary as summary_lines
from search.data.base import IMAGENET, Data
from search.data.open import open_data
from search.latency.model import LatencyModel
from search.latency.trust import wide_rows_held
from search.operators.modules import build_network
from search.pipeline.result import SearchResult
from search.selection.scores import read_scores
from search.spaces.registry import make_space
from search.table.store import read_table
from search.training.engine import train
from search.training.evaluate import evaluate
from search.training.run.trace import read_trace
from search.zoo import zoo_architecture
from tests.search.cli.broken_training import spoil_trials
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import SPACE, TARGET_MS, Desk, paint, write
from tests.search.training.standins import Pictures

# --- what a search leaves ----------------------------------------------------


def test_the_architecture_is_of_the_space_and_costs_what_the_table_says(
    searched: Searched,
) -> None:
    assert searched.ended.code == 0, searched.ended.err
    desk = searched.desk
    found, result = read_architecture(desk.path("arch.json")), desk.json("arch.result.json")
    assert found == SPACE.architecture(result["chosen"]["choices"], "arch")
    estimate = LatencyModel(read_table(desk.table)).estimate(found)
    assert result["chosen"]["predicted_us"] == pytest.approx(estimate.value_us, rel=1e-12)
    assert result["chosen"]["low_us"] < estimate.value_us < result["chosen"]["high_us"]
    assert result["chosen"]["meets_target"]
    assert estimate.value_us <= 1000 * TARGET_MS


def test_a_search_on_a_table_with_wide_rows_says_so(searched: Searched) -> None:
    result = SearchResult.model_validate(searched.desk.json("arch.result.json"))
    assert (result.wide_rows, result.wide_rows_used) == (0, ())
    assert not [line for line in summary_lines(result) if line.startswith("wide")]
    wide = result.model_copy(update={"wide_rows": 3, "wide_rows_used": ("ir_a", "ir_b")})
    said = " ".join(" ".join(summary_lines(wide)).split())
    assert "3 rows of the table are wider than was asked for" in said
    assert "the network holds ir_a, ir_b of them" in said


def test_the_wide_rows_of_a_network_are_those_that_it_holds(searched: Searched) -> None:
    table = read_table(searched.desk.table)
    found = read_architecture(searched.desk.path("arch.json"))
    held = {operator.key for operator in found.operators}
    spoilt = [entry.key for entry in table.entries][::2]
    entries = tuple(
        replace(entry, status="unstable", reason="wide") if entry.key in spoilt else entry
        for entry in table.entries
    )
    wide = wide_rows_held(replace(table, entries=entries), found.operators)
    assert wide == tuple(sorted(held & set(spoilt)))
    assert wide
    assert wide_rows_held(table, found.operators) == ()


def test_the_result_says_what_it_rests_on(searched: Searched) -> None:
    desk = searched.desk
    result, manifest = desk.json("arch.result.json"), read_table(desk.table).manifest
    assert result["table_id"] == manifest.table_id
    assert (result["device"], result["table_source"]) == ("phone-0", "measured")
    assert result["space"] == SPACE.spec
    assert result["target_us"] == 1000 * TARGET_MS
    assert (result["algorithm"], result["seed"], result["waivers"]) == ("fbnet", 0, [])
    assert (result["recipe"]["epochs"], result["recipe"]["batch"]) == (2, 16)
    assert result["data"].startswith("digits: 10 classes, 60 training")
    assert result["command"].startswith("python -m search --table")
    assert result["architecture"] == "arch.json"


def test_candidates_are_samples_the_argmax_the_exact_selection_and_some_near_the_target(
    searched: Searched,
) -> None:
    result = searched.desk.json("arch.result.json")
    origins = ", ".join(one["origin"] for one in result["candidates"]).split(", ")
    samples = [f"sample {number}" for number in range(1, 7)]
    assert set(origins) == {"argmax", "exact selection", "near the target", *samples}
    accuracies = [one["accuracy"] for one in result["candidates"]]
    assert accuracies == sorted(accuracies, reverse=True)
    meeting = [one for one in result["candidates"] if one["meets_target"]]
    assert result["chosen"] == meeting[0]
    for number, one in enumerate(result["candidates"], 1):
        path = searched.desk.path(f"arch.run/candidates/candidate-{number}.json")
        assert read_architecture(path) == SPACE.architecture(one["choices"], f"candidate-{number}")


def test_the_run_keeps_scores_trace_plot_and_checkpoints(searched: Searched) -> None:
    run = searched.desk.path("arch.run")
    assert read_scores(run / "scores.json", SPACE).origin == "fbnet on phone-0/table"
    phases = [(line.epoch, line.phase) for line in read_trace(run / "trace.jsonl")]
    assert phases == [(0, "weights"), (1, "weights"), (1, "theta")]
    assert "<svg" in (run / "trace.html").read_text()
    assert {path.name for path in run.iterdir()} >= {"last.pt", "good.pt", "retrain"}


def test_the_weights_load_without_executing_anything_and_give_the_printed_accuracy(
    searched: Searched,
) -> None:
    desk, printed = searched.desk, json.loads(searched.ended.out)
    network = build_network(read_architecture(desk.path("arch.json")).operators)
    network.load_state_dict(torch.load(desk.path("arch.pt"), weights_only=True))
    data = open_data("digits", resolution=16, limit=60)
    assert evaluate(network, data.test).top1 == printed["test_top1"]
    assert printed["weights"] == str(desk.path("arch.pt"))


def test_progress_goes_to_standard_error_alone(searched: Searched) -> None:
    for word in ("digits: 10 classes", "epoch 2/2 theta", "training arch for 2 epochs"):
        assert searched.ended.err.count(word) == 1
    assert json.loads(searched.ended.out)["chosen"]


# --- options -----------------------------------------------------------------


def test_the_same_seed_gives_the_same_network_and_another_seed_other_scores(
    searched: Searched, desk: Desk
) -> None:
    assert desk.call(*desk.words()).code == 0
    first, run = searched.desk.path("arch.json"), searched.desk.path("arch.run")
    assert desk.path("arch.json").read_bytes() == first.read_bytes()
    scores = (run / "scores.json").read_bytes()
    assert desk.path("arch.run/scores.json").read_bytes() == scores
    assert desk.call(*desk.words("--seed", "1", output="other.json")).code == 0
    assert desk.path("other.run/scores.json").read_bytes() != scores


def test_csv_and_table_tell_the_same_candidates(desk: Desk) -> None:
    ended = desk.call(*desk.words("--format", "csv", "--quiet"))
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    result = desk.json("arch.result.json")
    assert [row["origin"] for row in rows] == [one["origin"] for one in result["candidates"]]
    for row, one in zip(rows, result["candidates"], strict=True):
        assert float(row["predicted_ms"]) == pytest.approx(one["predicted_us"] / 1000, abs=1e-6)
    assert ended.err == ""
    again = desk.call(*desk.words("--resume", "--quiet"))
    assert again.code == 0
    assert "chosen" in again.out
    assert "written to" in again.out


def test_without_a_target_the_product_loss_is_searched_with(desk: Desk) -> None:
    words = ["--table", str(desk.table), "--epochs", "2", *desk.data()]
    ended = desk.call(*words, "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    assert result["target_us"] is None
    assert "exact" not in ", ".join(one["origin"] for one in result["candidates"])
    assert "no target" in ended.out


def test_flags_that_set_doubts_aside_are_recorded_and_printed(desk: Desk) -> None:
    desk.table = write(desk.path("doubtful"), source="simulated", exam=None)
    ended = desk.call(*desk.words("--allow-unexamined", "--allow-simulated", "--quiet"))
    assert ended.code == 0, ended.err
    given = ["--allow-unexamined", "--allow-simulated"]
    assert desk.json("arch.result.json")["waivers"] == given
    assert f"waived     {' '.join(given)}" in ended.out
    assert "phone-0/doubtful [simulated]" in ended.out


def test_a_target_can_be_met_with_a_probability(desk: Desk) -> None:
    ended = desk.call(*desk.words("--probability", "0.95", "--quiet"))
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    network = read_architecture(desk.path("arch.json"))
    estimate = LatencyModel(read_table(desk.table)).estimate(network)
    assert result["probability"] == 0.95
    assert estimate.probability_below(1000 * TARGET_MS) >= 0.95
    assert result["chosen"]["probability"] >= 0.95
    assert f"met with {result['chosen']['probability']:.1%}" in ended.out


def test_a_folder_of_images_of_mixed_modes_and_sizes_is_searched_on(
    desk: Desk,
) -> None:
    modes = ("RGB", "L", "RGBA", "P", "1", "LA", "CMYK", "I;16")
    root = desk.path("images")
    for label in range(10):
        for number, mode in enumerate(modes):
            kind = {"CMYK": "jpg", "I;16": "png"}.get(mode, "png")
            size = (9 + 7 * number, 40 - 3 * number)
            paint(root / f"class{label}" / f"{number}.{kind}", mode, size, seed=label)
    (root / "class3" / "broken.png").write_bytes(b"no image")
    words = desk.words("--data", str(root), "--limit", "60")
    ended = desk.call(*words)
    assert ended.code == 0, ended.err
    assert "1 image could not be read and is left out: 'class3/broken.png'" in ended.err
    assert "10 classes" in desk.json("arch.result.json")["data"]


def test_a_table_of_int8_times_makes_an_int8_network(desk: Desk) -> None:
    space = make_space("fbnet-mini", resolution=16, dtype="int8")
    desk.table = write(desk.path("int8"), space=space)
    ended = desk.call(*desk.words("--retrain", "--retrain-epochs", "1"))
    assert ended.code == 0, ended.err
    found = read_architecture(desk.path("arch.json"))
    assert (found.dtype, found.space) == ("int8", space.spec)


# --- the baselines -----------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["random", "evolution"])
def test_baselines_stay_under_the_target_and_train_no_finished_trial_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    words = desk.words("--algorithm", algorithm, "--epochs", "1", "--target-ms", "4")
    ended = desk.call(*words, "--budget", "3")
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    assert len(result["candidates"]) == 3
    assert all(one["predicted_us"] <= 4000 for one in result["candidates"])
    assert result["chosen"] == result["candidates"][0]
    assert result["chosen"]["scored_by"] == "1 epochs of training"
    assert ended.err.count("trial ") == 3

    refused = desk.call(*words, "--budget", "3")
    assert refused.code == 2
    assert "--resume" in refused.err
    trained = []

    def watched(*arguments: Any, **options: Any) -> Any:
        trained.append(arguments)
        return train(*arguments, **options)

    monkeypatch.setattr("search.algorithms.baselines.trials.train", watched)
    again = desk.call(*words, "--budget", "3", "--resume")
    assert again.code == 0, again.err
    assert trained == []
    assert desk.json("arch.result.json")["chosen"] == result["chosen"]
    if algorithm == "random":
        assert desk.call(*words, "--budget", "4", "--resume").code == 0
        assert len(trained) == 1


@pytest.mark.parametrize("algorithm", ["random", "evolution"])
def test_a_trial_that_fails_comes_last_and_is_told_with_its_reason(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    spoil_trials(monkeypatch, {1})
    words = desk.words("--algorithm", algorithm, "--epochs", "1", "--budget", "3")
    ended = desk.call(*words)
    assert ended.code == 0, ended.err
    assert "1 of 3 trials; the first: The loss is nan" in ended.out
    *sound, failed = desk.json("arch.result.json")["candidates"]
    assert (failed["origin"], failed["accuracy"]) == ("trial 1", None)
    assert "The loss is nan" in failed["failed"]
    assert all(one["failed"] is None and one["accuracy"] >= 0 for one in sound)
    assert len(list(desk.path("arch.run/candidates").iterdir())) == 2


def test_a_search_whose_trials_all_fail_stops_with_a_remedy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_trials(monkeypatch, {1, 2})
    ended = desk.call(*desk.words("--algorithm", "random", "--epochs", "1", "--budget", "2"))
    assert (ended.code, ended.out) == (1, "")
    assert "All 2 trials failed" in ended.err
    assert "--learning-rate" in ended.err
    assert "Traceback" not in ended.err
    assert not desk.path("arch.json").exists()


# --- training alone ----------------------------------------------------------


def test_the_network_found_can_be_trained_by_itself(searched: Searched, desk: Desk) -> None:
    arch = str(searched.desk.path("arch.json"))
    words = ["train", arch, *desk.data(), "--epochs", "1", "-o", str(desk.path("arch.pt"))]
    ended = desk.call(*words, "--format", "json")
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    network = build_network(read_architecture(Path(arch)).operators)
    network.load_state_dict(torch.load(desk.path("arch.pt"), weights_only=True))
    data = open_data("digits", resolution=16, limit=60)
    assert evaluate(network, data.test).top1 == pytest.approx(printed["top1"], abs=1e-6)
    assert printed["images"] == len(data.test)
    plain = desk.call(*words, "--resume", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(plain.out))
    assert float(row["top1"]) == printed["top1"]
    assert "top-1" in desk.call(*words, "--resume").out


def test_a_published_network_is_trained_by_name_on_as_many_classes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thousand(source: str, *, resolution: int, **_: object) -> Data:
        pictures = Pictures(12, 1000, side=resolution)
        names = tuple(str(number) for number in range(1000))
        return Data(
            name=source,
            classes=names,
            resolution=resolution,
            train=pictures,
            test=pictures,
            normalisation=IMAGENET,
        )

    monkeypatch.setattr(search.pipeline.images, "open_data", thousand)
    words = ["--epochs", "1", "--threads", "1", "-o", str(desk.path("net.pt"))]
    ended = desk.call("train", "fbnet-96-0.35-1", *words, "--format", "json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["network"] == "FBNet-96-0.35-1"
    network = build_network(zoo_architecture("FBNet-96-0.35-1").operators)
    network.load_state_dict(torch.load(desk.path("net.pt"), weights_only=True))


def test_a_trace_is_drawn_again(searched: Searched, desk: Desk) -> None:
    run, page = searched.desk.path("arch.run"), desk.path("page.html")
    for source in (run, run / "trace.jsonl"):
        ended = desk.call("plot", str(source), "-o", str(page))
        assert (ended.code, ended.out) == (0, f"written to {page}\n")
        assert "<svg" in page.read_text()
        page.unlink()
