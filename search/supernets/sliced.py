"""One supernet of many widths that runs a single network at its own size.

FP-NAS (arXiv 2011.10949), section 4: blocks of one kernel, activation and
number of splits share weights among all channels and expansions; those of
different kinds share nothing. A network uses the leading channels of the
largest block, as FBNetV2's masks do, but as slices: what is not in the network
is neither computed nor kept, so a step needs the memory of one network.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint as run_recomputed

from search.errors import UsageError
from search.operators.modules import build_operator
from search.operators.spec import OperatorSpec
from search.spaces.fp_nas.space import SlicedSpace, is_bypass
from search.supernets.base import legal_mask, one_hot
from search.supernets.batch_norm import batch_norms, freeze_statistics
from search.training.compute.sync_batch_norm import SharedBatchNorm, convert_sync_batchnorm


def kind_of(operator: OperatorSpec) -> str:
    """Blocks of one kind share weights."""
    splits = operator.splits if operator.squeeze_channels else 0
    return f"k{operator.kernel}_{operator.activation}_{splits}"


class SlicedSupernet(nn.Module):
    """All networks of a sliced space with shared weights.

    In training mode batch norm normalises by the batch and gathers nothing;
    `derive` a network and recalibrate that before judging it.

    Attributes:
        before, after: Fixed modules, at the widest.
        layers: For each layer and kind, its blocks at the widest.
    """

    def __init__(self, space: SlicedSpace, *, recompute: bool = False) -> None:
        super().__init__()
        self.space, self.recompute = space, recompute
        self.widths: tuple[int, ...] = tuple(legal_mask(space).sum(1).tolist())
        self.before = nn.Sequential(*map(build_operator, space.before))
        self.layers = nn.ModuleList(self._layer(number) for number in range(len(space.layers)))
        self.after = nn.Sequential(*map(build_operator, space.after))
        self._small: dict[str, nn.Module] = {}
        freeze_statistics(batch_norms([self]))

    def _layer(self, number: int) -> nn.ModuleDict:
        widest: dict[str, tuple[OperatorSpec, ...]] = {}
        into = self.space.groups[number].inputs[-1]
        for choice, shown in enumerate(self.space.layers[number].choices):
            if not is_bypass(
                shown.operator
            ):  # expansions and channels rise: the last one is the largest
                widest[kind_of(shown.operator)] = self.space.blocks(number, choice, into)
        if (bypass := self.space.largest_bypass(number)) is not None:
            widest[kind_of(bypass)] = (bypass,)
        return nn.ModuleDict(
            {kind: nn.ModuleList(map(build_operator, blocks)) for kind, blocks in widest.items()}
        )

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """Images to logits of one network.

        Args:
            images: (batch, channels, height, width).
            weights: (layers, widest), one-hot.

        Raises:
            UsageError: Weights of another shape, or not one-hot.
        """
        x: Tensor = self.before(images)
        for large, operator in self._pairs(self._choices(weights)):
            x = self._run(large, operator, x)
        return x

    def _choices(self, weights: Tensor) -> list[int]:
        choices: list[int] = weights.detach().argmax(1).tolist()
        if weights.shape != (len(self.widths), max(self.widths)) or not torch.equal(
            weights.detach().cpu(), self.one_hot(choices)
        ):
            raise UsageError("Weights of sliced networks must be one-hot.")
        return choices

    def _pairs(self, choices: Sequence[int]) -> Iterator[tuple[nn.Module, OperatorSpec]]:
        """Modules at the widest, each with the operator that the network takes of it."""
        *parts, tail = self.space.path(choices)
        for layer, operators in zip(self.layers, parts, strict=True):
            for number, operator in enumerate(operators):
                if operator.kind != "skip":
                    yield layer[kind_of(operator)][number], operator  # type: ignore[index]
        yield from zip(self.after, tail, strict=True)

    def _run(self, large: nn.Module, operator: OperatorSpec, x: Tensor) -> Tensor:
        small = self._shape_of(operator, large)
        small.train(self.training)

        def run(y: Tensor) -> Tensor:
            output: Tensor = functional_call(small, _leading(large, small), (y,))
            return output

        if self.recompute and torch.is_grad_enabled():
            output: Tensor = run_recomputed(run, x, use_reentrant=False)
            return output
        return run(x)

    def _shape_of(self, operator: OperatorSpec, large: nn.Module) -> nn.Module:
        """The module of an operator without weights of its own."""
        if operator.key not in self._small:
            with torch.device("meta"):
                small = build_operator(operator)
            freeze_statistics(batch_norms([small]))
            if any(isinstance(norm, SharedBatchNorm) for norm in batch_norms([large])):
                small = convert_sync_batchnorm(small)
            self._small[operator.key] = small
        return self._small[operator.key]

    def one_hot(self, choices: Sequence[int]) -> Tensor:
        """(layers, widest) weights of one network.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        self.space.path(choices)
        return one_hot(choices, self.widths)

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights; child `i` is operator `i`.

        Its state dict is laid out as that of `search.operators.modules.build_network`.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        large = iter(self._pairs(choices))
        device = next(self.parameters()).device
        parts = [
            _copy(module, spec) for module, spec in zip(self.before, self.space.before, strict=True)
        ]
        for operators in self.space.path(choices):
            for operator in operators:
                if operator.kind == "skip":
                    parts.append(build_operator(operator))
                else:
                    parts.append(_copy(*next(large)))
        return nn.Sequential(*parts).to(device).requires_grad_(True)

    def compile(self, *_: Any, **__: Any) -> None:
        """Refused: every width would be compiled on its own.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"Networks of {self.space.label} come in too many shapes to be compiled.",
            "Leave out --compile.",
        )


def _leading(large: nn.Module, small: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of `large`, cut to the shapes of `small`."""
    source = dict((*large.named_parameters(), *large.named_buffers()))
    return {
        name: source[name][tuple(slice(0, length) for length in tensor.shape)]
        for name, tensor in (*small.named_parameters(), *small.named_buffers())
    }


def _copy(large: nn.Module, operator: OperatorSpec) -> nn.Module:
    small = build_operator(operator)
    small.load_state_dict({k: v.detach().cpu() for k, v in _leading(large, small).items()})
    for norm in batch_norms([small]):
        assert isinstance(norm, _BatchNorm)
        norm.track_running_stats = True
    return small
