"""Small programs, and what Python's runtime makes of them."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """A program, the bytes of its inputs and what Python's runtime makes of them."""

    file: Path
    inputs: bytes
    outputs: np.ndarray[Any, Any]


def lower(file: Path, module: Any, inputs: tuple[Any, ...]) -> Program:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.extension.pybindings import _portable_lib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lowered = to_edge_transform_and_lower(
            torch.export.export(module.eval(), inputs),
            partitioner=[XnnpackPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        file.write_bytes(lowered.to_executorch().buffer)
    outputs = _portable_lib._load_for_executorch(str(file)).forward(inputs)
    given = b"".join(in_memory(tensor).tobytes() for tensor in inputs)
    return Program(file, given, np.concatenate([in_memory(tensor) for tensor in outputs]))


def in_memory(tensor: Any) -> np.ndarray[Any, Any]:
    """A dense tensor's elements in the order in which they lie."""
    return np.asarray(tensor.as_strided((tensor.numel(),), (1,)).numpy())
