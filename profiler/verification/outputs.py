"""Outputs of the device for real images, compared with those of torch."""

import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.artefact import Artefact
from deploy.verification.device_side import Chunk, Floats, OutputErrors
from device_agents.base import DeviceAgent
from profiler.measuring.calls import run_file
from profiler.settings import CampaignSettings
from search.console.progress import Progress
from search.errors import DeviceError, UsageError


def compare_outputs(
    agent: DeviceAgent,
    settings: CampaignSettings,
    artefact: Artefact,
    chunks: Iterable[Chunk],
    limit: tuple[str, float],
    progress: Progress,
    batch: int = 1,
) -> OutputErrors:
    """Run all images on the device, `batch` of them a call, and compare.

    Raises:
        UsageError: There are no images.
        DeviceError: The runner failed on them, or its outputs have another size.
        DeviceLost, DeviceTimeout: Twice on the same images.
    """
    tally = _Tally()
    file = agent.deliver(artefact.path, artefact.sha256)
    progress.say("numbers: comparing the device's outputs with torch's")
    for chunk in chunks:
        tally.add(chunk, run_images(agent, settings, file, artefact.sha256, chunk, batch))
    if not tally.images:
        raise UsageError("There are no images to compare the device with torch on.")
    return tally.numbers(limit)


def run_images(
    agent: DeviceAgent,
    settings: CampaignSettings,
    file: str,
    sha256: str,
    chunk: Chunk,
    batch: int = 1,
) -> Floats:
    """The device's outputs (N, classes) for these images.

    Where they do not fill the last call, the last image fills it up.

    Raises:
        DeviceError: The runner failed on them, or its outputs have another size.
        DeviceLost, DeviceTimeout: Twice.
    """
    filled = np.pad(chunk.images, ((0, -len(chunk.images) % batch), *[(0, 0)] * 3), mode="edge")
    content = np.ascontiguousarray(filled, dtype="<f4").tobytes()
    with tempfile.TemporaryDirectory(prefix="kit-images-") as folder:
        path = Path(folder) / f"{uuid.uuid4().hex}.bin"
        path.write_bytes(content)
        return _read(run_file(agent, settings, file, sha256, path), chunk, len(filled))


def _read(content: bytes, chunk: Chunk, images: int) -> Floats:
    """The outputs of the chunk's own images, of so many that were run."""
    size = 4 * chunk.expected[0].size * images
    if len(content) != size:
        raise DeviceError(
            f"The device wrote {len(content)} bytes for {images} images, {size} were expected."
        )
    outputs = np.frombuffer(content, "<f4").astype(np.float32)
    return outputs.reshape(images, *chunk.expected.shape[1:])[: len(chunk.expected)]


@dataclass
class _Tally:
    """Sums over all images, so that they need not be kept."""

    images: int = 0
    same: int = 0
    labelled: int = 0
    right: int = 0
    torch_right: int = 0
    largest: float = 0.0
    magnitude: float = 0.0
    squares: float = 0.0
    expected_squares: float = 0.0

    def add(self, chunk: Chunk, outputs: Floats) -> None:
        """Count one chunk."""
        expected = chunk.expected.astype(np.float64)
        difference = outputs.astype(np.float64) - expected
        # A NaN must not hide behind a comparison.
        self.largest = float(np.maximum(self.largest, np.abs(difference).max()))
        self.magnitude = max(self.magnitude, float(np.abs(expected).max()))
        self.squares += float((difference**2).sum())
        self.expected_squares += float((expected**2).sum())
        ours, theirs = outputs.argmax(axis=1), expected.argmax(axis=1)
        self.images += len(ours)
        self.same += int((ours == theirs).sum())
        if chunk.labels is not None:
            self.labelled += len(ours)
            self.right += int((ours == chunk.labels).sum())
            self.torch_right += int((theirs == chunk.labels).sum())

    def numbers(self, limit: tuple[str, float]) -> OutputErrors:
        """The verdict over all of them."""
        return OutputErrors(
            images=self.images,
            largest_error=self.largest / max(self.magnitude, 1e-12),
            rms_error=float(np.sqrt(self.squares / max(self.expected_squares, 1e-24))),
            judged=limit[0],
            limit=limit[1],
            agreement=self.same / self.images,
            device_top1=self.right / self.labelled if self.labelled else None,
            torch_top1=self.torch_right / self.labelled if self.labelled else None,
        )
