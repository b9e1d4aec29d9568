"""ExecuTorch programs (.pte) delegated to XNNPACK, in fp32 and int8.

A file with someone's own weights or images is lowered by ExecuTorch. Operators and networks
of a table have seeded weights; their files, the same down to the delegate's bytes, are
written straight from the module (`deploy.xnnpack`), some thirty times faster.
"""

import copy
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from deploy.exporters.calibration import calls_of, load_images
from deploy.exporters.error_limits import ErrorLimit
from deploy.exporters.quiet import quiet
from deploy.exporters.verify import export_and_verify
from deploy.xnnpack.nodes import NotCovered
from deploy.xnnpack.write import write_fp32, write_int8
from search.errors import ExportError


class XnnpackFp32:
    """One delegate, 32-bit floats."""

    def __init__(self, limit: ErrorLimit) -> None:
        self._limit = limit

    def build(self, spec: ExportSpec) -> ExportedFile:
        """One delegate; refuses programs with work outside of it."""
        export = _export if _has_own_data(spec) else _write
        with quiet():
            return export_and_verify(spec, export, _run, self._limit)


class XnnpackInt8:
    """PT2E static quantisation: int8 activations, per-channel int8 weights."""

    def __init__(self, limit: ErrorLimit) -> None:
        self._limit = limit

    def build(self, spec: ExportSpec) -> ExportedFile:
        """Calibrate on the spec's images, convert, lower.

        Without images the example input and its flip are used, which is enough
        for time but not for accuracy.
        """
        lowered = partial(_export_int8, images=load_images(spec))
        export = lowered if _has_own_data(spec) else _write_int8
        with quiet():
            return export_and_verify(spec, export, _run, self._limit)


def _has_own_data(spec: ExportSpec) -> bool:
    return spec.weights is not None or spec.calibration is not None


class _HardSigmoid(nn.Module):
    """clamp(x / 6 + 1 / 2, 0, 1), which is relu6(x + 3) / 6 up to rounding.

    XNNPACK has no hard sigmoid, and torch decomposes its own with casts that
    the delegate refuses; a product, a sum and a clamp are all delegated.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.hardtanh(x * (1 / 6) + 0.5, 0.0, 1.0)


def _with_delegated_gates(module: nn.Module) -> nn.Module:
    """The same function with hard sigmoids that the delegate takes; a copy if it has any."""
    if not any(isinstance(part, nn.Hardsigmoid) for part in module.modules()):
        return module
    rewritten = copy.deepcopy(module)
    for part in list(rewritten.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.Hardsigmoid):
                setattr(part, name, _HardSigmoid())
    return rewritten


def _write(module: nn.Module, example: Tensor) -> bytes:
    """Written without lowering; lowered if the module calls what is not covered."""
    try:
        return write_fp32(_with_delegated_gates(module), example)
    except NotCovered:
        return _export(module, example)


def _write_int8(module: nn.Module, example: Tensor) -> bytes:
    try:
        return write_int8(_with_delegated_gates(module), example, _flipped(example))
    except NotCovered:
        return _export_int8(module, example, None)


def _export(module: nn.Module, example: Tensor) -> bytes:
    return _lower(torch.export.export(_with_delegated_gates(module), (example,), strict=False))


def _export_int8(module: nn.Module, example: Tensor, images: Tensor | None) -> bytes:
    module = _with_delegated_gates(module)
    if images is None:
        return _export(_quantise(module, (example, _flipped(example))), example)
    return _export(_quantise(module, calls_of(images, len(example))), example)


def _quantise(module: nn.Module, observed: Sequence[Tensor]) -> nn.Module:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
    graph = torch.export.export(module, (observed[0],), strict=False).module()
    prepared = prepare_pt2e(graph, quantizer)
    with torch.no_grad():
        for x in observed:
            prepared(x)
    converted: nn.Module = convert_pt2e(prepared)
    return converted


def _flipped(x: Tensor) -> Tensor:
    """Another input of the same memory order."""
    plain = x.is_contiguous()
    return x.flip(1).contiguous(
        memory_format=torch.contiguous_format if plain else torch.channels_last
    )


def _lower(program: torch.export.ExportedProgram) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    try:
        edge = to_edge_transform_and_lower(
            program,
            partitioner=[XnnpackPartitioner()],
            # The validity pass doubles the time and only checks our own graph.
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        _refuse_undelegated(edge.exported_program())
        content: bytes = edge.to_executorch().buffer
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"XNNPACK cannot take this module: {error}") from error
    return content


def _refuse_undelegated(program: Any) -> None:
    """Work outside the delegate would be timed as if it were XNNPACK's."""
    outside = [
        node.name
        for node in program.graph.nodes
        if node.op == "call_function"
        and node.name != "getitem"
        and not node.name.startswith(("executorch_call_delegate", "getitem_"))
    ]
    if outside:
        raise ExportError(f"Parts are not delegated to XNNPACK: {', '.join(outside[:5])}.")


def _run(content: bytes, example: Tensor) -> Tensor:
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    from executorch.extension.pybindings import _portable_lib

    program = _portable_lib._load_for_executorch_from_buffer(content)
    output: Tensor = program.forward([example])[0]
    return output.clone()
