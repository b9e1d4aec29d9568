"""Everything that a bundle says, gathered once; card and samples are made of it."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from deploy.models.tensors import TensorSpec
from deploy.verification.result import DeployResult
from search.data.preprocessing import Preparation, read_preparation
from search.errors import UsageError

# Images of at most so many pixels a side are squeezed whole, as training did it.
_SMALL_PX = 64
_CENTRAL = 224 / 256
_MOST_LABELS = 100_000
_RUNTIMES = {".pte": "executorch", ".onnx": "onnxruntime", ".mlpackage": "Core ML"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """How an image becomes the input: cut, resized, scaled, laid out.

    `area` is the share of the shorter side that is cut from the middle as a square; None
    squeezes the whole image. `mean` and `std` are of pixels scaled to 0..1, a channel each
    in the order RGB; the layout is one image, channels, height, width (NCHW).
    """

    size: int
    area: float | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    data: str

    def content(self) -> dict[str, object]:
        """As JSON types."""
        crop = "none" if self.area is None else f"central square, {self.area} of the shorter side"
        return {
            "kind": "image",
            "colours": "RGB",
            "crop": crop,
            "crop_share": self.area,
            "resize": [self.size, self.size],
            "interpolation": "bilinear",
            "scale": 1 / 255,
            "mean": list(self.mean),
            "std": list(self.std),
            "layout": "NCHW",
            "dtype": "float32",
            "trained_on": self.data,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """The facts of one bundle; unknown is None or empty."""

    name: str
    file: str
    sha256: str
    runtime: str
    runtime_version: str | None
    backend: str
    dtype: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    image: ImageInput | None
    labels: tuple[str, ...]
    licence: str | None
    result: DeployResult

    @property
    def suffix(self) -> str:
        """Of the file: `.pte`, `.onnx` or `.mlpackage`."""
        return Path(self.file).suffix

    @property
    def is_classifier(self) -> bool:
        """Whether it takes one image and gives one score a label."""
        return self.image is not None and len(self.inputs) == 1


def gather_facts(
    result: DeployResult, *, weights: Path | None, labels: Path | None, licence: str | None
) -> BundleFacts:
    """The facts of a deployment that has a file.

    Raises:
        UsageError: Labels that cannot be read, or of another number than the outputs.
    """
    assert result.file is not None
    inputs, outputs = _tensors(result)
    note = read_preparation(weights) if weights else None
    words = _read_labels(labels) if labels else (note.classes if note else ())
    if words and outputs and outputs[0].sizes[-1:] != (len(words),):
        raise UsageError(
            f"There are {len(words)} labels, and the output is {outputs[0].words}.",
            "Give one label a line, in the order of the outputs.",
        )
    suffix = result.file.suffix
    return BundleFacts(
        name=result.name,
        file=result.file.name,
        sha256=result.artefact.sha256,
        runtime=_RUNTIMES[suffix],
        runtime_version=_version(_RUNTIMES[suffix]),
        backend=result.backend,
        dtype=result.dtype,
        inputs=inputs,
        outputs=outputs,
        image=_image(result, note),
        labels=tuple(words),
        licence=licence,
        result=result,
    )


def _tensors(result: DeployResult) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    if result.model is not None:
        return result.model.inputs, result.model.outputs
    assert result.architecture is not None
    first = result.architecture.operators[0]
    dtype = "float16" if result.dtype in ("fp16", "w8") and _is_package(result) else "float32"
    shape = (1, result.architecture.classes)
    return (
        (TensorSpec(name="x", shape=first.input_shape, dtype=dtype),),
        (TensorSpec(name="y", shape=shape, dtype=dtype),),
    )


def _is_package(result: DeployResult) -> bool:
    return result.file is not None and result.file.suffix == ".mlpackage"


def _image(result: DeployResult, note: Preparation | None) -> ImageInput | None:
    """Known for networks of the kit whose weights have a note; nobody can guess it otherwise."""
    if result.architecture is None or note is None:
        return None
    size = result.architecture.resolution
    return ImageInput(
        size=size,
        area=None if size <= _SMALL_PX else _CENTRAL,
        mean=note.mean,
        std=note.std,
        data=note.data,
    )


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels in {path} cannot be read: {error}.") from error
    words = tuple(line.strip() for line in lines)
    while words and not words[-1]:
        words = words[:-1]
    if not words or not all(words) or len(words) > _MOST_LABELS:
        raise UsageError(f"{path} does not hold labels, one a line.")
    return words


def _version(runtime: str) -> str | None:
    return None if runtime == "Core ML" else version(runtime)
