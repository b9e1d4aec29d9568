"""Recipes by name, file and `--set`; what is wrong in one is a sentence."""

import re
from pathlib import Path

import pytest

from search.algorithms.recipes import known_keys, make_search_recipe, method_of, open_recipe
from search.algorithms.registry import METHODS
from search.errors import UsageError
from search.recipes.document import load_recipe, parse_setting, recipe_names, recipe_source
from search.training.recipe import make_training_recipe, training_recipe
from tests.product import ROOT

ALL = [(name, method) for name in recipe_names() for method in METHODS]


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def refusal(name: str, *settings: str, algorithm: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        open_recipe(name, settings, algorithm)
    return str(caught.value)


# --- those of the kit ---------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_kit_is_sound_and_says_where_it_is_from(name: str) -> None:
    recipe = open_recipe(name)
    assert recipe.description
    assert recipe.source
    assert make_training_recipe(name).epochs >= 1


def test_every_method_has_a_recipe_of_its_paper_and_one_for_a_cpu() -> None:
    for method in METHODS:
        for name in ("cpu", "paper", method):
            assert make_search_recipe(method, name).epochs >= 1
        assert method_of(method) == method
    assert method_of("cpu") == method_of("paper") == "fbnet"


@pytest.mark.parametrize("name", recipe_names())
def test_a_copy_of_a_recipe_is_a_recipe(name: str, tmp_path: Path) -> None:
    copy = write(tmp_path, recipe_source(name))
    assert load_recipe(copy).tables == load_recipe(name).tables


def test_single_paths_own_training_is_rmsprop_with_an_average() -> None:
    recipe = make_training_recipe("single-path")
    assert (recipe.optimizer, recipe.learning_rate, recipe.epsilon) == ("rmsprop", 0.064, 1e-3)
    assert (recipe.epochs, recipe.ema, recipe.label_smoothing) == (350, 0.9999, 0.1)
    assert recipe.rate(100.0) == pytest.approx(0.064 * 0.97**41)


# --- schedules scale -----------------------------------------------------------------


def test_ninety_epochs_of_fbnets_training_end_at_a_thousandth_of_the_rate() -> None:
    recipe = training_recipe(open_recipe("fbnet"), epochs=90)
    rates = [recipe.rate(at) for at in (0.0, 22.4, 22.5, 45.0, 67.5, 89.9)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-4, 1e-4])


def test_sixty_epochs_of_fp_nas_turn_joint_after_as_large_a_share() -> None:
    recipe = open_recipe("fp-nas", ("epochs=60",), "fp-nas")
    found = make_search_recipe("fp-nas", "fp-nas")
    assert (found.freeze_epochs, getattr(found, "joint_epoch")) == (45, 80)  # noqa: B009
    from search.algorithms.recipes import search_recipe

    short = search_recipe(recipe, "fp-nas")
    assert (short.epochs, short.freeze_epochs, getattr(short, "joint_epoch")) == (60, 9, 16)  # noqa: B009


@pytest.mark.parametrize("epochs", [1, 2, 7, 90, 1000])
@pytest.mark.parametrize(("name", "method"), [(m, m) for m in METHODS])
def test_any_number_of_epochs_goes_through_the_whole_schedule(
    name: str, method: str, epochs: int
) -> None:
    from search.algorithms.recipes import search_recipe

    long, short = (search_recipe(open_recipe(name), method, epochs=n) for n in (None, epochs))
    assert short.freeze_epochs < max(short.epochs, 2)
    for share in (0.0, 0.3, 0.7):
        rates = [recipe.weight_rate_at(share * recipe.epochs) for recipe in (long, short)]
        assert rates[0] == pytest.approx(rates[1], rel=0.04)
    if hasattr(long, "temperature_at"):
        ends = [recipe.temperature_at(recipe.epochs) for recipe in (long, short)]  # type: ignore[attr-defined]
        assert ends[0] == pytest.approx(ends[1], rel=1e-9)


def test_epochs_scale_however_they_are_set() -> None:
    by_option = training_recipe(open_recipe("fbnet"), epochs=90)
    assert training_recipe(open_recipe("fbnet", ("train.epochs=90",))) == by_option
    assert training_recipe(open_recipe("fbnet", ("epochs=90",))) == by_option


# --- settings and files of one's own ----------------------------------------------------


def test_a_key_without_a_table_is_the_methods_before_the_trainings() -> None:
    recipe = open_recipe("cpu", ("epochs=20", "cost.beta=0.9", "ema=0.99"), "fbnet")
    assert recipe.tables["fbnet"]["epochs"] == 20
    assert recipe.tables["fbnet"]["cost.beta"] == 0.9
    assert recipe.tables["train"]["epochs"] == 15
    assert recipe.tables["train"]["ema"] == 0.99


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a = 0.5", 0.5),
        ("a=true", True),
        ("a=sgd", "sgd"),
        ('a="2/15"', "2/15"),
        ("a=2/15", "2/15"),
        ("a=[0.5, 0.75]", [0.5, 0.75]),
    ],
)
def test_the_value_of_a_setting_is_toml_or_else_a_text(text: str, value: object) -> None:
    assert parse_setting(text) == ("a", value)


