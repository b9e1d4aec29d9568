"""From options to recipes; what would fail late, or be passed over, is refused at once."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.recipes import make_search_recipe
from search.errors import UsageError
from search.pipeline.methods import make_method
from search.pipeline.options import DataOptions, SearchOptions, TrainOptions
from search.pipeline.problem import SearchProblem, Waivers, load_problem
from search.pipeline.resources import ComputeOptions
from search.training.recipe import make_training_recipe
from tests.search.cli.runner import write


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tables") / "table")


@pytest.fixture
def problem(table: Path) -> SearchProblem:
    return load_problem(table, 6.0, Waivers())


@pytest.fixture
def options(tmp_path: Path) -> SearchOptions:
    return SearchOptions(
        algorithm="fbnet",
        images=DataOptions(source="digits"),
        recipe="cpu",
        epochs=None,
        batch=None,
        learning_rate=None,
        budget=8,
        scores=None,
        seed=0,
        output=tmp_path / "arch.json",
        run=None,
        retrain=False,
        retrain_epochs=None,
        resume=False,
        accept_changes=False,
        quiet=True,
    )


@pytest.fixture
def training(tmp_path: Path) -> TrainOptions:
    return TrainOptions(
        network="FBNet-C",
        images=DataOptions(source="digits"),
        recipe="cpu",
        epochs=None,
        batch=None,
        learning_rate=None,
        seed=0,
        output=tmp_path / "weights.pt",
        run=None,
        resume=False,
        accept_changes=False,
        quiet=True,
    )


def changes(before: object, after: object) -> dict[str, Any]:
    """Fields that differ."""
    old, new = asdict(before), asdict(after)  # type: ignore[call-overload]
    return {name: new[name] for name in new if new[name] != old[name]}


# --- recipes -----------------------------------------------------------------


def test_without_options_the_recipes_are_the_presets(
    options: SearchOptions, training: TrainOptions
) -> None:
    assert options.search_recipe() == make_search_recipe("fbnet", "cpu")
    assert options.retrain_recipe() == make_training_recipe("cpu")
    assert training.train_recipe() == make_training_recipe("cpu")


def test_the_papers_proxy_classes_are_recorded_only_where_they_are_used(
    options: SearchOptions,
) -> None:
    paper = replace(options, recipe="paper")
    assert changes(FBNetRecipe(), paper.search_recipe()) == {}
    proxy = replace(paper, images=DataOptions(source="digits", classes=100))
    assert changes(FBNetRecipe(), proxy.search_recipe()) == {"classes": 100}


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 20])
def test_a_short_search_still_leaves_an_epoch_for_theta(
    options: SearchOptions, epochs: int
) -> None:
    recipe = replace(options, epochs=epochs).search_recipe()
    assert isinstance(recipe, FBNetRecipe)
    assert recipe.epochs == epochs
    assert recipe.freeze_epochs == {1: 0, 2: 1, 3: 1, 4: 1, 20: 3}[epochs]


def test_batch_and_rate_replace_the_recipes_and_are_recorded(options: SearchOptions) -> None:
    recipe = replace(options, batch=16, learning_rate=0.01).search_recipe()
    found = changes(make_search_recipe("fbnet", "cpu"), recipe)
    assert found == {"batch": 16, "weight_rate": 0.01}


@pytest.mark.parametrize("algorithm", ["random", "evolution"])
def test_a_trial_is_a_short_training(options: SearchOptions, algorithm: str) -> None:
    recipe = replace(options, algorithm=algorithm).trial_recipe()
    assert changes(make_training_recipe("cpu"), recipe) == {
        "epochs": 3,
        "warmup_epochs": 0.5,
        "validate_every": 0,
    }
    longer = replace(options, algorithm=algorithm, epochs=30, batch=16).trial_recipe()
    assert changes(recipe, longer) == {"epochs": 30, "batch": 16, "warmup_epochs": 5.0}


def test_a_short_training_leaves_its_warm_up(
    options: SearchOptions, training: TrainOptions
) -> None:
    for recipe in (
        replace(options, retrain_epochs=1).retrain_recipe(),
        replace(training, epochs=1).train_recipe(),
    ):
        assert recipe.warmup_epochs == pytest.approx(2 / 15)
        assert recipe.rate(recipe.warmup_epochs) == pytest.approx(recipe.learning_rate)
        assert recipe.epochs == 1


def test_retraining_keeps_its_own_batch_and_rate(options: SearchOptions) -> None:
    recipe = replace(options, batch=16, learning_rate=0.01).retrain_recipe()
    assert recipe == make_training_recipe("cpu")


def test_the_exact_selection_trains_nothing(options: SearchOptions, tmp_path: Path) -> None:
    exact = make_method(replace(options, algorithm="exact", scores=tmp_path / "scores.json"))
    assert not exact.needs_images
    assert exact.hyperparameters() == {}


@pytest.mark.parametrize("algorithm", ["fbnet", "random", "evolution"])
def test_a_method_that_trains_needs_images_and_records_its_recipe(
    options: SearchOptions, algorithm: str
) -> None:
    options = replace(options, algorithm=algorithm)
    recipe = options.search_recipe() if algorithm == "fbnet" else options.trial_recipe()
    method = make_method(options)
    assert method.needs_images
    assert method.hyperparameters() == asdict(recipe)


@pytest.mark.parametrize("algorithm", ["fbnet", "random", "exact"])
def test_an_unknown_recipe_is_refused_with_the_known_ones(
    options: SearchOptions, algorithm: str, tmp_path: Path
) -> None:
    scores = tmp_path / "scores.json" if algorithm == "exact" else None
    with pytest.raises(UsageError, match=r"Known: .*cpu"):
        make_method(replace(options, recipe="gpu", algorithm=algorithm, scores=scores))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}])
@pytest.mark.parametrize("algorithm", ["random", "fbnet"])
def test_values_out_of_range_are_refused_and_never_replaced(
    options: SearchOptions, wrong: dict[str, Any], algorithm: str
) -> None:
    with pytest.raises(UsageError):
        make_method(replace(options, algorithm=algorithm, **wrong))


def test_retraining_for_no_epochs_is_refused(options: SearchOptions) -> None:
    with pytest.raises(UsageError):
        replace(options, retrain_epochs=0).retrain_recipe()


# --- options that do not go together -----------------------------------------


@pytest.mark.parametrize("algorithm", ["exact", "random", "evolution"])
def test_what_needs_a_target_is_refused_without_one(
    options: SearchOptions, table: Path, algorithm: str
) -> None:
    free = load_problem(table, None, Waivers())
    options.check(free)
    with pytest.raises(UsageError, match="Give --target-ms"):
        replace(options, algorithm=algorithm).check(free)


@pytest.mark.parametrize("algorithm", ["random", "evolution"])
def test_baselines_do_not_pass_over_a_probability(
    options: SearchOptions, table: Path, algorithm: str
) -> None:
    sure = load_problem(table, 6.0, Waivers(), 0.9)
    options.check(sure)
    with pytest.raises(UsageError, match="--probability"):
        replace(options, algorithm=algorithm).check(sure)


def test_epochs_of_a_retraining_that_is_not_asked_for_are_refused(
    options: SearchOptions, problem: SearchProblem
) -> None:
    with pytest.raises(UsageError, match="--retrain, which is not given"):
        replace(options, retrain_epochs=3).check(problem)


# --- places ------------------------------------------------------------------


def test_all_files_lie_beside_the_output(options: SearchOptions, tmp_path: Path) -> None:
    assert options.folder == tmp_path / "arch.run"
    assert options.weights == tmp_path / "arch.pt"
    assert options.result == tmp_path / "arch.result.json"
    assert replace(options, run=tmp_path / "else").folder == tmp_path / "else"


def test_the_run_of_a_training_is_not_that_of_the_search(
    options: SearchOptions, training: TrainOptions
) -> None:
    assert replace(training, output=options.weights).folder != options.folder


@pytest.mark.parametrize("taken", ["arch.json", "arch.result.json", "arch.pt"])
def test_a_file_that_is_a_folder_is_refused(
    options: SearchOptions, problem: SearchProblem, tmp_path: Path, taken: str
) -> None:
    (tmp_path / taken).mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        replace(options, retrain=True).check(problem)


def test_a_search_by_scores_alone_may_keep_to_the_folder_of_the_search_before(
    options: SearchOptions, problem: SearchProblem
) -> None:
    options.folder.mkdir()
    (options.folder / "last.pt").touch()
    replace(options, algorithm="exact").check(problem)
    for trains in ({"algorithm": "exact", "retrain": True}, {"algorithm": "random"}):
        with pytest.raises(UsageError, match="holds a run already"):
            replace(options, **trains).check(problem)


@pytest.mark.parametrize("name", ["net.json", "net", "net.onnx"])
def test_weights_go_to_a_file_of_weights(training: TrainOptions, tmp_path: Path, name: str) -> None:
    training.check()
    with pytest.raises(UsageError, match=r"\.pt"):
        replace(training, output=tmp_path / name).check()


@pytest.mark.parametrize(
    "wrong", [{"device": "tpu"}, {"precision": "float8"}, {"threads": 0}, {"device": "cuda:x"}]
)
def test_resources_that_there_are_not_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ComputeOptions(**wrong).to_compute()
