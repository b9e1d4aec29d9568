"""What a user names as a model: a file of a known format, or a factory in Python code."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from search.errors import UsageError

Kind = Literal["pt2", "onnx", "pte", "factory"]
# ONNX and flatbuffers cannot be larger in one file, and no phone would load it.
MOST_BYTES = 2 * 2**30
_FORMATS: dict[str, tuple[Kind, str]] = {
    ".pt2": ("pt2", "torch.export"),
    ".onnx": ("onnx", "ONNX"),
    ".pte": ("pte", "ExecuTorch"),
}
_EXPORT = "torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')"
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".t7")
_OTHERS = {
    ".safetensors": "It holds weights without a model.",
    ".tflite": "There is no maintained converter from TensorFlow Lite to these runtimes.",
    ".h5": "Export it as ONNX (model.export(..., format='onnx')).",
    ".keras": "Export it as ONNX (model.export(..., format='onnx')).",
    ".pb": "Export it as ONNX, with tf2onnx.",
    ".mlmodel": "It runs on Apple's systems alone; give the torch model that it was made from.",
    ".mlpackage": "It runs on Apple's systems alone; give the torch model that it was made from.",
    ".torchscript": f"Export the torch model again: {_EXPORT}.",
}
_FACTORY = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model as named: a file, and the function in it that makes the model (`factory`)."""

    kind: Kind
    path: Path
    factory: str = ""

    @property
    def name(self) -> str:
        """What results call it."""
        return self.factory or self.path.stem

    @property
    def text(self) -> str:
        """As it was typed."""
        return f"{self.path}:{self.factory}" if self.factory else str(self.path)


def find_source(text: str) -> ModelSource | None:
    """The model that a text names; None where it is an architecture or a published name.

    Raises:
        UsageError: A file of a format that cannot be taken, that is absent, or too large.
    """
    match = _FACTORY.fullmatch(text)
    if match:
        return _existing(
            ModelSource(kind="factory", path=Path(match["path"]), factory=match["name"])
        )
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        return _existing(ModelSource(kind=_FORMATS[suffix][0], path=path))
    if suffix == ".py":
        raise UsageError(
            f"{text} is a program, not a model.",
            f"Name the function in it that returns the model: {text}:FUNCTION.",
        )
    if suffix in _PICKLES and path.name != suffix:
        raise UsageError(
            f"{text} is a pickle: loading it could run any program, so it is not loaded.",
            f"Where you trust it, export the model once: {_EXPORT}. Weights of a network of this "
            "kit go with --weights.",
        )
    if suffix in _OTHERS:
        raise UsageError(f"{text} is no format that is taken here.", _OTHERS[suffix])
    return None


def _existing(source: ModelSource) -> ModelSource:
    if not source.path.is_file():
        raise UsageError(f"There is no file {source.path}.")
    size = source.path.stat().st_size
    if size > MOST_BYTES:
        raise UsageError(
            f"{source.path} has {size / 1e9:.1f} GB; files of {MOST_BYTES / 1e9:.1f} GB at most "
            "are taken.",
            "No phone would load more: quantise the model, or export a part of it.",
        )
    if size == 0:
        raise UsageError(f"{source.path} is empty.", "Export it again.")
    return source
