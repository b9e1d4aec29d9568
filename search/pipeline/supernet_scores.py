"""Scores of a trained supernet, measured once and valid for any table of its space.

Networks are drawn so that every candidate of a layer appears equally often,
each is judged with its inherited weights after batch norm recalibration, and
an additive model of the cross entropy is fitted to them: a score a candidate,
which is what exact selection needs. Networks left out of the fit show how far
such a sum can be trusted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from scipy.stats import spearmanr
from torch import Tensor

from search.algorithms.averages import settled
from search.algorithms.registry import load_supernet_class
from search.console.progress import Progress
from search.data.base import ImageSet
from search.data.split import split_indices
from search.documents import validate_json
from search.errors import UsageError
from search.files import sha256_bytes
from search.pipeline.images import RunImages
from search.pipeline.networks.inherited import Shared, inherited_entropy
from search.pipeline.networks.pooling import pool
from search.pipeline.options import DataOptions
from search.selection.scores import Scores, read_scores, write_scores
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.values import Count
from search.training.batches import identify_images
from search.training.run.checkpoint import parse_checkpoint
from search.training.settings import RunIdentity

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SCORES = "supernet-scores.json"
_PREFIX = "supernet."
# Pulls a candidate that few networks hold towards the mean of its layer.
_RIDGE = 0.1
_LEFT_OUT = 0.2
# Networks judged for each free parameter of the additive model.
_NETWORKS_EACH = 4


class _Recipe(BaseModel):
    model_config = ConfigDict(extra="ignore")

    weight_share: Annotated[float, Field(gt=0, lt=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore")

    seed: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSupernet:
    """Shared weights from the checkpoint of a search, and what they were trained on."""

    weights: Shared
    space: LayeredSpace
    identity: RunIdentity
    sha256: str


def load_supernet(folder: Path) -> TrainedSupernet:
    """The shared weights of a finished (or interrupted) search.

    Raises:
        UsageError: No checkpoint of a search with shared weights.
    """
    path = folder / "last.pt" if folder.is_dir() else folder
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"Cannot read the supernet {path}: {error.strerror or error}.",
            "Give --supernet the folder of a search's run (<output>.run).",
        ) from error
    checkpoint = parse_checkpoint(content, str(path))
    space = parse_space(checkpoint.identity.space)
    weights = load_supernet_class(checkpoint.identity.algorithm)(space)
    try:
        weights.load_state_dict(settled(checkpoint.module, _PREFIX))
    except RuntimeError as error:
        raise UsageError(
            f"{path} does not hold weights of {space.label}.",
            "Give --supernet the folder of a search in that space.",
        ) from error
    return TrainedSupernet(
        weights=cast(Shared, weights),
        space=space,
        identity=checkpoint.identity,
        sha256=sha256_bytes(content),
    )


def split_of(supernet: TrainedSupernet, images: ImageSet) -> tuple[Tensor, Tensor]:
    """Images that trained the weights, and images that trained none of them.

    Raises:
        UsageError: Not the images of the search.
    """
    if identify_images(images) != supernet.identity.data:
        raise UsageError(
            f"These are not the images of the search ({supernet.identity.data}).",
            "Give the same --data, --classes, --limit and --seed as the search.",
        )
    share, seed = _split(supernet.identity)
    train_indices, validation_indices = split_indices(images.labels, (share, 1 - share), seed)
    return train_indices, validation_indices


def _split(identity: RunIdentity) -> tuple[float, int]:
    """The share of the images that trained the weights, and the seed that drew them."""
    try:
        recipe = validate_json(identity.recipe, TypeAdapter(_Recipe))
        settings = validate_json(identity.settings, TypeAdapter(_Settings))
    except ValueError as error:
        raise UsageError(
            f"The checkpoint does not say how its images were split: {error}.",
            "Give --supernet the folder of a search's run (<output>.run).",
        ) from error
    return recipe.weight_share, settings.seed


def networks_for(widths: Sequence[int]) -> int:
    """As many networks as the additive model of so many candidates needs."""
    return _NETWORKS_EACH * (sum(widths) - len(widths) + 1)


def draw_balanced(widths: Sequence[int], number: int, seed: int) -> IntArray:
    """(number, layers) networks in which a layer's candidates appear equally often, to one."""
    generator = np.random.default_rng(seed)
    columns = [
        generator.permutation(np.resize(generator.permutation(width), number)) for width in widths
    ]
    return np.stack(columns, axis=1)


