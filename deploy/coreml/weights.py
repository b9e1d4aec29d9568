"""Weights of a saved program against the module's own, one by one.

An output hides a fault in one channel of a quantised weight among its
rounding; the weights themselves do not.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from deploy.coreml.interpreter import OPERATIONS
from deploy.coreml.program import Function
from search.console.messages import counted
from search.errors import ExportError

# 16-bit floats keep 11 bits; quantised weights lie within half a step of 1/127 of the
# channel's largest, whose scale is a 16-bit float itself.
_ROUNDING = 2.0**-11
_STEP = 0.5 / 127 + 2 * _ROUNDING


def module_weights(module: nn.Module) -> list[Tensor]:
    """Copies of the weights of all convolutions and linear layers."""
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    return [layer.weight.detach().clone() for layer in layers]


def check_weights(function: Function, wanted: Sequence[Tensor], *, quantised: bool) -> None:
    """Check that the function's weights are the module's, each of them used once.

    Raises:
        ExportError: A weight that the module does not have, or one that is missing.
    """
    left = list(wanted)
    for name, weight in _stored(function):
        errors = [_error(weight, one, quantised=quantised) for one in left]
        best = min(range(len(errors)), key=errors.__getitem__, default=None)
        if best is None or errors[best] > 1:
            raise ExportError(
                f"The weight of {name} is none of the module's.",
                "Report this operator with the versions of torch and coremltools.",
            )
        left.pop(best)
    if left:
        raise ExportError(f"{counted(len(left), 'weight')} of the module not in the package.")


def _stored(function: Function) -> Iterator[tuple[str, Tensor]]:
    constants = dict(function.constants)
    for op in function.operations:
        if op.kind.startswith("constexpr_"):
            arguments = {word: constants[names[0]] for word, names in op.arguments.items() if names}
            constants[op.outputs[0][0]] = OPERATIONS[op.kind]({**op.attributes, **arguments})
        if op.kind in ("conv", "linear"):
            yield op.name, constants[op.arguments["weight"][0]].float()


def _error(stored: Tensor, wanted: Tensor, *, quantised: bool) -> float:
    """Largest difference over what rounding allows, by output channel; inf if shapes differ."""
    if stored.shape != wanted.shape:
        return float("inf")
    difference = (stored - wanted).abs().flatten(1).amax(1)
    largest = wanted.abs().flatten(1).amax(1).clamp_min(1e-12)
    allowed = (_STEP if quantised else _ROUNDING) * largest + 2.0**-24
    return float(torch.max(difference / allowed))
