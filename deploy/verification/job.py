"""One deployment from start to end: network, images, file, folder, proof."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.artefact import Artefact, ExportSpec
from deploy.build import build_all
from deploy.exporters.registry import (
    COMPUTE_UNITS,
    ExporterEntry,
    default_dtype,
    exporter_entry,
    with_deployment_target,
)
from deploy.verification.device_side import (
    DeviceOptions,
    DeviceVerifier,
    VerificationReport,
    VerificationRequest,
    load_device_verifier,
)
from search.architecture import Architecture
from search.errors import ExportError, UsageError
from search.table.store import read_manifest
from search.zoo.resolve import NamedNetwork, find_network

if TYPE_CHECKING:
    from search.data.base import Data

# Which backends read a file format; the first unless told otherwise.
FORMATS = {
    "pte": ("xnnpack", "coreml-delegate"),
    "onnx": ("onnxruntime",),
    "mlpackage": ("coreml", *(f"coreml-{unit}" for unit in COMPUTE_UNITS)),
}
_IMAGES_UNTRAINED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """What the user asked for."""

    net: str
    target: DeviceOptions | None = None
    file_format: str | None = None
    output: Path | None = None
    dtype: str | None = None
    backend: str | None = None
    deployment_target: str | None = None
    weights: Path | None = None
    data: str | None = None
    images: int | None = None
    calibration: int = 128
    seed: int = 0
    table: Path | None = None
    tables: Path = Path("tables")
    target_us: float | None = None
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployResult:
    """What came of it. `proof` is None where nothing was run on a device."""

    architecture: Architecture
    artefact: Artefact
    backend: str
    weights: str
    calibration: str
    file: Path | None
    proof: VerificationReport | None
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this deployment is not good enough; empty if it is."""
        return () if self.proof is None else self.proof.problems


def run_job(job: DeployOptions) -> DeployResult:
    """Do all of it; what files and options tell is refused before anything is built.

    Raises:
        UsageError: Bad input.
        ExportError: The network cannot become such a file.
        DeviceError, DeviceLost, DeviceTimeout: The device.
    """
    _check(job)
    side = load_device_verifier() if job.target else None
    network = find_network(job.net)
    dtype, entry, backend = _what(job, network, side)
    architecture = network.with_dtype(dtype).architecture
    batch = architecture.operators[0].batch
    if batch != 1:
        raise UsageError(f"{architecture.name} takes {batch} images a call; only 1 can be proved.")
    if side and job.target:
        side.reach(job.target, dtype)
    data = _open_data(job, architecture)
    subject = _subject(job, architecture, data)
    artefact = _build(subject, entry, job.quiet)
    proof = _prove(job, side, architecture, subject, artefact, backend, data) if side else None
    return DeployResult(
        architecture=architecture,
        artefact=artefact,
        backend=backend,
        weights=str(job.weights) if job.weights else "seeded",
        calibration=_calibration_text(subject, data, job),
        file=_file(job.output, architecture, entry) if job.output else None,
        proof=proof,
        notes=_notes(data),
    )


def _check(job: DeployOptions) -> None:
    if job.target is None and job.file_format is None:
        raise UsageError(
            "Say where the network is to go.",
            "--device host proves it there; --format pte -o FOLDER only exports it.",
        )
    if job.target is None and job.output is None:
        raise UsageError("An export needs a folder to go to.", "Add -o FOLDER.")
    if job.target is None and (job.target_us is not None or job.table is not None):
        raise UsageError("--target-ms and --table need a device to be held against: --device.")
    if job.weights is not None and not job.weights.is_file():
        raise UsageError(f"There are no weights at {job.weights}.")
    if job.target_us is not None and not 0 < job.target_us < float("inf"):
        raise UsageError("--target-ms must be positive.")
    if job.table is not None:
        read_manifest(job.table)
    if job.output is not None and job.output.exists() and not job.output.is_dir():
        raise UsageError(f"{job.output} is not a folder.")


