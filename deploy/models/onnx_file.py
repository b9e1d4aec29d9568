"""ONNX files: looked through, shapes fixed, made one file, answered by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.models.source import MOST_BYTES
from deploy.models.tensors import DTYPES, Array, TensorSpec, pin_shapes
from search.errors import ExportError, UsageError

_OWN_DOMAINS = ("", "ai.onnx")
# Operators that ONNX Runtime's own wheel brings beside the standard's.
_KNOWN_DOMAINS = (*_OWN_DOMAINS, "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
_LONGEST = 300


def read_onnx(
    path: Path, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[bytes, tuple[TensorSpec, ...]]:
    """One self-contained file with these shapes, and its inputs.

    Raises:
        UsageError: Not such a file, an opset or operators that cannot be run here, external
            data that is not there, or shapes that are not known.
    """
    import onnx

    model = _parsed(path)
    _check_opsets(path, model)
    _take_external_data(path, model)
    constants = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in constants]
    specs = pin_shapes([_spec(path, value) for value in values], shapes)
    for value, spec in zip(values, specs, strict=True):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, spec.sizes, strict=True):
            dim.Clear()
            dim.dim_value = size
    if shapes:
        # What was inferred for any shape may contradict the fixed ones.
        del model.graph.value_info[:]
    try:
        content: bytes = model.SerializeToString()
        onnx.checker.check_model(content)
    except Exception as error:  # of protobuf or the checker
        raise UsageError(
            f"{path} is no sound ONNX model: {_first_line(error)}.", "Export it again."
        ) from error
    return content, specs


def open_session(content: bytes, *, optimised: bool) -> Any:
    """A session of ONNX Runtime over these bytes, on one thread.

    Raises:
        ExportError: It has operators that the runtime does not have.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimised:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise ExportError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run the model: {_first_line(error)}.",
            "Export it with standard operators, or give the torch model (.pt2).",
        ) from error


def session_answers(session: Any, specs: Sequence[TensorSpec], values: Sequence[Array]) -> Any:
    """The outputs of one call, as arrays.

    Raises:
        ExportError: The call fails, or an output is no array.
    """
    feed = {spec.name: np.ascontiguousarray(v) for spec, v in zip(specs, values, strict=True)}
    try:
        outputs = session.run(None, feed)
    except Exception as error:  # its exceptions have no common base
        raise ExportError(
            f"ONNX Runtime fails on these inputs: {_first_line(error)}.",
            "Give valid inputs with --inputs FILE.npz.",
        ) from error
    if not all(isinstance(output, np.ndarray) for output in outputs):
        raise ExportError("The model returns sequences or maps, which are not compared here.")
    return tuple(outputs)


def _parsed(path: Path) -> Any:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # of protobuf
        raise UsageError(f"{path} is not an ONNX file: {_first_line(error)}.") from error
    if not model.graph.node and not model.graph.output:
        raise UsageError(f"{path} is not an ONNX file, or an empty one.")
    return model


def _check_opsets(path: Path, model: Any) -> None:
    import onnx
    import onnxruntime

    newest = min(onnx.defs.onnx_opset_version(), _newest_opset(onnxruntime.__version__))
    for one in model.opset_import:
        if one.domain in _OWN_DOMAINS and one.version > newest:
            raise UsageError(
                f"{path} is written for opset {one.version}; ONNX Runtime "
                f"{onnxruntime.__version__} knows {newest} at most.",
                f"Export it with opset {newest} or an older one.",
            )
        if one.domain in _OWN_DOMAINS and one.version < 7:
            raise UsageError(
                f"{path} is written for opset {one.version}, older than any that is still run (7).",
                "Convert it: onnx.version_converter.convert_version(model, 18).",
            )
    foreign = sorted({n.domain for n in model.graph.node if n.domain not in _KNOWN_DOMAINS})
    functions = {function.domain for function in model.functions}
    for domain in foreign:
        if domain not in functions:
            names = sorted({n.op_type for n in model.graph.node if n.domain == domain})
            raise UsageError(
                f"{path} uses operators of its own ({domain}: {', '.join(names[:5])}).",
                "Export it with standard operators.",
            )


def _newest_opset(runtime: str) -> int:
    """Each release of ONNX Runtime since 1.14 names its opset; a newer one than known is as new."""
    newest = {14: 18, 15: 19, 16: 19, 17: 20, 18: 21, 19: 21, 20: 21, 21: 22, 22: 23, 23: 23}
    minor = int(runtime.split(".")[1])
    return newest.get(minor, 24 if minor > 23 else 17)


def _take_external_data(path: Path, model: Any) -> None:
    """Weights that lie in files beside it come into it."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    tensors = [t for t in model.graph.initializer if uses_external_data(t)]
    if not tensors:
        return
    folder = path.resolve().parent
    places = {entry.value for t in tensors for entry in t.external_data if entry.key == "location"}
    total = path.stat().st_size
    for place in sorted(places):
        file = (folder / place).resolve()
        if not file.is_relative_to(folder):
            raise UsageError(f"{path} refers to a file outside its folder: {place!r}.")
        if not file.is_file():
            raise UsageError(
                f"{path} keeps its weights in {place!r}, which is not beside it.",
                "Copy that file too, or save the model as one file.",
            )
        total += file.stat().st_size
    if total > MOST_BYTES:
        raise UsageError(
            f"{path} has {total / 1e9:.1f} GB with its weights; {MOST_BYTES / 1e9:.1f} GB at most "
            "are taken.",
            "Quantise the model, or export a part of it.",
        )
    try:
        onnx.load_external_data_for_model(model, str(folder))
    except Exception as error:  # of any kind
        raise UsageError(
            f"The weights beside {path} cannot be read: {_first_line(error)}.", "Export it again."
        ) from error


def _spec(path: Path, value: Any) -> TensorSpec:
    import onnx

    if value.type.WhichOneof("value") != "tensor_type":
        raise UsageError(f"The input {value.name} of {path} is no tensor; only tensors are taken.")
    tensor = value.type.tensor_type
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        dtype = str(tensor.elem_type)
    if dtype not in DTYPES:
        raise UsageError(
            f"The input {value.name} of {path} is {dtype}.", f"Taken are {', '.join(DTYPES)}."
        )
    if not tensor.HasField("shape"):
        raise UsageError(
            f"{path} does not say how many dimensions its input {value.name} has.",
            "Export it with shapes.",
        )
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or "N"
        for dim in tensor.shape.dim
    )
    return TensorSpec(name=value.name, shape=shape, dtype=dtype)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_LONGEST].rstrip(".")
