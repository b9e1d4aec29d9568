"""Indicators of superkernels and candidates: decoding, and the runtime of indicators.

Single-Path NAS (arXiv 1904.02877), equations 4 and 5. Indicators are (kernel,
skip gate, expand) as in `search.supernets.superkernel`; R[k, e] is the cost of
kernel k and expansion e of a layer.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from search.algorithms.expected_cost import LargestShare, expected_cost_of
from search.algorithms.single_path.recipe import FORMULAS
from search.costs.base import Costs
from search.costs.chain import ChainCosts
from search.costs.joint import JointCosts
from search.costs.matrix import CostMatrix
from search.costs.pairs import independent_costs
from search.errors import UsageError
from search.operators.words import space_label
from search.spaces.base import Layer, SearchSpace

_SKIP = (0, 0, 0)


def gates_of_candidate(layer: Layer) -> tuple[tuple[int, int, int], ...]:
    """Indicators of each candidate; a layer's only kernel or expansion counts as the larger."""
    blocks = [choice.operator for choice in layer.choices if not choice.is_skip]
    kernel = max(block.kernel for block in blocks)
    expansion = max(block.expansion for block in blocks)
    return tuple(
        _SKIP
        if choice.is_skip
        else (int(choice.operator.kernel == kernel), 1, int(choice.operator.expansion == expansion))
        for choice in layer.choices
    )


def candidates_of_gates(space: SearchSpace, gates: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """The candidate of each layer's indicators: a skip gate of 0 is a skip whatever the others.

    Raises:
        UsageError: A layer has no such candidate.
    """
    choices = []
    for layer, row in zip(space.layers, gates, strict=True):
        kernel, skip_gate, expand = (int(gate > 0) for gate in row)
        code = (kernel, 1, expand) if skip_gate else _SKIP
        codes = gates_of_candidate(layer)
        if code not in codes:
            raise UsageError(f"Layer {layer.name} has no candidate of the indicators {code}.")
        choices.append(codes.index(code))
    return tuple(choices)


class RuntimeModel(nn.Module):
    """The cost of indicators, in the unit of the costs.

    "paper" is equations 4 and 5: exact for three of the four blocks, the
    smallest is predicted as R[5, 3] R[3, 6] / R[5, 6]. "exact" is bilinear in
    kernel and expansion over all four.

    Attributes:
        costs: (layers, 2, 2) float64, by kernel (small, large) and expansion.
        fixed: The cost that every network has.

    Raises:
        UsageError: Unknown formula, costs that are not positive, or a skip
            that costs something.
    """

    costs: Tensor

    def __init__(self, costs: npt.ArrayLike, fixed: float, *, formula: str = "paper") -> None:
        super().__init__()
        if formula not in FORMULAS:
            raise UsageError(f"Unknown formula {formula!r}.", f"Known: {', '.join(FORMULAS)}.")
        values = np.asarray(costs, dtype=np.float64)
        if not (values > 0).all():
            raise UsageError(
                "Superkernels need positive costs of all blocks.",
                "Use a calibration of positive slopes, or measure the table again.",
            )
        self.register_buffer("costs", torch.from_numpy(values), persistent=False)
        self.fixed, self.formula = fixed, formula

    def forward(self, gates: Tensor) -> Tensor:
        """Cost of (layers, 3) indicators, a float64 scalar."""
        return self.by_layer(gates).sum() + self.fixed

    def by_layer(self, gates: Tensor) -> Tensor:
        """(layers,) costs."""
        kernel, skip_gate, expand = gates.double().unbind(1)
        first, second = self.costs[:, 0], self.costs[:, 1]
        if self.formula == "exact":
            narrow, wide = (first[:, e] + kernel * (second[:, e] - first[:, e]) for e in (0, 1))
            return skip_gate * (narrow + expand * (wide - narrow))
        large = skip_gate * (second[:, 0] + expand * (second[:, 1] - second[:, 0]))
        ratio = first[:, 1] / second[:, 1]
        return large * ratio + large * (1 - ratio) * kernel


def runtime_of(space: SearchSpace, matrix: CostMatrix, formula: str) -> RuntimeModel:
    """The runtime model of a space by a table's costs.

    Raises:
        UsageError: As `RuntimeModel`; a skip with a cost.
    """
    costs = np.empty((len(space.layers), 2, 2))
    for layer, row, corner in zip(space.layers, matrix.costs, costs, strict=True):
        known = {}
        for gates, cost in zip(gates_of_candidate(layer), row, strict=False):
            if gates == _SKIP and cost != 0:
                raise UsageError(
                    f"A skip of layer {layer.name} costs {cost:g} {matrix.unit}, not nothing."
                )
            known[gates] = cost
        for kernel in (0, 1):
            for expand in (0, 1):
                corner[kernel, expand] = _corner(known, kernel, expand)
    return RuntimeModel(costs, matrix.fixed, formula=formula)


def runtime_model_of(space: SearchSpace, costs: Costs, formula: str) -> nn.Module:
    """The runtime model by any costs of independent layers, of one kind or under several limits.

    What neighbouring layers cost together is left out: the formula is that of the paper. The
    network found is priced with it.

    Raises:
        UsageError: As `runtime_of`; the layers are not independent.
    """
    if isinstance(costs, JointCosts):
        return LargestShare(costs, lambda part: runtime_model_of(space, part, formula))
    if isinstance(costs, ChainCosts):  # the peak of memory, which is no sum over layers
        return ExpectedOfIndicators(space, costs)
    return runtime_of(space, independent_costs(costs, space_label(space.spec)), formula)


class ExpectedOfIndicators(nn.Module):
    """Any costs of indicators: the mean under independent ones, exact for those of a network."""

    codes: Tensor

    def __init__(self, space: SearchSpace, costs: Costs) -> None:
        super().__init__()
        widest = max(len(layer.choices) for layer in space.layers)
        codes = np.full((len(space.layers), widest, 3), -1)
        for own, layer in zip(codes, space.layers, strict=True):
            own[: len(layer.choices)] = gates_of_candidate(layer)
        self.register_buffer("codes", torch.from_numpy(codes), persistent=False)
        self.expected = expected_cost_of(costs)

    def forward(self, gates: Tensor) -> Tensor:
        """Cost of (layers, 3) indicators, a float64 scalar."""
        return self.expected(self.weights(gates))  # type: ignore[no-any-return]

    def weights(self, gates: Tensor) -> Tensor:
        """(layers, widest) probabilities of the candidates."""
        of = gates.double()[:, None, :]
        likely = torch.where(self.codes == 1, of, 1 - of)
        kernel, block, expand = likely.unbind(2)
        # What a layer has one of is certain; a skip has neither kernel nor expansion.
        one_kernel = (self.codes[..., 0] != 0) | (self.codes[..., 1] != 1)
        one_expansion = (self.codes[..., 2] != 0) | (self.codes[..., 1] != 1)
        kernel = torch.where(one_kernel.all(1, keepdim=True), 1.0, kernel)
        expand = torch.where(one_expansion.all(1, keepdim=True), 1.0, expand)
        skip = (self.codes == 0).all(2)
        weights = torch.where(skip, block, kernel * block * expand)
        return torch.where(self.codes[..., 1] >= 0, weights, 0.0)


def _corner(known: dict[tuple[int, int, int], float], kernel: int, expand: int) -> float:
    """A block's cost; where a layer has one kernel or expansion, that of the one."""
    for code in ((kernel, 1, expand), (kernel, 1, 1), (1, 1, expand), (1, 1, 1)):
        if code in known:
            return known[code]
    raise UsageError("A layer without blocks has no runtime.")
