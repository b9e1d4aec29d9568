"""A planted width: real training, a known optimum, for methods that search channels.

Each image holds three hidden signs, one in the mean of each colour plane, deep
under the noise of the pixels; the class is their combination (of eight). No
few pixels tell a sign, so all three must pass every layer and be averaged
behind it: a stage of one channel garbles them, five channels are enough, and
nine are no better. One device runs five channels fast in the first stage and
nine in the second, the other the reverse (as kernels like some widths better
than others), so exactly one network is both able and fast, and the tables
differ in which.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from search.costs.factors import Factor, FactorCosts
from search.spaces.fbnetv2.macros import MaskedMacro, MaskedStage
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.preset import Macro

SIZE, SIGNS = 16, 3
SIGNAL = 0.16
TARGET_US = 260.0
# Costs of 1, 5 and 9 channels, in the first stage and in the second.
TABLES = {
    "A": ((100.0, 120.0, 300.0), (100.0, 300.0, 120.0)),
    "B": ((100.0, 300.0, 120.0), (100.0, 120.0, 300.0)),
}
OPTIMA = {"A": (1, 2), "B": (2, 1)}
_WIDTHS = (1, 9, 4)
_FRAME = Macro(16, 2, (), 32, SIZE, 2**SIGNS)
_STAGES = (MaskedStage(_WIDTHS, (1, 1, 1), 1, 1), MaskedStage(_WIDTHS, (2, 2, 1), 1, 1))


@dataclass(frozen=True, kw_only=True)
class PlantedWidths(MaskedSpace):
    """Two stages of one block, each of 1, 5 or 9 channels; nothing else is searched."""

    presets: ClassVar[Mapping[str, Macro]] = {"planted-widths": _FRAME}
    preset: str = "planted-widths"

    @property
    def macro(self) -> MaskedMacro:
        """The frame above."""
        return MaskedMacro(_FRAME, _STAGES, ("k1_relu",), SIZE, 1.0)


SPACE = PlantedWidths()
WIDTHS = tuple(n for n, variable in enumerate(SPACE.layers) if variable.name.endswith(".width"))


def costs(table: str) -> FactorCosts:
    """The latencies of one device."""
    factors = tuple(
        Factor(variables=(variable,), values=np.array(us))
        for variable, us in zip(WIDTHS, TABLES[table], strict=True)
    )
    widths = tuple(len(variable.choices) for variable in SPACE.layers)
    return FactorCosts(widths=widths, fixed=0.0, factors=factors)


def choices_of(widths: tuple[int, ...]) -> tuple[int, ...]:
    """The network with these options of the two widths."""
    picked = dict(zip(WIDTHS, widths, strict=True))
    return tuple(picked.get(variable, 0) for variable in range(len(SPACE.layers)))


def images(
    number: int, generator: torch.Generator, *, mislabelled: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Images (number, 3, 8, 8) and labels of eight classes.

    Wrong labels keep the cross entropy above 0: without them nothing of the
    latency's gradient would be left once the network is good.
    """
    signs = torch.randint(0, 2, (number, SIGNS), generator=generator)
    noise = torch.randn(number, SIGNS, SIZE, SIZE, generator=generator)
    x = noise + SIGNAL * (signs * 2.0 - 1)[:, :, None, None]
    labels = (signs * 2 ** torch.arange(SIGNS)).sum(1)
    others = torch.randint(0, 2**SIGNS, (number,), generator=generator)
    wrong = torch.rand(number, generator=generator) < mislabelled
    return x, torch.where(wrong, others, labels)
