"""One deployment from options to result: network, images, file, verification."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.artefact import Artefact, ExportSpec
from deploy.build import collect
from deploy.exporters.registry import (
    ExporterEntry,
    default_dtype,
    exporter_entry,
    with_deployment_target,
)
from deploy.models.source import find_source
from deploy.verification.device_side import (
    DeviceVerifier,
    VerificationRequest,
    load_device_verifier,
)
from deploy.verification.options import EXPORT_FORMATS, DeployOptions, backend_for
from deploy.verification.result import DeployResult, file_name
from search.architecture import Architecture
from search.console.progress import Silent
from search.errors import ExportError, UsageError
from search.zoo.resolve import NamedNetwork, find_network

if TYPE_CHECKING:
    from deploy.verification.images import Evaluation
    from search.data.base import Data

_IMAGES_UNTRAINED = 64


def run_deployment(options: DeployOptions) -> DeployResult:
    """Build the file and verify it; bad input is refused before anything is built.

    Raises:
        UsageError: Bad input.
        ExportError: The network cannot become such a file.
        DeviceError, DeviceLost, DeviceTimeout: The device.
    """
    source = find_source(options.net)
    if source is not None:
        from deploy.verification.own import run_model

        return run_model(options, source)
    device = options.device_options()
    options.check()
    options.check_network()
    verifier = load_device_verifier() if device else None
    network = find_network(options.net)
    dtype, entry, backend = choose_exporter(options, network, verifier)
    architecture = network.with_dtype(dtype).architecture
    if options.batch is not None:
        architecture = architecture.with_batch(options.batch)
    if options.bundle is not None and architecture.batch != 1:
        raise UsageError(
            f"A bundle is for one image a call, {architecture.name} takes {architecture.batch}.",
            "Give --batch 1, or --output instead of --bundle.",
        )
    if verifier and device:
        verifier.reach(device, dtype)
    data = _open_data(options, architecture)
    export = export_spec(options, architecture, data)
    artefact = _build(export, entry, options.quiet)
    report = None
    if verifier and device:
        report = verifier.verify(
            VerificationRequest(
                architecture=architecture,
                export=export,
                artefact=artefact,
                device=replace(device, backend=backend),
                chunks=_evaluation(options, export, data).chunks(),
                table=options.table,
                tables=options.tables,
                target_us=options.target_us,
                quiet=options.quiet,
                profile=options.profile,
                sustain_s=options.sustain_s,
            )
        )
    return DeployResult(
        architecture=architecture,
        artefact=artefact,
        backend=backend,
        weights=str(options.weights) if options.weights else "seeded",
        calibration=_calibration_text(export, data, options),
        file=export_path(options.folder, architecture, entry) if options.folder else None,
        report=report,
        notes=_notes(data),
    )


def choose_exporter(
    options: DeployOptions, network: NamedNetwork, verifier: DeviceVerifier | None
) -> tuple[str, ExporterEntry, str]:
    """Number format, exporter and backend; the device's defaults fill in what is not given.

    Raises:
        UsageError: Unknown, or not to be had together.
    """
    device = options.device_options()
    defaults = verifier.defaults(device) if verifier and device else None
    backend = options.backend
    if options.export_format is not None:
        backend = backend_for(options.export_format, options.backend)
    backend = backend or (defaults.backend if defaults else EXPORT_FORMATS["pte"][0])
    own = network.architecture.dtype
    usual = defaults.dtype if defaults and defaults.backend == backend else default_dtype(backend)
    dtype = options.dtype or (own if own != "fp32" else usual)
    entry = with_deployment_target(exporter_entry(backend, dtype), options.deployment_target)
    return dtype, entry, backend


# --- images


def _open_data(options: DeployOptions, architecture: Architecture) -> "Data | None":
    if options.data is None:
        return None
    from deploy.verification.images import open_images

    return open_images(
        options.data,
        architecture,
        weights=options.weights,
        seed=options.seed,
        train_folder=options.train_folder,
        val_folder=options.val_folder,
    )


def export_spec(
    options: DeployOptions, architecture: Architecture, data: "Data | None"
) -> ExportSpec:
    """The network with its weights and calibration images.

    Raises:
        UsageError: The weights are not of this network.
    """
    calibration = None
    if data is not None and architecture.dtype == "int8":
        from deploy.exporters.calibration import save_images
        from deploy.verification.images import calibration_images

        calibration = save_images(calibration_images(data, options.calibration, options.seed))
    export = ExportSpec(
        name=architecture.name,
        operators=architecture.operators,
        weights=options.weights,
        calibration=calibration,
    )
    if options.weights is not None:
        from deploy.verification.images import reference

        reference(export)  # raises before any work
    return export


def _evaluation(options: DeployOptions, export: ExportSpec, data: "Data | None") -> "Evaluation":
    from deploy.verification.images import evaluation

    trained = options.weights is not None
    most = options.images
    if most is None and data is not None and not trained:
        most = _IMAGES_UNTRAINED
    return evaluation(export, data, most=most, trained=trained, seed=options.seed)


def _calibration_text(export: ExportSpec, data: "Data | None", options: DeployOptions) -> str:
    if export.operators[0].dtype != "int8":
        return "none"
    return f"{options.calibration} images of {data.name}" if data else "noise"


def _notes(data: "Data | None") -> tuple[str, ...]:
    if data is None:
        return ()
    return (*data.notes, *((data.warning(),) if data.warning() else ()))


# --- the file


def _build(export: ExportSpec, entry: ExporterEntry, quiet: bool) -> Artefact:
    if not quiet:
        print(f"building {export.name} as {entry.name}", file=sys.stderr, flush=True)
    artefacts, reasons = collect([export], entry, progress=Silent())
    if export.name not in artefacts:
        raise ExportError(f"{export.name} could not be exported: {reasons[export.name]}")
    return artefacts[export.name]


def export_path(folder: Path, architecture: Architecture, entry: ExporterEntry) -> Path:
    """Where the file goes: name in plain letters, a batch beyond 1, dtype and suffix."""
    name = architecture.name
    if architecture.batch != 1:
        name = f"{name} b{architecture.batch}"
    return folder / file_name(name, architecture.dtype, entry.suffix)
