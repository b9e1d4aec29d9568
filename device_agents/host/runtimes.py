"""Runtimes of the Python runner (ExecuTorch, ONNX Runtime), imported only when used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from device_agents.host.tensor_files import TensorIO
from device_agents.protocol import PlanItem


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A loaded artefact: `call` executes it once, `refresh` rewrites its input."""

    call: Callable[[], Any]
    refresh: Callable[[], None]
    tensors: TensorIO | None = None


def _load_executorch(item: PlanItem, _: int) -> LoadedProgram:
    import torch
    from executorch.extension.pybindings import _portable_lib

    module = _portable_lib._load_for_executorch(item.file)
    sizes = tuple(module.method_meta(item.method).input_tensor_meta(0).sizes())
    x, source = _random_input(sizes, item.id)
    inputs = [x]
    run_method, method = module.run_method, item.method

    def put(image: Any) -> None:
        source.copy_(torch.from_numpy(image).view(source.shape))
        x.copy_(source)

    def outputs() -> list[Any]:
        tensors = run_method(method, inputs, clone_outputs=True)
        return [tensor.as_strided((tensor.numel(),), (1,)).numpy() for tensor in tensors]

    # Cloning outputs would be timed too, and wakes torch's own thread pool.
    return LoadedProgram(
        lambda: run_method(method, inputs, clone_outputs=False),
        lambda: x.copy_(source),
        TensorIO(x.numel(), put, outputs),
    )


def _random_input(sizes: tuple[int, ...], seed: int) -> tuple[Any, Any]:
    """The tensor a program reads, and the values to refresh it from.

    The memory order does not matter here: the runtime reads the same bytes
    either way, and only time is taken.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    source = torch.rand(sizes, generator=generator) * 2 - 1
    return source.clone(), source


def _load_onnxruntime(item: PlanItem, threads: int) -> LoadedProgram:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    session = onnxruntime.InferenceSession(item.file, options, providers=["CPUExecutionProvider"])
    meta = session.get_inputs()[0]
    generator = np.random.default_rng(item.id)
    source = generator.uniform(-1, 1, meta.shape).astype(np.float32)
    x = source.copy()
    inputs, run = {meta.name: x}, session.run

    def put(image: Any) -> None:
        np.copyto(source, image.reshape(source.shape))
        np.copyto(x, source)

    def outputs() -> list[Any]:
        return [np.ravel(array) for array in run(None, inputs)]

    tensors = TensorIO(x.size, put, outputs)
    return LoadedProgram(lambda: run(None, inputs), lambda: np.copyto(x, source), tensors)


LOADERS: dict[str, tuple[str, str, Callable[[PlanItem, int], LoadedProgram]]] = {
    "xnnpack": ("executorch", "executorch", _load_executorch),
    "onnxruntime": ("onnxruntime", "onnxruntime", _load_onnxruntime),
}
