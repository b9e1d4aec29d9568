"""Core ML packages with planted faults: edits of the program and of its weights."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deploy.coreml.package import MANIFEST, MODEL, WEIGHTS, pack, unpack

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

    @property
    def function(self) -> Any:
        return self.spec.mlProgram.functions["main"]

    def insert(self, kind: str, after: Any) -> None:
        """An operation of one argument between an operation and all that read it."""
        old = after.outputs[0].name
        place = list(self.block.operations).index(after) + 1
        later = [type(op).FromString(op.SerializeToString()) for op in self.block.operations][
            place:
        ]
        fresh = type(after)()
        fresh.type = kind
        fresh.outputs.add().CopyFrom(after.outputs[0])
        fresh.outputs[0].name = f"{old}_inserted"
        fresh.inputs["x"].arguments.add().name = old
        for op in later:
            for argument in op.inputs.values():
                for binding in argument.arguments:
                    if binding.name == old:
                        binding.name = fresh.outputs[0].name
        outputs = [fresh.outputs[0].name if o == old else o for o in self.block.outputs]
        del self.block.operations[place:]
        self.block.operations.add().CopyFrom(fresh)
        self.block.operations.extend(later)
        self.block.outputs[:] = outputs

    def opset(self, name: str) -> None:
        """Another operation set, of the function and of its block."""
        block = type(self.block)()
        block.CopyFrom(self.block)
        del self.function.block_specializations[self.function.opset]
        self.function.opset = name
        self.function.block_specializations[name].CopyFrom(block)

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


def tamper_manifest(content: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The archive with another manifest; what `change` returns, if anything, takes its place."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name == MANIFEST:
                manifest = json.loads(part)
                changed = change(manifest)
                part = changed if isinstance(changed, bytes) else json.dumps(manifest).encode()
            new.writestr(name, part)
    return buffer.getvalue()


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
