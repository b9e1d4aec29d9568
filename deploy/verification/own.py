"""One deployment of a model of the user's own, from options to result."""

import sys
from dataclasses import replace

from deploy.models.prepare import ModelOptions, OwnModel, prepare_model
from deploy.models.routes import (
    BACKENDS,
    check_route,
    default_backend,
    is_coreml,
    model_dtype,
)
from deploy.models.source import ModelSource
from deploy.models.tensors import parse_shapes
from deploy.verification.device_side import DeviceVerifier, ModelRequest, load_device_verifier
from deploy.verification.options import DeployOptions, backend_for
from deploy.verification.result import DeployResult, file_name
from search.errors import UsageError

# Options that say something of the kit's own networks.
_FOREIGN = ("batch", "weights", "data", "train_folder", "val_folder")


def run_model(options: DeployOptions, source: ModelSource) -> DeployResult:
    """Build the file and verify it; bad input is refused before anything is built.

    Raises:
        UsageError: Bad input.
        ExportError: The model cannot become such a file.
        DeviceError, DeviceLost, DeviceTimeout: The device.
    """
    device = options.device_options()
    options.check()
    _check(options)
    verifier = load_device_verifier() if device else None
    backend = _backend(options, source, verifier)
    check_route(source, backend)
    dtype = model_dtype(backend, options.dtype)
    if options.deployment_target is not None and not is_coreml(backend):
        raise UsageError(
            f"--deployment-target is for Core ML packages, not for {backend}.", "Leave it out."
        )
    wished = ModelOptions(
        shapes=parse_shapes(options.shape),
        inputs=options.inputs,
        cases=options.images or ModelOptions(shapes={}).cases,
        seed=options.seed,
        dtype=dtype,
        target=options.deployment_target or ModelOptions(shapes={}).target,
    )
    if verifier and device:
        verifier.reach(replace(device, backend=backend), dtype)
    if not options.quiet:
        print(f"reading {source.text} for {backend}", file=sys.stderr, flush=True)
    model = prepare_model(source, backend, wished)
    report = None
    if verifier and device:
        report = verifier.verify_model(
            ModelRequest(
                model=model,
                device=replace(device, backend=backend),
                table=options.table,
                target_us=options.target_us,
                quiet=options.quiet,
                profile=options.profile,
                sustain_s=options.sustain_s,
            )
        )
    return DeployResult(
        model=model,
        artefact=model.artefact,
        backend=backend,
        weights=source.text,
        calibration="none",
        file=options.folder / file_name(model.name, dtype, BACKENDS[backend])
        if options.folder
        else None,
        report=report,
        notes=model.notes,
    )


def outside_words(model: OwnModel) -> str:
    """The operators that are not delegated, by name and count."""
    ranked = sorted(model.outside.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in ranked)


def _check(options: DeployOptions) -> None:
    """Refuse options that mean nothing for a model that is complete already."""
    for name in _FOREIGN:
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is for networks of this kit; a model of your own "
                "brings all of that.",
                "Leave it out; real inputs go with --inputs FILE.npz.",
            )
    if options.inputs is not None and not options.inputs.is_file():
        raise UsageError(f"There are no inputs at {options.inputs}.")


def _backend(options: DeployOptions, source: ModelSource, verifier: DeviceVerifier | None) -> str:
    """The backend asked for, or the device's own where the model has a way to it."""
    if options.export_format is not None:
        return backend_for(options.export_format, options.backend)
    if options.backend is not None:
        return options.backend
    device = options.device_options()
    own = verifier.defaults(device).backend if verifier and device else None
    return default_backend(source, own)
