"""Core ML packages (ML programs), checked by an interpreter of the saved file.

Core ML itself runs on Apple's systems only. What can be known without it is
checked before a package is accepted: its operations, number formats, shapes,
specification version and amount of work, and that it computes what torch does.
Not known: whether Apple's compiler takes it, where it runs, how fast.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.chains.modules import chain_input, chain_network
from deploy.chains.operations import computing_operations
from deploy.chains.programs import program_operators
from deploy.coreml.check import Expected, check_deployment_target, check_program
from deploy.coreml.interpreter import evaluate, evaluate_all
from deploy.coreml.package import open_package, pack, unpacked_package
from deploy.coreml.program import Function, read_program
from deploy.coreml.weights import check_weights, module_weights
from deploy.exporters.base import ExportedFile
from deploy.exporters.error_limits import ErrorLimit
from deploy.exporters.quiet import quiet
from deploy.exporters.verify import export_and_verify, relative_error
from search.errors import ExportError
from search.operators.counts import count


class _Coreml:
    """One precision; `target` is the oldest system that is to load the package."""

    dtype: ClassVar[str] = "fp16"
    quantised_weights: ClassVar[bool] = False

    def __init__(self, limit: ErrorLimit, target: str = "iOS16") -> None:
        check_deployment_target(target)
        self._limit = limit
        self.target = target

    def build(self, spec: ExportSpec) -> ExportedFile:
        """Convert, save, read back, check, evaluate, compare."""
        weights: list[Tensor] = []

        def export(module: nn.Module, example: Tensor) -> bytes:
            weights.extend(module_weights(module))
            return _export(module, example, exporter=self)

        def run(content: bytes, example: Tensor) -> Tensor:
            return _check_and_run(self, spec, content, example, weights)

        with quiet():
            if spec.copies is None:
                return export_and_verify(spec, export, run, self._limit)
            return self._build_chain(spec)

    def _build_chain(self, spec: ExportSpec) -> ExportedFile:
        """Judge each link by itself: later links hide faults, and add up rounding."""
        network, example = chain_network(spec), chain_input(spec)
        with torch.no_grad():
            content = _export(network, example, exporter=self)
            output = _check_and_run(self, spec, content, example, module_weights(network))
            worst = _worst_link(network, example, content, output, self._limit)
        if not worst <= self._limit.value:
            raise ExportError(
                f"The file computes something else than {spec.name}: relative error "
                f"{worst:.2g} in a link, allowed {self._limit.value:g}.",
                "Report this operator with the versions of torch and coremltools.",
            )
        return ExportedFile(content=content, relative_error=worst)


class CoremlFp16(_Coreml):
    """16-bit floats throughout, inputs and outputs included."""


class CoremlFp32(_Coreml):
    """32-bit floats throughout."""

    dtype = "fp32"


class CoremlW8(_Coreml):
    """16-bit floats, with weights stored in 8 bits (linear, symmetric, one scale a channel)."""

    quantised_weights = True


def _export(module: nn.Module, example: Tensor, *, exporter: _Coreml) -> bytes:
    import coremltools as ct
    from coremltools.converters.mil.mil import types

    half = exporter.dtype == "fp16"
    system = getattr(ct.target, exporter.target)
    kind = types.fp16 if half else types.fp32
    convert = partial(
        ct.convert,
        convert_to="mlprogram",
        minimum_deployment_target=system,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    try:
        if not any(True for _ in module.parameters()):
            return saved(convert(_empty_program(example, kind, system)))
        program = torch.export.export(module, (example.contiguous(),), strict=False)
        model = convert(
            program.run_decompositions({}),
            # Otherwise they stay 32-bit floats, with a cast after them.
            inputs=[ct.TensorType("x", shape=tuple(example.shape), dtype=kind)],
            outputs=[ct.TensorType("y", dtype=kind)],
        )
        return saved(_compress(model) if exporter.quantised_weights else model)
    except Exception as error:
        raise ExportError(f"Core ML's converter cannot take this module: {error}") from error


def _empty_program(example: Tensor, kind: Any, opset: Any) -> Any:
    """A program that returns its input: the converter cannot take one from torch.

    It gives input and output one name there, and fails.
    """
    from coremltools.converters.mil import Builder

    shape = Builder.TensorSpec(shape=tuple(example.shape), dtype=kind)

    @Builder.program(  # type: ignore[untyped-decorator,unused-ignore]
        input_specs=[shape], opset_version=opset
    )
    def nothing(x: Any) -> Any:
        return Builder.identity(x=x, name="y")

    return nothing


def _compress(model: Any) -> Any:
    import coremltools.optimize.coreml as cto

    config = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=64)
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=config))


def saved(model: Any) -> bytes:
    """A converted model as one file, the same for the same model."""
    # The date would make two builds of one network differ.
    model.user_defined_metadata.pop("com.github.apple.coremltools.conversion_date", None)
    with tempfile.TemporaryDirectory(prefix="kit-package-") as temporary:
        folder = Path(temporary) / "model.mlpackage"
        model.save(str(folder))
        return pack(folder)


def _check_and_run(
    exporter: _Coreml,
    spec: ExportSpec,
    content: bytes,
    example: Tensor,
    weights: Sequence[Tensor],
) -> Tensor:
    """Open the package, check its structure and weights, then evaluate it."""
    operators = program_operators(spec)
    expected = Expected(
        target=exporter.target,
        dtype=exporter.dtype,
        flops=sum(count(operator).flops for operator in operators),
        quantised_weights=exporter.quantised_weights,
        operations=computing_operations(spec),
    )
    with unpacked_package(content) as folder:
        open_package(folder)
        program = read_program(folder)
    check_program(program, expected)
    (function,) = program.functions.values()
    check_weights(function, weights, quantised=exporter.quantised_weights)
    return _run(content, example)


def _run(content: bytes, example: Tensor) -> Tensor:
    return evaluate(_function(content), example)[0]


def _function(content: bytes) -> Function:
    with unpacked_package(content) as folder:
        program = read_program(folder)
    (function,) = program.functions.values()
    return function


def _worst_link(
    network: nn.Sequential,
    x: Tensor,
    content: bytes,
    output: Tensor,
    limit: ErrorLimit,
) -> float:
    """The largest error of a link, given the input that it has in the file.

    Each link's output must appear among the file's values, in order, and the
    last one must be the file's output. A file of one operation is judged by
    its output.
    """
    function = _function(content)
    computed = {name for op in function.operations for name, _ in op.outputs}
    if len(computed) < 2:
        return relative_error(limit, output, network(x))
    left = [v for name, v in evaluate_all(function, x).items() if name in computed]
    worst = 0.0
    for link in network:
        expected = link(x)
        errors = [relative_error(limit, value, expected) for value in left]
        best = min(range(len(errors)), key=errors.__getitem__, default=None)
        if best is None:
            return float("inf")
        worst, x, left = max(worst, errors[best]), left[best], left[best + 1 :]
    return worst if torch.equal(x.float(), output) else float("inf")
