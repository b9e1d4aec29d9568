"""Recipes of searches: which table is whose, and what the command line sets on top."""

from collections.abc import Sequence
from dataclasses import replace

from search.algorithms.recipe import SearchRecipe
from search.algorithms.registry import METHODS, recipe_class
from search.algorithms.zero_cost.recipe import ZERO_COST, ZeroCostRecipe, zero_cost_recipe
from search.documents import refuse_unknown
from search.recipes.document import DEFAULT, Known, Recipe, load_recipe
from search.recipes.keys import build, keys_of
from search.training.recipe import PAPER, TRAIN, TRIAL, training_keys, training_recipe, trial_recipe


def known_keys() -> Known:
    """Keys of every table that a recipe may have."""
    known = {TRAIN: training_keys(), TRIAL: training_keys()}
    known[ZERO_COST] = tuple(keys_of(ZeroCostRecipe))
    return {**known, **{name: tuple(keys_of(recipe_class(name))) for name in METHODS}}


def open_recipe(name: str, settings: Sequence[str] = (), algorithm: str | None = None) -> Recipe:
    """A recipe by name or path, changed by `key=value`, every table of it checked.

    Args:
        name: `paper` is the recipe of the method, and FBNet's where there is none.
        settings: As `--set` takes them; a key without a table is of the method's.
        algorithm: The method; None where only a network is trained.

    Raises:
        UsageError: Unknown, some key or value is wrong, or it says nothing of the method.
    """
    method = algorithm if algorithm in METHODS else None
    home = ZERO_COST if algorithm == ZERO_COST else method or TRAIN
    recipe = load_recipe((method or PAPER) if name == "paper" else name)
    known = known_keys()
    refuse_unknown(recipe.tables, known, f"the recipe {recipe.name}")
    recipe = recipe.changed(settings, home, known)
    if method is not None:
        recipe.table(method)
    if TRAIN in recipe.tables:
        training_recipe(recipe)
    if TRIAL in recipe.tables:
        trial_recipe(recipe)
    for table in METHODS:
        if table in recipe.tables:
            search_recipe(recipe, table)
    zero_cost_recipe(recipe)
    return recipe


def method_of(name: str) -> str:
    """The method whose table alone stands in a recipe's own file; FBNet's for any other.

    Raises:
        UsageError: There is no such recipe.
    """
    tables = () if name in ("paper", DEFAULT) else load_recipe(name).own
    methods = [table for table in tables if table in METHODS]
    return methods[0] if len(methods) == 1 else PAPER


def search_recipe(
    recipe: Recipe,
    algorithm: str,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
) -> SearchRecipe:
    """A method's hyperparameters; values that are given replace the file's.

    Raises:
        UsageError: The recipe says nothing of this method, or values are out of range.
    """
    changes = {"epochs": epochs, "batch": batch, "weight_rate": learning_rate}
    found = build(recipe_class(algorithm), recipe.table(algorithm), algorithm, changes)
    # A short search still leaves the architecture an epoch.
    return replace(found, freeze_epochs=min(found.freeze_epochs, max(found.epochs - 1, 0)))


def make_search_recipe(algorithm: str, name: str) -> SearchRecipe:
    """A method's hyperparameters by the name of a recipe.

    Raises:
        UsageError: Unknown method or recipe, or one that is of other methods.
    """
    return search_recipe(open_recipe(name, algorithm=algorithm), algorithm)
