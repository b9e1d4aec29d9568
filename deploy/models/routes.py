"""Which model may become a file for which backend, and a word where there is no way."""

from deploy.exporters.registry import COMPUTE_UNITS
from deploy.models.source import ModelSource
from search.errors import UsageError

BACKENDS = {
    "xnnpack": ".pte",
    "onnxruntime": ".onnx",
    **dict.fromkeys(("coreml", *(f"coreml-{unit}" for unit in COMPUTE_UNITS)), ".mlpackage"),
}
# Number formats of files by the kind of backend, the usual one first.
_DTYPES = {".pte": ("fp32",), ".onnx": ("fp32",), ".mlpackage": ("fp16", "fp32")}


def is_coreml(backend: str) -> bool:
    """Whether models become Core ML packages for it."""
    return BACKENDS.get(backend) == ".mlpackage"


def model_dtype(backend: str, asked: str | None) -> str:
    """The number format of a model's file.

    Raises:
        UsageError: It is not made in that one.
    """
    known = _DTYPES[BACKENDS[backend]]
    if asked in (None, *known):
        return asked or known[0]
    raise UsageError(
        f"A model of your own is taken as it is, not made {asked}: for {backend} it becomes "
        f"{' or '.join(known)}.",
        "Quantise it before it is exported (torchao's prepare_pt2e and convert_pt2e).",
    )


def check_route(source: ModelSource, backend: str) -> None:
    """Refuse a model that cannot become a file for a backend; quick, reads nothing.

    Raises:
        UsageError: There is no way.
    """
    if source.kind == "onnx" and backend != "onnxruntime":
        raise UsageError(
            f"{source.path} runs on ONNX Runtime, not on {backend}: no maintained converter leads "
            "from ONNX to ExecuTorch or Core ML (coremltools dropped it in version 6; onnx2torch "
            "is no longer kept up).",
            "Give --backend onnxruntime and a device that has it (host), or the torch model that "
            "it was made from (.pt2).",
        )
    if source.kind == "pte" and backend != "xnnpack":
        raise UsageError(
            f"{source.path} is an ExecuTorch program; {backend} does not run it.",
            "Leave --backend out, or give the model that it was made from.",
        )
    if backend == "simulated":
        raise UsageError(
            "A simulated device knows the operators of this kit's spaces alone.",
            "Give a real device, such as --device host.",
        )
    if backend not in BACKENDS:
        raise UsageError(
            f"Models of your own run on the backends {', '.join(BACKENDS)}, not on {backend}.",
            "Give one of these with --backend.",
        )


def default_backend(source: ModelSource, devices_own: str | None) -> str:
    """The backend that a model takes unless told otherwise."""
    if source.kind == "onnx":
        return "onnxruntime"
    if source.kind == "pte":
        return "xnnpack"
    return devices_own or "xnnpack"