def test_a_file_extends_another_by_single_keys(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "cpu"\n[train]\nema = 0.9\n', "base.toml")
    mine = write(tmp_path, 'extends = "base.toml"\n[train]\nepochs = 30\n')
    recipe = training_recipe(open_recipe(mine))
    assert (recipe.epochs, recipe.ema, recipe.nesterov) == (30, 0.9, True)
    assert recipe.warmup_epochs == pytest.approx(4)


def test_none_takes_a_value_away_where_there_may_be_none() -> None:
    from search.algorithms.recipes import search_recipe

    recipe = open_recipe("cpu", ("draws.fixed=none", "joint=none"), "parsec")
    found = search_recipe(recipe, "parsec")
    assert (getattr(found, "draws"), getattr(found, "joint_epoch")) == (None, None)  # noqa: B009
    assert training_recipe(open_recipe("cpu", ("augment.policy=none",))).policy == "none"


def test_a_methods_file_decides_the_method(tmp_path: Path) -> None:
    mine = write(tmp_path, 'extends = "cpu"\n[parsec]\nepochs = 5\n')
    assert method_of(mine) == "parsec"


def test_every_hyperparameter_of_every_method_has_a_key() -> None:
    from dataclasses import fields

    from search.algorithms.registry import recipe_class
    from search.training.recipe import TrainingRecipe

    known = known_keys()
    for method in METHODS:
        assert len(known[method]) == len(fields(recipe_class(method))) - 1  # classes
    assert len(known["train"]) == len(fields(TrainingRecipe))


def test_the_recipe_in_the_readme_is_one(tmp_path: Path) -> None:
    readme = (ROOT / "search" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", readme, re.S)
    (block,) = (block for block in blocks if "extends" in block)
    mine = write(tmp_path, block)
    recipe = training_recipe(open_recipe(mine))
    assert (recipe.epochs, recipe.keep, recipe.nesterov) == (60, "best", True)
    assert method_of(mine) == "fbnet"


# --- what is wrong is a sentence ----------------------------------------------------------


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    assert "Known: cpu, cpu-judged, fbnet" in refusal("fbent")
    assert "Cannot read nowhere.toml" in refusal("nowhere.toml")


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("cost.betta=1", "cost.beta"),
        ("train.warmup=0.1", "schedule.warmup"),
        ("train.optimiser.rate=1", "optimizer.rate"),
        ("temprature.start=1", "temperature.start"),
        ("epoch=3", "epochs"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(setting: str, nearest: str) -> None:
    assert f"The nearest is {nearest}." in refusal("cpu", setting, algorithm="fbnet")


def test_unknown_keys_and_tables_of_a_file_are_refused(tmp_path: Path) -> None:
    assert "The nearest is epochs." in refusal(write(tmp_path, "[train]\nepoch = 3\n"))
    assert "The nearest is train." in refusal(write(tmp_path, "[tain]\nepochs = 3\n"))
    assert "The nearest is extends." in refusal(write(tmp_path, 'extend = "cpu"\n'))


@pytest.mark.parametrize(
    "setting",
    [
        "epochs=0",
        "epochs=1.5",
        "epochs=many",
        "epochs=true",
        "batch=1",
        "optimizer.rate=0",
        "optimizer.rate=nan",
        "optimizer.rate=inf",
        "optimizer.name=adam",
        "schedule.name=line",
        "schedule.warmup=1.1",
        "schedule.warmup=a/b",
        "schedule.warmup=1/0",
        "schedule.warmup=-0.1",
        "schedule.milestones=[0.5,-1]",
        "dropout=1",
        "ema=1.0",
        "augment.policy=magic",
        "augment.magnitude=9",
        "augment.erasing=2",
        "distillation.teacher=FBNet-C",
        "validation.keep=first",
        "validation.every=-1",
        "optimizer.clip_norm=0",
    ],
)
def test_impossible_values_are_refused_before_anything_is_done(setting: str) -> None:
    said = refusal("cpu", setting)
    assert setting.split("=")[0].rpartition(".")[2].split("_")[0] in said
    assert len(said) < 400


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("fbnet", "weights.share=1.0"),
        ("fbnet", "temperature.start=0"),
        ("fbnet", "freeze=1.5"),
        ("fbnet", "negligible=0.2"),
        ("fp-nas", "draws.least=0"),
        ("fp-nas", "cost.aim=1.1"),
        ("single-path", "thresholds.norm=l7"),
        ("single-path", "cost.formula=guess"),
        ("parsec", "draws.fixed=0"),
        ("fbnetv2", "cost.lambda=-1"),
    ],
)
def test_impossible_values_of_a_search_are_refused(method: str, setting: str) -> None:
    assert "out of range" in refusal("cpu", setting, algorithm=method)


@pytest.mark.parametrize("setting", ["epochs", "=3", "epochs=", ""])
def test_a_setting_that_is_no_key_and_value_is_refused(setting: str) -> None:
    assert "is no key=value" in refusal("cpu", setting)


def test_files_that_are_no_recipes_are_refused(tmp_path: Path) -> None:
    assert "is no TOML" in refusal(write(tmp_path, "epochs: 3\n"))
    assert "newer than 1" in refusal(write(tmp_path, "schema_version = 9\n"))
    assert "extends itself" in refusal(write(tmp_path, 'extends = "mine.toml"\n'))
    assert "train.batch is missing" in refusal(write(tmp_path, "[train]\nepochs = 3\n"))


def test_a_recipe_without_the_method_is_refused_with_those_it_has() -> None:
    with pytest.raises(UsageError, match=r"says nothing of parsec.*fbnet"):
        make_search_recipe("parsec", "fbnet")