def _what(
    job: DeployOptions, network: NamedNetwork, side: DeviceVerifier | None
) -> tuple[str, ExporterEntry, str]:
    """Number format, exporter and backend."""
    habits = side.habits(job.target.device) if side and job.target else None
    backend = job.backend
    if job.file_format is not None:
        backend = _backend_of(job.file_format, job.backend)
    backend = backend or (habits.backend if habits else FORMATS["pte"][0])
    own = network.architecture.dtype
    habit = habits.dtype if habits and habits.backend == backend else default_dtype(backend)
    dtype = job.dtype or (own if own != "fp32" else habit)
    entry = with_deployment_target(exporter_entry(backend, dtype), job.deployment_target)
    return dtype, entry, backend


def _backend_of(file_format: str, asked: str | None) -> str:
    if file_format not in FORMATS:
        raise UsageError(f"Unknown --format {file_format!r}.", f"Known: {', '.join(FORMATS)}.")
    readers = FORMATS[file_format]
    if asked is not None and asked not in readers:
        raise UsageError(
            f"The backend {asked} reads no {file_format} files.", f"These do: {', '.join(readers)}."
        )
    return asked or readers[0]


# --- images


def _open_data(job: DeployOptions, architecture: Architecture) -> "Data | None":
    if job.data is None:
        return None
    from deploy.verification.images import open_images

    return open_images(job.data, architecture, weights=job.weights, seed=job.seed)


def _subject(job: DeployOptions, architecture: Architecture, data: "Data | None") -> ExportSpec:
    """What is exported; trained weights are tried on it here, before any work."""
    calibration = None
    if data is not None and architecture.dtype == "int8":
        from deploy.exporters.calibration import save_images
        from deploy.verification.images import calibration_images

        calibration = save_images(calibration_images(data, job.calibration, job.seed))
    subject = ExportSpec(
        name=architecture.name,
        operators=architecture.operators,
        weights=job.weights,
        calibration=calibration,
    )
    if job.weights is not None:
        from deploy.verification.images import reference

        reference(subject)
    return subject


def _calibration_text(subject: ExportSpec, data: "Data | None", job: DeployOptions) -> str:
    if subject.operators[0].dtype != "int8":
        return "none"
    return f"{job.calibration} images of {data.name}" if data else "noise"


def _notes(data: "Data | None") -> tuple[str, ...]:
    warning = data.warning() if data else ""
    return (warning,) if warning else ()


# --- the file


def _build(subject: ExportSpec, entry: ExporterEntry, quiet: bool) -> Artefact:
    if not quiet:
        print(f"building {subject.name} as {entry.name}", file=sys.stderr, flush=True)
    (built,) = build_all([subject], entry)
    if built.artefact is None:
        raise ExportError(f"{subject.name} could not be exported: {built.reason}")
    return built.artefact


def _file(folder: Path, architecture: Architecture, entry: ExporterEntry) -> Path:
    words = "".join(c if c.isalnum() else " " for c in architecture.name.lower()).split()
    return folder / f"{'-'.join(words) or 'network'}-{architecture.dtype}{entry.suffix}"


# --- the proof


def _prove(
    job: DeployOptions,
    side: DeviceVerifier,
    architecture: Architecture,
    subject: ExportSpec,
    artefact: Artefact,
    backend: str,
    data: "Data | None",
) -> VerificationReport:
    from deploy.verification.images import evaluation

    assert job.target is not None
    trained = job.weights is not None
    most = job.images if job.images or (trained and data) else None
    if job.images is None and data is not None and not trained:
        most = _IMAGES_UNTRAINED
    chosen = evaluation(subject, data, most=most, trained=trained, seed=job.seed)
    return side.prove(
        VerificationRequest(
            architecture=architecture,
            subject=subject,
            artefact=artefact,
            target=replace(job.target, backend=backend),
            chunks=chosen.chunks(),
            table=job.table,
            tables=job.tables,
            target_us=job.target_us,
            quiet=job.quiet,
        )
    )
