"""A saved Core ML program as plain data: operations in order, constants as tensors.

The protocol buffer and the weight file themselves are read, so that what is
checked is what a phone will load.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deploy.coreml.package import MODEL, WEIGHTS
from search.errors import ExportError

Value = Any  # Tensor, str, bool, int, float, or a list of these


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """Number format by its name in Core ML (`fp16`, `int32`, `string`), and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: arguments are names of values that were computed before it."""

    kind: str
    name: str
    arguments: Mapping[str, tuple[str, ...]]
    outputs: tuple[tuple[str, TensorType], ...]
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One entry point of a program."""

    name: str
    opset: str
    inputs: tuple[tuple[str, TensorType], ...]
    operations: tuple[Operation, ...]
    constants: Mapping[str, Value]
    outputs: tuple[str, ...]

    @property
    def types(self) -> dict[str, TensorType]:
        """The declared type of every value."""
        computed = {name: kind for op in self.operations for name, kind in op.outputs}
        return {**dict(self.inputs), **computed}


Values = tuple[tuple[str, TensorType], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Inputs and outputs of a function as the model's description declares them."""

    inputs: Values
    outputs: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A package's functions, and what its description says of each by name.

    `default` is the function that is loaded where none is named.
    """

    specification: int
    functions: Mapping[str, Function]
    described: Mapping[str, Described]
    default: str


def read_program(package: Path) -> Program:
    """Read a package's folder.

    Raises:
        ExportError: Not an ML program, or its parts do not fit each other.
    """
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    try:
        model.ParseFromString((package / MODEL).read_bytes())
        if model.WhichOneof("Type") != "mlProgram":
            raise ExportError(f"{package} holds no ML program.")
        reader = _Reader(package / WEIGHTS)
        functions = {
            name: _function(name, content, reader)
            for name, content in model.mlProgram.functions.items()
        }
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{package} cannot be read: {error}", "Build it again.") from error
    return Program(
        specification=model.specificationVersion,
        functions=functions,
        described=_described(model.description),
        default=model.description.defaultFunctionName or "main",
    )


_ARRAYS = {65552: "fp16", 65568: "fp32", 65600: "fp64", 131104: "int32"}


def _described(description: Any) -> dict[str, Described]:
    functions = list(description.functions)
    if not functions:
        return {"main": _features(description)}
    return {function.name: _features(function) for function in functions}


def _features(description: Any) -> Described:
    return Described(
        inputs=tuple(_feature(one) for one in description.input),
        outputs=tuple(_feature(one) for one in description.output),
    )


def _feature(feature: Any) -> tuple[str, TensorType]:
    array = feature.type.multiArrayType
    dtype = _ARRAYS.get(array.dataType, f"array type {array.dataType}")
    return feature.name, TensorType(dtype=dtype, shape=tuple(array.shape))


def _function(name: str, content: Any, reader: "_Reader") -> Function:
    if list(content.block_specializations) != [content.opset]:
        raise ExportError(f"The function {name} has no block of its operation set.")
    block = content.block_specializations[content.opset]
    operations: list[Operation] = []
    constants: dict[str, Value] = {}
    for op in block.operations:
        outputs = tuple((o.name, _type(o.type)) for o in op.outputs)
        attributes = {key: reader.value(value) for key, value in op.attributes.items()}
        if op.type == "const":
            constants[outputs[0][0]] = attributes["val"]
            continue
        arguments: dict[str, tuple[str, ...]] = {}
        for key, argument in op.inputs.items():
            names = []
            for number, binding in enumerate(argument.arguments):
                if binding.WhichOneof("binding") == "value":
                    literal = f"{outputs[0][0]}/{key}/{number}"
                    constants[literal] = reader.value(binding.value)
                    names.append(literal)
                else:
                    names.append(binding.name)
            arguments[key] = tuple(names)
        label = str(attributes.pop("name", ""))
        operations.append(
            Operation(
                kind=op.type,
                name=label,
                arguments=arguments,
                outputs=outputs,
                attributes=attributes,
            )
        )
    return Function(
        name=name,
        opset=content.opset,
        inputs=tuple((i.name, _type(i.type)) for i in content.inputs),
        operations=tuple(operations),
        constants=constants,
        outputs=tuple(block.outputs),
    )


_DTYPES = {1: "bool", 2: "string", 10: "fp16", 11: "fp32", 12: "fp64"}
_DTYPES |= {21: "int8", 22: "int16", 23: "int32", 24: "int64", 31: "uint8", 32: "uint16"}


def _type(value_type: Any) -> TensorType:
    tensor = value_type.tensorType
    shape = []
    for dimension in tensor.dimensions:
        if dimension.WhichOneof("dimension") != "constant":
            raise ExportError("The program has a shape that is not fixed.")
        shape.append(int(dimension.constant.size))
    dtype = _DTYPES.get(tensor.dataType, f"type {tensor.dataType}")
    return TensorType(dtype=dtype, shape=tuple(shape))


_BLOBS = {
    "fp16": ("read_fp16_data", np.uint16, np.float16),
    "fp32": ("read_float_data", np.float32, np.float32),
    "int8": ("read_int8_data", np.int8, np.int8),
    "uint8": ("read_uint8_data", np.uint8, np.uint8),
}


class _Reader:
    """Reads the constants of a program; large ones are in the weight file."""

    def __init__(self, weights: Path) -> None:
        from coremltools.libmilstoragepython import _BlobStorageReader

        self._blobs = _BlobStorageReader(str(weights)) if weights.exists() else None

    def value(self, value: Any) -> Value:
        """A constant's content: tensors of more than one number as `Tensor`."""
        kind = _type(value.type)
        if value.WhichOneof("value") == "blobFileValue":
            return self._blob(value.blobFileValue.offset, kind)
        tensor = value.immediateValue.tensor
        which = tensor.WhichOneof("value")
        if which == "bytes":
            numbers = np.frombuffer(tensor.bytes.values, _BLOBS[kind.dtype][2])
            return torch.from_numpy(numbers.reshape(kind.shape).copy())
        values = list(getattr(tensor, which).values) if which else []
        if not kind.shape:
            return values[0]
        if kind.dtype in ("fp16", "fp32"):
            return torch.tensor(values, dtype=torch.float32).reshape(kind.shape)
        return values

    def _blob(self, offset: int, kind: TensorType) -> Tensor:
        if self._blobs is None or kind.dtype not in _BLOBS:
            raise ExportError(f"A weight of {kind.dtype} at {offset} cannot be read.")
        method, stored_dtype, dtype = _BLOBS[kind.dtype]
        numbers = np.asarray(getattr(self._blobs, method)(offset)).astype(stored_dtype).view(dtype)
        if numbers.size != int(np.prod(kind.shape)):
            raise ExportError(f"The weight at {offset} has {numbers.size} numbers, not {kind}.")
        return torch.from_numpy(numbers.reshape(kind.shape).copy())
