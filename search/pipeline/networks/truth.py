"""True accuracies of a whole space, from a benchmark: what a search is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from search.costs.base import Costs
from search.documents import read_text, validate_json
from search.errors import UsageError
from search.pipeline.result import TruthRow
from search.spaces.base import LayeredSpace
from search.spaces.nas_bench_macro import NasBenchMacroSpace

_SOURCE = "Take nas-bench-macro_cifar10.json of the authors (xiusu/NAS-Bench-Macro)."


class _Row(BaseModel):
    """One network: accuracies in percent, of each training and their mean."""

    model_config = ConfigDict(extra="ignore")

    mean_acc: float = Field(ge=0, le=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Mean accuracies (shares) of networks of a space, (networks, layers) and (networks,)."""

    origin: str
    choices: npt.NDArray[np.int64]
    accuracies: npt.NDArray[np.float64]

    def of(self, found: Sequence[int], costs: Costs, most: float | None) -> TruthRow:
        """The accuracy of a network, and what it lacks to the best within the same limit.

        Args:
            found: Its choices.
            costs: Of the space, under all limits of the search.
            most: The most that they may be; None for no limit.
        """
        own = float(self.accuracies[(self.choices == np.array(found)).all(axis=1)][0])
        within = np.ones(len(self.choices), dtype=bool)
        if most is not None:
            within = costs.cost_of(self.choices) <= most
        best = max(own, float(self.accuracies[within].max(initial=0.0)))
        return TruthRow(
            benchmark=self.origin,
            accuracy=own,
            best=best,
            regret=best - own,
            networks=int(within.sum()),
        )


def read_truth(path: Path, space: LayeredSpace) -> Truth:
    """The accuracies of NAS-Bench-Macro, from its JSON file.

    They are those of trainings at 32x32; a search on smaller images looks for the same networks.

    Raises:
        UsageError: Another space, a file that cannot be read, or one that does not hold every
            network of the space.
    """
    if not isinstance(space, NasBenchMacroSpace) or space.width != 1.0:
        raise UsageError(
            f"--truth knows the networks of nas-bench-macro, not those of {space.label}.",
            "Search --space nas-bench-macro, or a table of it.",
        )
    try:
        rows = validate_json(read_text(path), TypeAdapter(dict[str, _Row]))
    except ValueError as error:
        raise UsageError(f"{path} is no NAS-Bench-Macro file: {error}.", _SOURCE) from error
    layers, widths = len(space.layers), [len(layer.choices) for layer in space.layers]
    every = ["".join(map(str, choices)) for choices in np.ndindex(*widths)]
    missing = [name for name in every if name not in rows]
    if missing or len(rows) != len(every):
        raise UsageError(
            f"{path} holds {len(rows)} networks; the space has {len(every)}"
            + (f", of which {missing[0]} is missing." if missing else "."),
            _SOURCE,
        )
    choices = np.array([[int(digit) for digit in name] for name in every]).reshape(-1, layers)
    accuracies = np.array([rows[name].mean_acc / 100 for name in every])
    return Truth(origin=path.name, choices=choices, accuracies=accuracies)
