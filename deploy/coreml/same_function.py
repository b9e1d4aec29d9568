"""Whether two functions are one: operation by operation, constants and wiring included."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from deploy.coreml.program import Function, Operation, Value

# Names say nothing: the tools draw new ones when they merge.
_NAMES = frozenset({"name"})


def differing_operation(one: Function, other: Function) -> str | None:
    """What first differs between two functions, in words; None where nothing does.

    Their operation sets may differ: the tools move what they merge to the newest.
    """
    if [kind for _, kind in one.inputs] != [kind for _, kind in other.inputs]:
        return "the inputs"
    if len(one.operations) != len(other.operations):
        return f"the number of operations: {len(one.operations)}, {len(other.operations)}"
    pair = zip(_canonical(one), _canonical(other), strict=True)
    for first, (mine, theirs) in zip(one.operations, pair, strict=True):
        if mine != theirs:
            return f"the operation {first.name or first.outputs[0][0]} ({first.kind})"
    if _outputs(one) != _outputs(other):
        return "the outputs"
    return None


def _places(function: Function) -> dict[str, str]:
    """Where every value comes from, without its name."""
    places = {name: f"input {number}" for number, (name, _) in enumerate(function.inputs)}
    for number, op in enumerate(function.operations):
        for index, (name, _) in enumerate(op.outputs):
            places[name] = f"operation {number} output {index}"
    return places


def _canonical(function: Function) -> list[tuple[object, ...]]:
    places, known = _places(function), function.constants
    digests = {name: _digest(value) for name, value in known.items()}
    return [_operation(op, places, digests) for op in function.operations]


def _operation(
    op: Operation, places: dict[str, str], digests: dict[str, str]
) -> tuple[object, ...]:
    arguments = {
        word: tuple(places.get(name) or digests.get(name, "nothing") for name in names)
        for word, names in op.arguments.items()
    }
    attributes = {
        word: _digest(value) for word, value in op.attributes.items() if word not in _NAMES
    }
    types = tuple(kind for _, kind in op.outputs)
    return op.kind, types, tuple(sorted(arguments.items())), tuple(sorted(attributes.items()))


def _outputs(function: Function) -> list[str]:
    places = _places(function)
    return [places.get(name, "nothing") for name in function.outputs]


def _digest(value: Value) -> str:
    if isinstance(value, Tensor):
        numbers: Any = value.contiguous().numpy()
        content = hashlib.sha256(numbers.tobytes()).hexdigest()
        return f"{value.dtype} {tuple(value.shape)} {content}"
    if isinstance(value, list | tuple):
        return str([_digest(part) for part in value])
    return f"{type(value).__name__} {value!r}"


def same_values(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    """Whether two functions put out the same."""
    return len(one) == len(other) and all(map(torch.equal, one, other))
