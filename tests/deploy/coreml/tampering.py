"""Core ML packages with planted faults: edits of the program and of its weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deploy.coreml.package import MODEL, WEIGHTS, pack, unpack

_BLOB_HEADER = 64


@dataclass
class Tampered:
    """A package opened for editing."""

    spec: Any
    weights: bytearray

    @property
    def block(self) -> Any:
        function = self.spec.mlProgram.functions["main"]
        return function.block_specializations[function.opset]

    def ops(self, kind: str) -> list[Any]:
        return [op for op in self.block.operations if op.type == kind]

    def given(self, op: Any, word: str) -> Any:
        """The constant that an operation's argument names."""
        name = op.inputs[word].arguments[0].name
        return next(o for o in self.ops("const") if o.outputs[0].name == name)

    def value(self, op: Any, word: str) -> Any:
        return self.given(op, word).attributes["val"].immediateValue.tensor

    def ints(self, op: Any, word: str, *values: int) -> None:
        self.value(op, word).ints.values[:] = values

    def point(self, op: Any, word: str, name: str) -> None:
        op.inputs[word].arguments[0].name = name

    def array(self, op: Any, word: str, dtype: Any = np.float16) -> Any:
        """A weight's numbers, to be changed in place."""
        value = self.given(op, word).attributes["val"]
        sizes = [d.constant.size for d in value.type.tensorType.dimensions]
        start = value.blobFileValue.offset + _BLOB_HEADER
        count = int(np.prod(sizes))
        return np.frombuffer(self.weights, dtype, count, start).reshape(sizes)


def tamper(content: bytes, change: Callable[[Tampered], None]) -> bytes:
    from coremltools.proto import Model_pb2

    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model.mlpackage"
        unpack(content, folder)
        spec = Model_pb2.Model()
        spec.ParseFromString((folder / MODEL).read_bytes())
        package = Tampered(spec, bytearray((folder / WEIGHTS).read_bytes()))
        change(package)
        (folder / MODEL).write_bytes(package.spec.SerializeToString())
        (folder / WEIGHTS).write_bytes(bytes(package.weights))
        return pack(folder)
