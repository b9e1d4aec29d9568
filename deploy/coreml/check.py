"""Structural checks of a Core ML package: format, operations, amount of work."""

import math
from dataclasses import dataclass

from deploy.coreml.interpreter import OPERATIONS
from deploy.coreml.program import Function, Program
from search.errors import ExportError, UsageError

# Specification versions by deployment target.
SPECIFICATIONS = {"iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Properties that a package must have. `flops` are multiply-adds of one call."""

    target: str
    dtype: str
    flops: int
    quantised_weights: bool = False


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
        ExportError: Another specification version, number format, operation
            or amount of work than expected, or casts.
    """
    specification = SPECIFICATIONS[expected.target]
    if program.specification != specification:
        raise ExportError(
            f"The package has specification version {program.specification}; "
            f"{expected.target} needs {specification}."
        )
    unexpected = {name: kind for name, kind in program.interface.items() if kind != expected.dtype}
    if unexpected:
        raise ExportError(f"Inputs or outputs are not {expected.dtype}: {unexpected}.")
    for function in program.functions.values():
        check_function(function, expected)


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
    actual = flops(function)
    if actual != expected.flops:
        raise ExportError(
            f"The package does {actual} multiply-adds, its operators have {expected.flops}."
        )
    compressed = any(kind.startswith("constexpr_") for kind in kinds)
    if compressed and not expected.quantised_weights:
        raise ExportError("The package holds compressed weights that were not asked for.")


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
