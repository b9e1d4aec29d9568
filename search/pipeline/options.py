"""Options of `python -m search`, made complete and checked before any work."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from search.algorithms.recipe import SearchRecipe
from search.algorithms.registry import METHODS, make_search_recipe
from search.errors import UsageError
from search.files import check_file
from search.pipeline.problem import TARGET_OPTIONS, SearchProblem
from search.pipeline.run_folder import check_run
from search.spaces.base import LayeredSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.training.recipe import TrainingRecipe, make_training_recipe

# A trial of the baselines is a short training.
TRIAL_EPOCHS = 3
Number = TypeVar("Number", int, float)
_BASELINES = ("evolution", "random")
_MASKED = "fbnetv2"
# Spaces whose layers are not independent, and the shared weights that know them.
_SEARCHED_BY: dict[type[LayeredSpace], tuple[str, ...]] = {
    MaskedSpace: (_MASKED,),
    SlicedSpace: ("fp-nas", "parsec"),
}


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
    budget: int
    scores: Path | None
    seed: int
    output: Path
    run: Path | None
    retrain: bool
    retrain_epochs: int | None
    resume: bool
    accept_changes: bool
    quiet: bool

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
        if self.algorithm != "exact" or self.retrain:
            check_run(self.folder, self.resume)
        elif self.resume:
            raise UsageError("--algorithm exact has nothing to resume.", "Leave --resume out.")
        if self.algorithm not in METHODS and problem.target is None:
            cost = problem.costs.unit.cost
            raise UsageError(
                f"--algorithm {self.algorithm} needs a {cost} target.",
                f"Give {TARGET_OPTIONS[cost]}.",
            )
        self._check_space(problem)
        if self.algorithm in _BASELINES and problem.probability is not None:
            raise UsageError(
                f"--algorithm {self.algorithm} keeps to predicted latencies alone.",
                "Leave out --probability, or lower --target-ms.",
            )
        if self.retrain_epochs is not None and not self.retrain:
            raise UsageError("--retrain-epochs is of --retrain, which is not given.")

    def _check_space(self, problem: SearchProblem) -> None:
        only = next(
            (names for kind, names in _SEARCHED_BY.items() if isinstance(problem.space, kind)), ()
        )
        if self.algorithm not in METHODS:
            return  # Exact selection and the baselines know every space.
        wrong = self.algorithm not in only if only else self.algorithm == _MASKED
        if wrong:
            remedy = f"Give --algorithm {' or '.join(only)}."
            raise UsageError(
                f"--algorithm {self.algorithm} does not search {problem.space.spec}.",
                remedy if only else "Measure --space fbnetv2-mini.",
            )

    def search_recipe(self) -> SearchRecipe:
        """Recipe of a search with shared weights.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        preset = make_search_recipe(self.algorithm, self.recipe)
        epochs = _given(self.epochs, preset.epochs)
        return replace(
            preset,
            epochs=epochs,
            freeze_epochs=min(preset.freeze_epochs, max(epochs - 1, 0)),
            batch=_given(self.batch, preset.batch),
            classes=self.images.classes,
            weight_rate=_given(self.learning_rate, preset.weight_rate),
        )

    def trial_recipe(self) -> TrainingRecipe:
        """Recipe of one trial of a baseline: a short training.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        epochs = _given(self.epochs, TRIAL_EPOCHS)
        return _changed(make_training_recipe(self.recipe), epochs, self.batch, self.learning_rate)

    def retrain_recipe(self) -> TrainingRecipe:
        """Recipe of the training of the chosen network.

        Raises:
            UsageError: Unknown, or values out of range.
        """
        return _changed(make_training_recipe(self.recipe), self.retrain_epochs, None, None)


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
        return _changed(
            make_training_recipe(self.recipe), self.epochs, self.batch, self.learning_rate
        )


def _changed(
    recipe: TrainingRecipe, epochs: int | None, batch: int | None, learning_rate: float | None
) -> TrainingRecipe:
    """A preset with the user's values; a shorter run warms up for a sixth of it at most."""
    number = _given(epochs, recipe.epochs)
    return replace(
        recipe,
        epochs=number,
        warmup_epochs=min(recipe.warmup_epochs, number / 6),
        batch=_given(batch, recipe.batch),
        learning_rate=_given(learning_rate, recipe.learning_rate),
    )


def _given(value: Number | None, default: Number) -> Number:
    return default if value is None else value
