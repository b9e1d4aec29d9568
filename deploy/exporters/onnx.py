"""ONNX files, checked with ONNX Runtime."""

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from deploy.exporters.error_limits import ErrorLimit
from deploy.exporters.quiet import quiet
from deploy.exporters.verify import export_and_verify
from search.errors import ExportError

OPSET = 18


class OnnxFp32:
    """One ONNX graph with its weights inside, 32-bit floats."""

    def __init__(self, limit: ErrorLimit) -> None:
        self._limit = limit

    def build(self, spec: ExportSpec) -> ExportedFile:
        """Export through torch.export; the input is plain NCHW."""
        with quiet():
            return export_and_verify(spec, _export, _run, self._limit)


def _export(module: nn.Module, example: Tensor) -> bytes:
    try:
        program = torch.onnx.export(
            module,
            (example.contiguous(),),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            optimize=True,
        )
        assert program is not None
        content: bytes = program.model_proto.SerializeToString()
    except Exception as error:
        raise ExportError(f"ONNX cannot take this module: {error}") from error
    return content


def _run(content: bytes, example: Tensor) -> Tensor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return torch.from_numpy(session.run(None, {name: example.contiguous().numpy()})[0])
