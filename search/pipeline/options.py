"""Options of `python -m search`, made complete and checked before any work."""

from dataclasses import dataclass, replace
from pathlib import Path

from search.algorithms.recipe import SearchRecipe
from search.algorithms.recipes import open_recipe, search_recipe
from search.algorithms.registry import METHODS
from search.algorithms.zero_cost.recipe import ZERO_COST, ZeroCostRecipe, zero_cost_recipe
from search.errors import UsageError
from search.files import check_file
from search.operators.spec import OperatorSpec
from search.pipeline.networks.truth import read_truth
from search.pipeline.problem import TARGET_OPTIONS, SearchProblem
from search.pipeline.run_folder import check_run
from search.recipes.document import Recipe
from search.spaces.base import Layer, LayeredSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.single_path import are_nested
from search.training.recipe import TrainingRecipe, training_recipe, trial_recipe

_TRIALS = ("evolution", "random")
_MASKED = "fbnetv2"
# Spaces whose layers are not independent, and the shared weights that know them.
_SEARCHED_BY: dict[type[LayeredSpace], tuple[str, ...]] = {
    MaskedSpace: (_MASKED,),
    SlicedSpace: ("fp-nas", "parsec"),
}


def methods_of(space: LayeredSpace) -> tuple[str, ...]:
    """The methods with shared weights that can search a space; all others can search any."""
    for kind, names in _SEARCHED_BY.items():
        if isinstance(space, kind):
            return names
    without = {_MASKED}
    if not all(are_nested(_blocks(layer)) for layer in space.layers):
        without.add("single-path")
    return tuple(name for name in METHODS if name not in without)


def _blocks(layer: Layer) -> list[OperatorSpec]:
    return [choice.operator for choice in layer.choices if not choice.is_skip]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Images to learn from: a source, and how much of it."""

    source: str
    classes: int | None = None
    limit: int | None = None
    train_folder: str | None = None
    val_folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """Options of a search other than those of its problem and of its compute resources."""

    algorithm: str
    images: DataOptions
    recipe: str
    epochs: int | None
    batch: int | None
    learning_rate: float | None
    budget: int | None
    scores: Path | None
    seed: int
    output: Path
    run: Path | None
    retrain: bool
    retrain_epochs: int | None
    resume: bool
    accept_changes: bool
    quiet: bool
    settings: tuple[str, ...] = ()
    truth: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of the run: checkpoints, trace, scores and trials, for --resume."""
        return self.run or self.output.with_suffix(".run")

    @property
    def weights(self) -> Path:
        """File of the retrained network's weights."""
        return self.output.with_suffix(".pt")

    @property
    def result(self) -> Path:
        """File of the search's result."""
        return self.output.with_suffix(".result.json")

    def check(self, problem: SearchProblem) -> None:
        """Refuse what would fail later, or would be ignored.

        Raises:
            UsageError: Files that cannot be written, options that do not go
                together.
        """
        check_file(self.output, "--output", (".json",))
        check_file(self.result, "--output", (".json",))
        if self.retrain:
            check_file(self.weights, "--output", (".pt",))
        if self.retrain or not self._selects_at_once:
            check_run(self.folder, self.resume)
        elif self.resume:
            raise UsageError(
                f"--algorithm {self.algorithm} has nothing to resume here.", "Leave --resume out."
            )
        if self.algorithm not in METHODS and problem.target is None:
            cost = problem.costs.unit.cost
            raise UsageError(
                f"--algorithm {self.algorithm} needs a {cost} target.",
                f"Give {TARGET_OPTIONS[cost]}.",
            )
        self._check_space(problem)
        if self.truth is not None:
            read_truth(self.truth, problem.space)
        self._check_baseline(problem)
        if self.retrain_epochs is not None and not self.retrain:
            raise UsageError("--retrain-epochs is of --retrain, which is not given.")

    @property
    def _selects_at_once(self) -> bool:
        """Nothing is tried one by one, so there is no run to keep."""
        if self.algorithm == ZERO_COST:
            return self.zero_cost_recipe().counts
        return self.algorithm == "exact"

    def _check_baseline(self, problem: SearchProblem) -> None:
        tries = self.algorithm in (*_TRIALS, ZERO_COST) and not self._selects_at_once
        if tries and problem.probability is not None:
            raise UsageError(
                f"--algorithm {self.algorithm} keeps to predicted latencies alone.",
                "Leave out --probability, or lower --target-ms.",
            )
        trains = self.algorithm != ZERO_COST or self.retrain
        if not trains and (self.epochs, self.learning_rate) != (None, None):
            raise UsageError(
                "--algorithm zero-cost trains nothing.", "Leave --epochs and --learning-rate out."
            )

    def _check_space(self, problem: SearchProblem) -> None:
        known = methods_of(problem.space)
        if self.algorithm not in METHODS or self.algorithm in known:
            return  # Exact selection and the baselines know every space.
        nested = self.algorithm == "single-path" and "fbnet" in known
        raise UsageError(
            f"--algorithm {self.algorithm} does not search {problem.space.label}"
            + (", whose candidates are not the parts of one superkernel." if nested else "."),
            f"Give --algorithm {', '.join(known[:-1])} or {known[-1]}."
            if len(known) > 1
            else f"Give --algorithm {known[0]}.",
        )

    def open_recipe(self) -> Recipe:
        """The recipe with what `--set` changes.

        Raises:
            UsageError: Unknown, or some key or value of it is wrong.
        """
        return open_recipe(self.recipe, self.settings, self.algorithm)

    def search_recipe(self) -> SearchRecipe:
        """Recipe of a search with shared weights.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        found = search_recipe(
            self.open_recipe(),
            self.algorithm,
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )
        return replace(found, classes=self.images.classes)

    def trial_recipe(self) -> TrainingRecipe:
        """Recipe of one trial of a baseline: a short training.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        return trial_recipe(
            self.open_recipe(),
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )

    def zero_cost_recipe(self) -> ZeroCostRecipe:
        """Settings of a selection by a score without training.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        return zero_cost_recipe(self.open_recipe(), networks=self.budget, batch=self.batch)

    def retrain_recipe(self) -> TrainingRecipe:
        """Recipe of the training of the chosen network.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        return training_recipe(self.open_recipe(), epochs=self.retrain_epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Options of `python -m search train` other than those of its compute resources."""

    network: str
    images: DataOptions
    recipe: str
    epochs: int | None
    batch: int | None
    learning_rate: float | None
    seed: int
    output: Path
    run: Path | None
    resume: bool
    accept_changes: bool
    quiet: bool
    settings: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Folder of the run; never the default of a search."""
        return self.run or self.output.with_suffix(".train")

    def check(self) -> None:
        """Refuse what would fail later.

        Raises:
            UsageError: Files that cannot be written.
        """
        check_file(self.output, "--output", (".pt", ".pth"))
        check_run(self.folder, self.resume)

    def train_recipe(self) -> TrainingRecipe:
        """Recipe of the training.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        return training_recipe(
            open_recipe(self.recipe, self.settings),
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )
