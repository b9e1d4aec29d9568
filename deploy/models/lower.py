"""Exported programs of torch become files: ExecuTorch with XNNPACK, or ONNX."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deploy.exporters.onnx import OPSET
from deploy.models.program import TorchModel, with_letters_first
from deploy.models.tensors import Array, TensorSpec
from search.errors import ExportError

_LONGEST = 400


def to_pte(model: TorchModel) -> bytes:
    """An ExecuTorch program; what XNNPACK does not take stays outside of it.

    Raises:
        ExportError: ExecuTorch cannot lower the model.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    try:
        edge = to_edge_transform_and_lower(
            with_letters_first(model),
            partitioner=[XnnpackPartitioner()],
            # The validity pass doubles the time, and refuses operators that have kernels.
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        content: bytes = edge.to_executorch().buffer
    except Exception as error:  # of any kind, from deep inside
        raise ExportError(
            f"ExecuTorch cannot lower the model: {_sentence(error)}.",
            "Replace that operator in the model, or give --backend onnxruntime.",
        ) from error
    return content


def to_onnx(model: TorchModel) -> bytes:
    """One ONNX file with the weights inside.

    Raises:
        ExportError: torch's exporter cannot express the model.
    """
    try:
        program = torch.onnx.export(
            model.program, dynamo=True, opset_version=OPSET, verbose=False, optimize=True
        )
        assert program is not None
        content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # of any kind, from deep inside
        raise ExportError(
            f"ONNX cannot express the model: {_sentence(error)}.",
            "Replace that operator in the model, or give --backend xnnpack.",
        ) from error
    return content


def run_pte(
    content: bytes, specs: Sequence[TensorSpec], values: Sequence[Array]
) -> tuple[Array, ...]:
    """The outputs of ExecuTorch's Python runtime on this machine.

    Raises:
        ExportError: The runtime cannot load or run the program.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    from executorch.extension.pybindings import _portable_lib

    try:
        program = _portable_lib._load_for_executorch_from_buffer(content)
        outputs = program.run_method("forward", tuple(map(_tensor, specs, values)))
    except Exception as error:  # its exceptions have no common base
        raise ExportError(
            f"ExecuTorch cannot run the program: {_sentence(error)}.",
            "It may call operators that the runtime has no kernel for; replace them in the model.",
        ) from error
    return tuple(x.detach().clone().numpy() for x in outputs if isinstance(x, torch.Tensor))


def _tensor(spec: TensorSpec, value: Array) -> Any:
    tensor = torch.from_numpy(np.ascontiguousarray(value))
    if spec.order is None:
        return tensor
    lying = tensor.permute(spec.order).contiguous()
    return lying.permute(*np.argsort(spec.order).tolist())


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_LONGEST].rstrip(".")
