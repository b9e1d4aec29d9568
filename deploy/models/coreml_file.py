"""Core ML packages of models of the user's own: converted, and computed on this machine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deploy.coreml.check import check_deployment_target, check_interface
from deploy.coreml.interpreter import evaluate
from deploy.coreml.more_operations import MORE_OPERATIONS
from deploy.coreml.package import open_package, unpacked_package
from deploy.coreml.program import Function, TensorType, read_program
from deploy.models.program import TorchModel
from deploy.models.tensors import Array, TensorSpec
from search.errors import ExportError

FLOATS = {"fp16": "float16", "fp32": "float32"}
# Integers of a package are of 32 bits, and so are its truth values.
_DTYPES = {**FLOATS, "int32": "int32"}
_LONGEST = 400


def package_inputs(model: TorchModel, dtype: str) -> tuple[TensorSpec, ...]:
    """The inputs that a package takes: floats of its precision, integers of 32 bits."""
    return tuple(
        TensorSpec(
            name=spec.name,
            shape=spec.shape,
            dtype=FLOATS[dtype] if spec.dtype.startswith("float") else "int32",
        )
        for spec in model.inputs
    )


def to_package(model: TorchModel, dtype: str, target: str) -> bytes:
    """An ML program in one file, as the kit keeps packages.

    Raises:
        ExportError: coremltools cannot convert the model.
    """
    import coremltools as ct

    from deploy.exporters.coreml import saved

    check_deployment_target(target)
    half = dtype == "fp16"
    try:
        converted = ct.convert(
            model.program.run_decompositions({}),
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
            inputs=_inputs(model, dtype),
            outputs=_outputs(model, dtype),
        )
        return saved(converted)
    except Exception as error:  # of any kind, from deep inside
        raise ExportError(
            f"Core ML's converter cannot take the model: {_sentence(error)}.",
            "Replace that operator in the model.",
        ) from error


def _kinds(dtype: str) -> tuple[Any, Any]:
    from coremltools.converters.mil.mil import types

    return (types.fp16 if dtype == "fp16" else types.fp32), types.int32


def _inputs(model: TorchModel, dtype: str) -> list[Any]:
    import coremltools as ct

    floats, integers = _kinds(dtype)
    return [
        ct.TensorType(
            spec.name,
            shape=spec.sizes,
            dtype=floats if spec.dtype.startswith("float") else integers,
        )
        for spec in model.inputs
    ]


def _outputs(model: TorchModel, dtype: str) -> list[Any]:
    import coremltools as ct

    floats, integers = _kinds(dtype)
    answers = model.answers(model.values())
    return [
        ct.TensorType(f"output_{number}", dtype=floats if value.dtype.kind == "f" else integers)
        for number, value in enumerate(answers)
    ]


def read_package(content: bytes) -> tuple[Function, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The program, and the inputs and outputs that it declares.

    Raises:
        ExportError: It is no package of one function, describes itself wrongly, or holds
            operations that cannot be computed here, and so not be compared.
    """
    with unpacked_package(content) as folder:
        open_package(folder)
        program = read_program(folder)
    check_interface(program)
    (function,) = program.functions.values()
    unknown = sorted({op.kind for op in function.operations} - set(MORE_OPERATIONS))
    if unknown:
        raise ExportError(
            "The package cannot be computed on this computer, and so not be compared with the "
            f"model: {', '.join(unknown)}.",
            "Replace these operators in the model, or report it: the kit's interpreter lacks them.",
        )
    types = function.types
    outputs = tuple(_spec(name, types[name]) for name in function.outputs)
    return function, tuple(_spec(name, kind) for name, kind in function.inputs), outputs


def run_package(
    function: Function, outputs: Sequence[TensorSpec], values: Sequence[Array]
) -> tuple[Array, ...]:
    """What the package computes for these inputs, in the number formats of its outputs.

    Raises:
        ExportError: An operation cannot be computed.
    """
    tensors = [torch.from_numpy(np.ascontiguousarray(value)) for value in values]
    with torch.no_grad():
        answers = evaluate(function, *tensors, operations=MORE_OPERATIONS)
    pairs = zip(answers, outputs, strict=True)
    return tuple(answer.numpy().astype(spec.dtype) for answer, spec in pairs)


def _spec(name: str, kind: TensorType) -> TensorSpec:
    if kind.dtype not in _DTYPES:
        raise ExportError(f"The package's {name} is {kind.dtype}, which no runner hands on.")
    return TensorSpec(name=name, shape=kind.shape, dtype=_DTYPES[kind.dtype])


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_LONGEST].rstrip(".")
