"""ExecuTorch programs (.pte) delegated to Core ML, for apps that already use ExecuTorch.

The package inside the program is taken out again and evaluated: the runtime
that would execute it exists on Apple's systems only. Inputs and outputs are
32-bit floats, as ExecuTorch hands them over; inside, numbers have 16 bits.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.coreml.check import check_deployment_target
from deploy.coreml.interpreter import evaluate
from deploy.coreml.program import read_program
from deploy.exporters.base import ExportedFile
from deploy.exporters.error_limits import ErrorLimit
from deploy.exporters.quiet import quiet
from deploy.exporters.verify import export_and_verify
from search.errors import ExportError


class DelegateFp16:
    """One delegate in 16-bit floats; `target` is the oldest system that is to load it."""

    def __init__(self, limit: ErrorLimit, target: str = "iOS16") -> None:
        check_deployment_target(target)
        self._limit = limit
        self._target = target

    def build(self, spec: ExportSpec) -> ExportedFile:
        """Lower; refuses programs with work outside the delegate."""
        if spec.copies is not None:
            raise ExportError("Chains are measured through Core ML itself, not its delegate.")
        export = partial(_export, target=self._target)
        with quiet():
            return export_and_verify(spec, export, _run, self._limit)


def _export(module: nn.Module, example: Tensor, *, target: str) -> bytes:
    try:
        import coremltools as ct
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner
        from executorch.exir import to_edge_transform_and_lower

        specs = CoreMLBackend.generate_compile_specs(
            compute_unit=ct.ComputeUnit.ALL,
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=ct.precision.FLOAT16,
            model_type=CoreMLBackend.MODEL_TYPE.MODEL,
        )
        partitioner = CoreMLPartitioner(compile_specs=specs)
        program = torch.export.export(module, (example.contiguous(),), strict=False)
        lowered = to_edge_transform_and_lower(program, partitioner=[partitioner])
        _refuse_undelegated(lowered.exported_program())
        content: bytes = lowered.to_executorch().buffer
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"Core ML's delegate cannot take this module: {error}") from error
    return content


def _refuse_undelegated(program: Any) -> None:
    called = [node for node in program.graph.nodes if node.op == "call_function"]
    names = [node.name for node in called if not node.name.startswith("getitem")]
    outside = [name for name in names if not name.startswith("executorch_call_delegate")]
    if outside or len(names) != 1:
        raise ExportError(f"Not one Core ML delegate: {', '.join(names[:5]) or 'nothing'}.")


def _run(content: bytes, example: Tensor) -> Tensor:
    """Evaluate the package inside the program."""
    with tempfile.TemporaryDirectory(prefix="kit-delegate-") as temporary:
        _extract_package(content, Path(temporary))
        (model,) = Path(temporary).rglob("model.mlmodel")
        program = read_program(model.parents[2])
    (function,) = program.functions.values()
    return evaluate(function, example)[0]


def _extract_package(content: bytes, folder: Path) -> None:
    from executorch.backends.apple.coreml import executorchcoreml
    from executorch.exir._serialize._program import deserialize_pte_binary

    program = deserialize_pte_binary(content).program
    (plan,) = program.execution_plan
    (delegate,) = plan.delegates
    inline = program.backend_delegate_data[delegate.processed.index].data
    executorchcoreml.unflatten_directory_contents(bytes(inline), str(folder))
