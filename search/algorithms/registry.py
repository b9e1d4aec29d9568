"""Search methods by name; a method's module, and torch, load when it is chosen."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from search.algorithms.recipe import SearchRecipe
from search.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from search.algorithms.base import SearchAlgorithm
    from search.spaces.base import SearchSpace

_HERE = "search.algorithms"


class Method(NamedTuple):
    """A method, its hyperparameters and its shared weights, each as module:name."""

    search: str
    recipe: str
    weights: str = "search.supernets.mixture:MixtureSupernet"


METHODS = {
    "fbnet": Method(f"{_HERE}.fbnet.search:FBNetSearch", f"{_HERE}.fbnet.recipe:FBNetRecipe"),
    "fp-nas": Method(
        f"{_HERE}.fp_nas.search:CategoricalSearch",
        f"{_HERE}.fp_nas.recipe:CategoricalRecipe",
        f"{_HERE}.fp_nas.categorical:shared_weights",
    ),
    "fbnetv2": Method(
        f"{_HERE}.fbnetv2.search:FBNetV2Search",
        f"{_HERE}.fbnetv2.recipe:FBNetV2Recipe",
        "search.supernets.masked:MaskedSupernet",
    ),
    "single-path": Method(
        f"{_HERE}.single_path.search:SinglePathSearch",
        f"{_HERE}.single_path.recipe:SinglePathRecipe",
        "search.supernets.superkernel:SuperkernelSupernet",
    ),
    "parsec": Method(
        f"{_HERE}.fp_nas.search:Parsec",
        f"{_HERE}.fp_nas.recipe:CategoricalRecipe",
        f"{_HERE}.fp_nas.categorical:shared_weights",
    ),
}


def load_method(name: str) -> "Callable[..., SearchAlgorithm]":
    """The constructor of a method.

    Raises:
        UsageError: Unknown name.
    """
    return cast("Callable[..., SearchAlgorithm]", _load(_method(name).search))


def recipe_class(algorithm: str) -> type[SearchRecipe]:
    """The class of a method's hyperparameters.

    Raises:
        UsageError: Unknown method.
    """
    return cast(type[SearchRecipe], _load(_method(algorithm).recipe))


def load_supernet_class(name: str) -> "Callable[[SearchSpace], nn.Module]":
    """The class of a method's shared weights, which its module keeps as `supernet`.

    Raises:
        UsageError: Unknown name.
    """
    return cast("Callable[[SearchSpace], nn.Module]", _load(_method(name).weights))


def _method(name: str) -> Method:
    if name not in METHODS:
        raise UsageError(f"Unknown algorithm {name!r}.", f"Known: {', '.join(METHODS)}.")
    return METHODS[name]


def _load(reference: str) -> object:
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
