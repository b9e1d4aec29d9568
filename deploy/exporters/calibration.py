"""Calibration images: real inputs on which a quantising exporter observes activations."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deploy.artefact import ExportSpec
from search.cache import cache_root
from search.errors import UsageError
from search.files import sha256_bytes, write_bytes


def save_images(images: Tensor) -> Path:
    """Keep normalised images (N, 3, R, R) in the cache, named by their content."""
    buffer = io.BytesIO()
    np.save(buffer, images.detach().numpy().astype(np.float32), allow_pickle=False)
    content = buffer.getvalue()
    path = cache_root() / "calibration" / f"{sha256_bytes(content)[:32]}.npy"
    if not path.exists():
        write_bytes(path, content)
    return path


def calls_of(images: Tensor, batch: int) -> list[Tensor]:
    """Calls on `batch` images each (batch, C, H, W); the last one is filled up from the first."""
    lacking = -len(images) % batch
    if lacking:
        again = images.repeat(-(-lacking // len(images)), 1, 1, 1)[:lacking]
        images = torch.cat([images, again])
    return [images[first : first + batch] for first in range(0, len(images), batch)]


def load_images(spec: ExportSpec) -> Tensor | None:
    """The spec's calibration images (N, C, H, W); None when it has none.

    Raises:
        UsageError: Not a .npy file of finite float32 images of this network's
            input.
    """
    path = spec.calibration
    if path is None:
        return None
    expected = spec.operators[0].input_shape[1:]
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} does not hold calibration images: {error}") from error
    shape = tuple(getattr(images, "shape", ()))
    if not isinstance(images, np.ndarray) or images.dtype != np.float32 or shape[1:] != expected:
        raise UsageError(
            f"{path} does not hold calibration images of {spec.name}: it has the shape "
            f"{shape}, the input of the network is {expected}.",
            "Save them as float32, N x channels x height x width, normalised.",
        )
    if not len(images) or not np.isfinite(images).all():
        raise UsageError(f"{path} holds no calibration images, or numbers that are not finite.")
    return torch.from_numpy(images)