def evaluate_networks(
    supernet: TrainedSupernet,
    networks: IntArray,
    images: ImageSet,
    train_indices: Tensor,
    validation_indices: Tensor,
    on_progress: Callable[[int], None],
) -> Array:
    """(networks,) cross entropies with inherited weights.

    Args:
        supernet: Of the networks' space.
        networks: (networks, layers) choices.
        images: Training images of the search.
        train_indices: Those that trained the weights; batch norm is estimated on some.
        validation_indices: Those to judge on.
        on_progress: Called with the number of networks that are judged.
    """
    entropies = []
    for number, choices in enumerate(networks.tolist(), 1):
        entropies.append(
            inherited_entropy(supernet.weights, choices, images, train_indices, validation_indices)
        )
        on_progress(number)
    return np.array(entropies)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveFit:
    """Scores fitted to measured networks, and their rank correlation on others."""

    scores: Scores
    spearman: float


def fit_additive_scores(
    networks: IntArray, entropies: Array, space: LayeredSpace, origin: str, pooled: float = 0.0
) -> AdditiveFit:
    """Additive scores: minus each candidate's share in the cross entropy.

    The correlation is that of a fit to the first four fifths on the last
    fifth; the scores are fitted to all. With `pooled`, each is moved by that share
    towards what candidates of its name are worth in all layers.

    Raises:
        UsageError: Too few networks to leave some out.
    """
    names = [[choice.name for choice in layer.choices] for layer in space.layers]
    widths = [len(row) for row in names]
    fitted = len(networks) - round(_LEFT_OUT * len(networks))
    if len(networks) - fitted < 3:
        raise UsageError("Scores need at least 15 networks.", "Raise --networks.")
    trial = pool(_solve(networks[:fitted], entropies[:fitted], widths), names, pooled)
    predicted = trial[np.arange(len(widths)), networks[fitted:]].sum(axis=1)
    spearman = float(spearmanr(predicted, -entropies[fitted:]).statistic)
    values = pool(_solve(networks, entropies, widths), names, pooled)
    description = (
        f"{origin}; additive fit of {len(networks)} networks, rank correlation {spearman:.3f} "
        f"on the {len(networks) - fitted} left out of a fit to the others"
    )
    return AdditiveFit(
        scores=Scores(values=values, space=space.spec, origin=description), spearman=spearman
    )


def _solve(networks: IntArray, entropies: Array, widths: Sequence[int]) -> Array:
    """Ridge regression on candidates; (layers, widest), -inf where there is none."""
    starts = np.cumsum([0, *widths])
    hot = np.zeros((len(networks), starts[-1]))
    np.put_along_axis(hot, networks + starts[:-1], 1.0, axis=1)
    hot -= hot.mean(axis=0)
    target = entropies.mean() - entropies
    shares = np.linalg.solve(hot.T @ hot + _RIDGE * np.eye(hot.shape[1]), hot.T @ target)
    values = np.full((len(widths), max(widths)), -np.inf)
    for layer, width in enumerate(widths):
        values[layer, :width] = shares[starts[layer] : starts[layer] + width]
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Options of scoring a supernet.

    Attributes:
        images: Those of the search.
        networks: How many to judge; None takes four a candidate.
        seed: Of the search's choice of images, and of the networks drawn.
        rescore: Judge networks again although the folder of the search holds scores.
    """

    images: DataOptions
    networks: int | None = None
    seed: int = 0
    rescore: bool = False


def scores_of(folder: Path, scoring: Scoring, progress: Progress) -> Scores:
    """The supernet's scores: kept ones where they are of this checkpoint, else measured.

    Raises:
        UsageError: No supernet, or other images than those of its search.
    """
    supernet = load_supernet(folder)
    path = (folder if folder.is_dir() else folder.parent) / SCORES
    mark = f"checkpoint {supernet.sha256[:16]}"
    if path.exists() and not scoring.rescore:
        scores = read_scores(path, supernet.space)
        if mark in scores.origin:
            progress.say(f"scores of {path}: {scores.origin}")
            return scores
    scores = _measure(supernet, scoring, progress, mark)
    write_scores(scores, path)
    return scores


def _measure(supernet: TrainedSupernet, scoring: Scoring, progress: Progress, mark: str) -> Scores:
    space = supernet.space
    images = RunImages(scoring.images, scoring.seed).at(space.before[0].height).train
    train_indices, validation_indices = split_of(supernet, images)
    widths = [len(layer.choices) for layer in space.layers]
    number = scoring.networks or networks_for(widths)
    networks = draw_balanced(widths, number, scoring.seed)
    judged = f"{number} networks on {len(validation_indices)} images"
    progress.stage("networks judged", number, opening=f"judging {judged}, once for all tables")

    def on_progress(done: int) -> None:
        progress.advance()
        if done % 10 == 0 or done == number:
            progress.milestone(f"{done} of {number} networks judged")

    entropies = evaluate_networks(
        supernet, networks, images, train_indices, validation_indices, on_progress
    )
    progress.end_stage()
    fit = fit_additive_scores(
        networks, entropies, space, f"{supernet.identity.algorithm} supernet, {mark}"
    )
    progress.say(fit.scores.origin)
    return fit.scores
