"""What a Core ML package must look like before it is accepted, besides its numbers."""

import math
from dataclasses import dataclass

from deploy.coreml.interpreter import OPERATIONS
from deploy.coreml.program import Function, Program
from search.errors import ExportError

# Specification versions by deployment target.
SPECIFICATIONS = {"iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a package is meant to be. `flops` are multiply-adds of one call."""

    target: str
    dtype: str
    flops: int
    quantised_weights: bool = False


def check_program(program: Program, expected: Expected) -> None:
    """Check a package of one function.

    Raises:
        ExportError: Another specification version, number format, operation
            or amount of work than expected, or casts.
    """
    wanted = SPECIFICATIONS[expected.target]
    if program.specification != wanted:
        raise ExportError(
            f"The package has specification version {program.specification}; "
            f"{expected.target} needs {wanted}."
        )
    strange = {name: kind for name, kind in program.interface.items() if kind != expected.dtype}
    if strange:
        raise ExportError(f"Inputs or outputs are not {expected.dtype}: {strange}.")
    for function in program.functions.values():
        check_function(function, expected)


def check_function(function: Function, expected: Expected) -> None:
    """Check one function.

    Raises:
        ExportError: As `check_program`.
    """
    kinds = {op.kind for op in function.operations}
    if "cast" in kinds:
        raise ExportError("The package casts numbers: a conversion went astray.")
    if unknown := kinds - set(OPERATIONS):
        raise ExportError(f"The package holds operations that were not meant: {sorted(unknown)}.")
    types = function.types
    made = [name for op in function.operations for name, _ in op.outputs]
    for name in (*dict(function.inputs), *made):
        if types[name].dtype != expected.dtype:
            raise ExportError(f"The value {name} is {types[name].dtype}, not {expected.dtype}.")
    found = flops(function)
    if found != expected.flops:
        raise ExportError(
            f"The package does {found} multiply-adds, its operators have {expected.flops}."
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
