"""ONNX files, checked with ONNX Runtime."""

import contextlib
import io
import logging
import warnings

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from deploy.exporters.verify import export_and_verify, largest_error
from search.errors import ExportError

OPSET = 18


FP32_LIMIT = 1e-4


class OnnxFp32:
    """One ONNX graph with its weights inside, 32-bit floats."""

    def build(self, subject: ExportSpec) -> ExportedFile:
        """Export through torch.export; the input is plain NCHW."""
        return export_and_verify(subject, _export, _run, largest_error, FP32_LIMIT)


def _export(module: nn.Module, example: Tensor) -> bytes:
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
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
