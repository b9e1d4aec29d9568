"""Scores of a trained supernet, measured once and good for any table of its space.

Networks are drawn so that every candidate of a layer appears equally often,
each is judged with its inherited weights after batch norm recalibration, and
an additive model of the cross entropy is fitted to them: a score a candidate,
which is what exact selection needs. Networks left out of the fit say how far
such a sum can be trusted.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from search.algorithms.registry import load_weights
from search.data.base import ImageSet
from search.data.open import open_data
from search.data.split import split_indices
from search.errors import UsageError
from search.files import sha256_bytes
from search.pipeline.inherited import Shared, inherited_entropy
from search.pipeline.options import DataOptions
from search.selection.scores import Scores, read_scores, write_scores
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.training.batches import identify_images
from search.training.checkpoint import parse_checkpoint
from search.training.progress import Observer
from search.training.settings import RunIdentity

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_PREFIX = "supernet."
# Pulls a candidate that few networks hold towards the mean of its layer.
_RIDGE = 0.1
_LEFT_OUT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSupernet:
    """Shared weights from the checkpoint of a search, and what they rest on."""

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
    weights = load_weights(checkpoint.identity.algorithm)(space)
    state = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in checkpoint.module.items()
        if name.startswith(_PREFIX)
    }
    try:
        weights.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"{path} does not hold weights of {space.spec}: {error}") from error
    return TrainedSupernet(
        weights=cast(Shared, weights),
        space=space,
        identity=checkpoint.identity,
        sha256=sha256_bytes(content),
    )


def split_of(trained: TrainedSupernet, images: ImageSet) -> tuple[Tensor, Tensor]:
    """Images that trained the weights, and images that trained none of them.

    Raises:
        UsageError: Not the images of the search.
    """
    if identify_images(images) != trained.identity.data:
        raise UsageError(
            f"These are not the images of the search ({trained.identity.data}).",
            "Give the same --data, --classes, --limit and --seed as the search.",
        )
    share = float(json.loads(trained.identity.recipe)["weight_share"])
    seed = int(json.loads(trained.identity.settings)["seed"])
    learnt, held = split_indices(images.labels, (share, 1 - share), seed)
    return learnt, held


def draw_balanced(widths: Sequence[int], number: int, seed: int) -> IntArray:
    """(number, layers) networks in which a layer's candidates appear equally often, to one."""
    generator = np.random.default_rng(seed)
    columns = [
        generator.permutation(np.resize(generator.permutation(width), number)) for width in widths
    ]
    return np.stack(columns, axis=1)


def evaluate_networks(
    trained: TrainedSupernet,
    networks: IntArray,
    images: ImageSet,
    learnt: Tensor,
    held: Tensor,
    told: Callable[[int], None],
) -> Array:
    """Cross entropy of each network on `held`, batch norm estimated on some of `learnt`."""
    found = []
    for number, choices in enumerate(networks.tolist(), 1):
        found.append(inherited_entropy(trained.weights, choices, images, learnt, held))
        told(number)
    return np.array(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveFit:
    """Scores fitted to measured networks, and their rank correlation on others."""

    scores: Scores
    spearman: float


def fit_additive_scores(
    networks: IntArray, entropies: Array, space: LayeredSpace, origin: str
) -> AdditiveFit:
    """Additive scores: minus each candidate's share in the cross entropy.

    The correlation is that of a fit to the first four fifths on the last
    fifth; the scores are fitted to all.

    Raises:
        UsageError: Too few networks to leave some out.
    """
    widths = [len(layer.choices) for layer in space.layers]
    kept = len(networks) - round(_LEFT_OUT * len(networks))
    if len(networks) - kept < 3:
        raise UsageError("Scores need at least 15 networks.", "Raise --networks.")
    trial = _solve(networks[:kept], entropies[:kept], widths)
    said = trial[np.arange(len(widths)), networks[kept:]].sum(axis=1)
    spearman = _rank_correlation(said, -entropies[kept:])
    values = _solve(networks, entropies, widths)
    told = (
        f"{origin}; additive fit of {len(networks)} networks, rank correlation {spearman:.3f} "
        f"on the {len(networks) - kept} left out of a fit to the others"
    )
    return AdditiveFit(
        scores=Scores(values=values, space=space.spec, origin=told), spearman=spearman
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


def _rank_correlation(one: Array, other: Array) -> float:
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def for_space(scores: Scores, space: LayeredSpace) -> Scores:
    """The same scores for a table of another dtype or batch: quality is the network's own.

    Raises:
        UsageError: Another space.
    """
    if scores.space == space.spec:
        return scores
    if _shapes(parse_space(scores.space)) != _shapes(space):
        raise UsageError(
            f"These scores belong to the space {scores.space}, not to {space.spec}.",
            "Use a table of the supernet's space.",
        )
    return Scores(values=scores.values, space=space.spec, origin=scores.origin)


def _shapes(space: LayeredSpace) -> list[str]:
    """Keys without batch and dtype, which end them."""
    operators = (choice.operator for layer in space.layers for choice in layer.choices)
    every = (*space.before, *operators, *space.after)
    return [operator.key.rsplit("_", 2)[0] for operator in every]


SCORES = "supernet-scores.json"


# Networks a free parameter of the additive model.
_NETWORKS_EACH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How a supernet is scored.

    Attributes:
        images: Those of the search.
        networks: How many to judge; None takes four a candidate.
        seed: Of the search's choice of images, and of the networks drawn.
        anew: Although the folder of the search holds scores already.
    """

    images: DataOptions
    networks: int | None = None
    seed: int = 0
    anew: bool = False


def scores_of(folder: Path, scoring: Scoring, observer: Observer) -> Scores:
    """The supernet's scores: kept ones where they are of this checkpoint, else measured.

    Raises:
        UsageError: No supernet, or other images than those of its search.
    """
    trained = load_supernet(folder)
    kept = (folder if folder.is_dir() else folder.parent) / SCORES
    mark = f"checkpoint {trained.sha256[:16]}"
    if kept.exists() and not scoring.anew:
        found = read_scores(kept, trained.space)
        if mark in found.origin:
            observer.notice(f"scores of {kept}: {found.origin}")
            return found
    found = _measure(trained, scoring, observer, mark)
    write_scores(found, kept)
    return found


def _measure(trained: TrainedSupernet, scoring: Scoring, observer: Observer, mark: str) -> Scores:
    space = trained.space
    data = open_data(
        scoring.images.source,
        resolution=space.before[0].height,
        classes=scoring.images.classes,
        limit=scoring.images.limit,
        seed=scoring.seed,
    )
    learnt, held = split_of(trained, data.train)
    widths = [len(layer.choices) for layer in space.layers]
    number = scoring.networks or _NETWORKS_EACH * (sum(widths) - len(widths) + 1)
    networks = draw_balanced(widths, number, scoring.seed)
    observer.notice(f"judging {number} networks on {len(held)} images, once for all tables")

    def told(done: int) -> None:
        if done % 10 == 0 or done == number:
            observer.notice(f"{done} of {number} networks judged")

    entropies = evaluate_networks(trained, networks, data.train, learnt, held, told)
    found = fit_additive_scores(
        networks, entropies, space, f"{trained.identity.algorithm} supernet, {mark}"
    )
    observer.notice(found.scores.origin)
    return found.scores
