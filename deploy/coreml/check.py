"""Structural checks of a Core ML package: format, operations, amount of work."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.coreml.interpreter import OPERATIONS
from deploy.coreml.program import Function, Program
from search.errors import ExportError, UsageError

# Specification versions by deployment target.
SPECIFICATIONS = {"iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10}
# The operation set of a specification version: its number less one.
OPSET = "CoreML{}"
# Kinds that compute; those that only move numbers are left to the tools. A clip to 0 and 6 is
# counted as relu6.
COMPUTING = (
    "conv",
    "linear",
    "relu",
    "relu6",
    "sigmoid",
    "sigmoid_hard",
    "thresholded_relu",
    "silu",
    "softmax",
    "add",
    "mul",
    "reduce_mean",
    "concat",
    "slice_by_index",
    "upsample_nearest_neighbor",
    "identity",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Properties that a package must have. `flops` are multiply-adds of one call.

    `operations` counts those that compute, by kind (`deploy.chains.operations`);
    None where they are not known.
    """

    target: str
    dtype: str
    flops: int
    quantised_weights: bool = False
    operations: Mapping[str, int] | None = field(default=None)


def check_deployment_target(target: str) -> None:
    """Refuse a deployment target that is not known.

    Raises:
        UsageError: Unknown; lists the known ones.
    """
    if target not in SPECIFICATIONS:
        raise UsageError(
            f"Unknown deployment target {target!r}.", f"Known: {', '.join(SPECIFICATIONS)}."
        )


def check_program(program: Program, expected: Expected) -> None:
    """Check a package of one function.

    Raises:
        ExportError: Another specification version, operation set, interface, number
            format, operation or amount of work than expected, or casts.
    """
    specification = SPECIFICATIONS[expected.target]
    if program.specification != specification:
        raise ExportError(
            f"The package has specification version {program.specification}; "
            f"{expected.target} needs {specification}."
        )
    check_interface(program)
    for function in program.functions.values():
        for name in function.outputs:
            if function.types[name].dtype != expected.dtype:
                raise ExportError(
                    f"Inputs or outputs are not {expected.dtype}: {name} is "
                    f"{function.types[name].dtype}."
                )
        check_function(function, expected)


def check_interface(program: Program) -> None:
    """Check that the description declares each function as it is.

    Raises:
        ExportError: Another function, or other names, shapes or number formats; another
            operation set than that of the package's version.
    """
    if set(program.described) != set(program.functions) or program.default not in program.functions:
        raise ExportError(
            f"The package describes {sorted(program.described)}, it holds "
            f"{sorted(program.functions)}; its default is {program.default}."
        )
    for name, function in program.functions.items():
        described, types = program.described[name], function.types
        outputs = tuple((value, types.get(value)) for value in function.outputs)
        if described.inputs != function.inputs or described.outputs != outputs:
            raise ExportError(
                f"The description of {name} is not what it is: {described.inputs} and "
                f"{described.outputs}, it has {function.inputs} and {outputs}."
            )
        if function.opset != OPSET.format(program.specification - 1):
            raise ExportError(
                f"The operation set {function.opset} of {name} is not that of the package's "
                f"version {program.specification}."
            )


def check_function(function: Function, expected: Expected) -> None:
    """Check one function.

    Raises:
        ExportError: Another number format, operation or amount of work than
            expected, casts, or compressed weights that were not asked for.
    """
    kinds = {op.kind for op in function.operations}
    if "cast" in kinds:
        raise ExportError("The package casts numbers: a conversion went astray.")
    if unknown := kinds - set(OPERATIONS):
        raise ExportError(f"The package holds operations that were not meant: {sorted(unknown)}.")
    types = function.types
    computed = [name for op in function.operations for name, _ in op.outputs]
    for name in (*dict(function.inputs), *computed):
        if types[name].dtype != expected.dtype:
            raise ExportError(f"The value {name} is {types[name].dtype}, not {expected.dtype}.")
    _check_operations(function, expected)
    actual = flops(function)
    if actual != expected.flops:
        raise ExportError(
            f"The package does {actual} multiply-adds, its operators have {expected.flops}."
        )
    compressed = any(kind.startswith("constexpr_") for kind in kinds)
    if compressed and not expected.quantised_weights:
        raise ExportError("The package holds compressed weights that were not asked for.")


def _check_operations(function: Function, expected: Expected) -> None:
    if expected.operations is None:
        return
    actual = Counter(op.kind for op in function.operations)
    actual["relu6"] += actual["clip"]
    counted = {kind: actual[kind] for kind in COMPUTING if actual[kind]}
    if counted != {kind: number for kind, number in expected.operations.items() if number}:
        raise ExportError(
            f"The package computes {counted}, its operators are {dict(expected.operations)}."
        )
    for op in function.operations:
        if op.kind == "clip":
            limits = [_constant(function, op.arguments[name]) for name in ("alpha", "beta")]
            if limits != [0.0, 6.0]:
                raise ExportError(f"The package clips to {limits}, which no operator does.")


def _constant(function: Function, names: tuple[str, ...]) -> float:
    return float(function.constants[names[0]])


def flops(function: Function) -> int:
    """Multiply-adds of its convolutions and matrix products."""
    types, total = function.types, 0
    for op in function.operations:
        if op.kind not in ("conv", "linear"):
            continue
        out = types[op.outputs[0][0]].shape
        (name,) = op.arguments["weight"]
        weight = types[name].shape if name in types else tuple(function.constants[name].shape)
        total += math.prod(weight) * out[0] * math.prod(out[2:])
    return total
