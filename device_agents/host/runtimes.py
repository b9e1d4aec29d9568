"""Runtimes of the Python runner (ExecuTorch, ONNX Runtime), imported only when used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from device_agents.host.onnx_trace import TracedCalls, open_session, trace_session
from device_agents.host.tensor_files import (
    Array,
    TensorFileError,
    TensorIO,
    copy_set,
    seeded_array,
)
from device_agents.protocol import PlanItem


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A loaded artefact: `call` executes it once, `refresh` rewrites its inputs.

    `traced` tells where the time of so many calls goes; None where the runtime does not.
    """

    call: Callable[[], Any]
    refresh: Callable[[], None]
    tensors: TensorIO | None = None
    traced: Callable[[int], TracedCalls] | None = None


# ExecuTorch's numbers of element types, which are torch's, as numpy spells them.
_SCALAR_TYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
_ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
}


def _load_executorch(item: PlanItem, _: int) -> LoadedProgram:
    import torch
    from executorch.extension.pybindings import _portable_lib

    module = _portable_lib._load_for_executorch(item.file)
    meta = module.method_meta(item.method)
    metas = [meta.input_tensor_meta(number) for number in range(meta.num_inputs())]
    # The memory order does not matter here: the runtime reads the same bytes either way.
    sources = _seeded([(one.sizes(), _dtype(_SCALAR_TYPES, one.dtype())) for one in metas], item.id)
    inputs = [torch.from_numpy(source.copy()) for source in sources]
    originals = [torch.from_numpy(source) for source in sources]
    run_method, method = module.run_method, item.method

    def refresh() -> None:
        for tensor, original in zip(inputs, originals, strict=True):
            tensor.copy_(original)

    def put(content: bytes) -> None:
        copy_set(content, sources)
        refresh()

    def outputs() -> list[Any]:
        tensors = run_method(method, inputs, clone_outputs=True)
        return [
            tensor.as_strided((tensor.numel(),), (1,)).numpy()
            for tensor in tensors
            if isinstance(tensor, torch.Tensor)
        ]

    # Cloning outputs would be timed too, and wakes torch's own thread pool.
    return LoadedProgram(
        lambda: run_method(method, inputs, clone_outputs=False),
        refresh,
        TensorIO(sum(source.nbytes for source in sources), put, outputs),
    )


def _seeded(specs: Sequence[tuple[Any, str]], seed: int) -> list[Array]:
    """Values of all inputs, to refresh them from."""
    generator = np.random.default_rng(seed)
    return [seeded_array(tuple(shape), dtype, generator) for shape, dtype in specs]


def _dtype(known: Mapping[Any, str], kind: Any) -> str:
    if kind not in known:
        raise TensorFileError("input", f"no numbers for this element type ({kind})")
    return known[kind]


def _load_onnxruntime(item: PlanItem, threads: int) -> LoadedProgram:
    session = open_session(item.file, threads)
    metas = session.get_inputs()
    sources = _seeded([(one.shape, _dtype(_ONNX_TYPES, one.type)) for one in metas], item.id)
    inputs = {one.name: source.copy() for one, source in zip(metas, sources, strict=True)}
    run = session.run

    def refresh() -> None:
        for array, source in zip(inputs.values(), sources, strict=True):
            np.copyto(array, source)

    def put(content: bytes) -> None:
        copy_set(content, sources)
        refresh()

    def outputs() -> list[Any]:
        return [np.ravel(array) for array in run(None, inputs)]

    size = sum(source.nbytes for source in sources)
    return LoadedProgram(
        lambda: run(None, inputs),
        refresh,
        TensorIO(size, put, outputs),
        traced=lambda calls: trace_session(item.file, threads, inputs, run, calls),
    )


LOADERS: dict[str, tuple[str, str, Callable[[PlanItem, int], LoadedProgram]]] = {
    "xnnpack": ("executorch", "executorch", _load_executorch),
    "onnxruntime": ("onnxruntime", "onnxruntime", _load_onnxruntime),
}
