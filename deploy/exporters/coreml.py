"""Core ML packages (ML programs), checked by an interpreter of the saved file.

Core ML itself runs on Apple's systems only. What can be known without it is
known before a package is accepted: its operations, number formats, shapes,
specification version and amount of work, and that it computes what torch does.
Not known: whether Apple's compiler takes it, where it runs, how fast.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.chains.modules import chain_input, chain_network
from deploy.chains.programs import program_operators
from deploy.coreml.check import SPECIFICATIONS, Expected, check_program
from deploy.coreml.interpreter import evaluate, evaluate_all
from deploy.coreml.package import pack, unfolded
from deploy.coreml.program import Function, read_program
from deploy.exporters.base import ExportedFile
from deploy.exporters.verify import export_and_verify, largest_error, rms_error
from search.errors import ExportError, UsageError
from search.operators.counts import count

FP32_LIMIT = 1e-5
FP16_LIMIT = 5e-3
# Reported rather than judged; but beyond this it is another network.
W8_LIMIT = 0.03


class _Coreml:
    """One precision; `target` is the oldest system that is to load the package."""

    dtype: ClassVar[str] = "fp16"
    limit: ClassVar[float] = FP16_LIMIT
    measure = staticmethod(largest_error)
    quantised_weights: ClassVar[bool] = False

    def __init__(self, target: str = "iOS16") -> None:
        if target not in SPECIFICATIONS:
            raise UsageError(
                f"Unknown deployment target {target!r}.", f"Known: {', '.join(SPECIFICATIONS)}."
            )
        self.target = target

    def build(self, subject: ExportSpec) -> ExportedFile:
        """Convert, save, read back, check, evaluate, compare."""
        export, run = partial(_export, form=self), partial(_check_and_run, self, subject)
        with quiet():
            if subject.copies is None:
                return export_and_verify(subject, export, run, self.measure, self.limit)
            return self._chain(subject)

    def _chain(self, subject: ExportSpec) -> ExportedFile:
        """Each link is judged by itself: later ones hide faults, and add up rounding."""
        network, example = chain_network(subject), chain_input(subject)
        with torch.no_grad():
            content = _export(network, example, form=self)
            made = _check_and_run(self, subject, content, example)
            worst = _worst_link(network, example, content, made, self.measure)
        if not worst <= self.limit:
            raise ExportError(
                f"The file computes something else than {subject.name}: relative error "
                f"{worst:.2g} in a link, allowed {self.limit:g}.",
                "Report this operator with the versions of torch and coremltools.",
            )
        return ExportedFile(content=content, relative_error=worst)


class CoremlFp16(_Coreml):
    """16-bit floats throughout, inputs and outputs included."""


class CoremlFp32(_Coreml):
    """32-bit floats throughout."""

    dtype, limit = "fp32", FP32_LIMIT


class CoremlW8(_Coreml):
    """As 16-bit floats, with weights stored in 8 bits (linear, symmetric, a scale a channel)."""

    limit, quantised_weights = W8_LIMIT, True
    measure = staticmethod(rms_error)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the toolchain's chatter off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _export(module: nn.Module, example: Tensor, *, form: _Coreml) -> bytes:
    import coremltools as ct
    from coremltools.converters.mil.mil import types

    half = form.dtype == "fp16"
    kind = types.fp16 if half else types.fp32
    convert = partial(
        ct.convert,
        convert_to="mlprogram",
        minimum_deployment_target=getattr(ct.target, form.target),
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    try:
        if not any(True for _ in module.parameters()):
            return _saved(convert(_nothing(example, kind, getattr(ct.target, form.target))))
        program = torch.export.export(module, (example.contiguous(),), strict=False)
        model = convert(
            program.run_decompositions({}),
            # Otherwise they stay 32-bit floats, and a cast stands behind them.
            inputs=[ct.TensorType("x", shape=tuple(example.shape), dtype=kind)],
            outputs=[ct.TensorType("y", dtype=kind)],
        )
        return _saved(_compress(model) if form.quantised_weights else model)
    except Exception as error:
        raise ExportError(f"Core ML's converter cannot take this module: {error}") from error


def _nothing(example: Tensor, kind: Any, opset: Any) -> Any:
    """The empty program. Through torch the converter names input and output alike, and fails."""
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

    how = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=64)
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=how))


def _saved(model: Any) -> bytes:
    # The date would make two builds of one network differ.
    model.user_defined_metadata.pop("com.github.apple.coremltools.conversion_date", None)
    with tempfile.TemporaryDirectory(prefix="kit-package-") as temporary:
        folder = Path(temporary) / "model.mlpackage"
        model.save(str(folder))
        return pack(folder)


def _check_and_run(form: _Coreml, subject: ExportSpec, content: bytes, example: Tensor) -> Tensor:
    """The gate: structure first, then numbers."""
    operators = program_operators(subject)
    expected = Expected(
        target=form.target,
        dtype=form.dtype,
        flops=sum(count(operator).flops for operator in operators),
        quantised_weights=form.quantised_weights,
    )
    with unfolded(content) as folder:
        check_program(read_program(folder), expected)
    return _run(content, example)


def _run(content: bytes, example: Tensor) -> Tensor:
    return evaluate(_function(content), example)[0]


def _function(content: bytes) -> Function:
    with unfolded(content) as folder:
        program = read_program(folder)
    (function,) = program.functions.values()
    return function


def _worst_link(
    network: nn.Sequential,
    x: Tensor,
    content: bytes,
    output: Tensor,
    measure: Callable[[Tensor, Tensor], float],
) -> float:
    """The largest error of a link, given the input that it has in the file.

    Each link's output must appear among the file's values, in order, and the
    last one must be what the file puts out. A file of one operation is judged
    by what it puts out.
    """
    function = _function(content)
    made = {name for op in function.operations for name, _ in op.outputs}
    if len(made) < 2:
        return measure(output, network(x))
    left = [v for name, v in evaluate_all(function, x).items() if name in made]
    worst = 0.0
    for link in network:
        wanted = link(x)
        errors = [measure(value, wanted) for value in left]
        best = min(range(len(errors)), key=errors.__getitem__, default=None)
        if best is None:
            return float("inf")
        worst, x, left = max(worst, errors[best]), left[best], left[best + 1 :]
    return worst if torch.equal(x.float(), output) else float("inf")
