"""Export through torch with the check that every artefact passes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from deploy.exporters.calibration import calls_of, load_images
from deploy.exporters.error_limits import ErrorLimit
from deploy.network import fold_batch_norm, load_weights, seeded_network
from search.errors import ExportError
from search.operators.modules import example_input

Export = Callable[[nn.Module, Tensor], bytes]
Run = Callable[[bytes, Tensor], Tensor]


def export_and_verify(
    spec: ExportSpec, export: Export, run: Run, limit: ErrorLimit
) -> ExportedFile:
    """Build the module, export it, run the file, compare it with torch.

    The input is the first calibration images where there are such: a file
    calibrated on images clips noise, which says nothing of the images.

    Raises:
        ExportError: The error exceeds `limit`.
    """
    network = seeded_network(spec.operators)
    if spec.weights:
        load_weights(network, spec.weights, spec.operators)
    images = load_images(spec)
    example = example_input(spec.operators)
    if images is not None:
        example = calls_of(images, len(example))[0]
    with torch.no_grad():
        expected = network(example)
        content = export(fold_batch_norm(network), example)
        error = relative_error(limit, run(content, example), expected)
    if not error <= limit.value:
        raise ExportError(
            f"The file computes something else than {spec.name}: relative error "
            f"{error:.2g}, allowed {limit.value:g}.",
            "Report this operator with the versions of torch and the exporter.",
        )
    return ExportedFile(content=content, relative_error=error)


def relative_error(limit: ErrorLimit, actual: Tensor, expected: Tensor) -> float:
    """The error of an output that this limit judges."""
    measure = rms_error if limit.judged == "rms_error" else largest_error
    return measure(actual, expected)


def largest_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected magnitude; inf if shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    return float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def rms_error(actual: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of the expected output; inf if shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    return float((actual - expected).norm() / expected.norm().clamp_min(1e-12))
