"""Models of the user's own on an open agent: kernels that are missing, inputs, outputs."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.models.difference import largest_difference, same_first, squares
from deploy.models.prepare import OwnModel
from deploy.models.tensors import Array, Case, TensorSpec
from deploy.verification.device_side import OutputErrors
from device_agents.base import DeviceAgent, default_runtime
from device_agents.device import Device
from profiler.measuring.calls import run_file
from profiler.measuring.items import TimedItem
from profiler.settings import CampaignSettings
from search.console.messages import counted
from search.errors import DeviceError

_CHUNK_BYTES = 64 * 2**20
_SHOWN = 8


def timed_model(model: OwnModel, given: Path) -> TimedItem:
    """A model as an item of a run, called on its first case."""
    return TimedItem(name=model.name, artefact=model.artefact, is_network=True, input=given)


def refuse_missing_kernels(model: OwnModel, target: Device, settings: CampaignSettings) -> None:
    """Refuse operators that are not delegated on runtimes that have no kernels.

    Raises:
        DeviceError: There are such operators; names them.
    """
    runtime = settings.runtime
    if runtime == "auto":
        runtime = default_runtime(target.platform)
    if not model.outside or runtime != "wheels" or settings.backend != "xnnpack":
        return
    ranked = sorted(model.outside.items(), key=lambda item: -item[1])
    names = ", ".join(f"{name} ({count})" for name, count in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    other = (
        "--runtime installed has them on this computer"
        if target.platform == "host"
        else "a runner built with the NDK has them (--runtime ndk)"
    )
    raise DeviceError(
        f"{model.name} calls operators that XNNPACK does not take, and the runtime of this device "
        f"has no kernels of them: {names}{more}.",
        f"Replace them in the model; {other}; or try it on --device host.",
    )


def refuse_interface(model: OwnModel, target: Device) -> None:
    """Refuse a model whose inputs or outputs the device's runner cannot hand on.

    Raises:
        DeviceError: It is such a model.
    """
    values = (*model.inputs, *model.outputs)
    alone = len(model.inputs) == len(model.outputs) == 1
    if target.platform != "ios" or (alone and all(v.dtype.startswith("float") for v in values)):
        return
    raise DeviceError(
        "The app on an iPhone calls models of one input and one output, both of floats; "
        f"{model.name} has {', '.join(value.words for value in values)}.",
        "Export the package with --export-format mlpackage -o FOLDER, which is checked too.",
    )


@contextlib.contextmanager
def input_file(specs: Sequence[TensorSpec], cases: Sequence[Case]) -> Iterator[Path]:
    """A tensor file of the inputs of these cases, while the context is open."""
    with tempfile.TemporaryDirectory(prefix="kit-inputs-") as folder:
        content = _content(specs, cases)
        path = Path(folder) / f"{hashlib.sha256(content).hexdigest()[:32]}.bin"
        path.write_bytes(content)
        yield path


def compare_model(agent: DeviceAgent, settings: CampaignSettings, model: OwnModel) -> OutputErrors:
    """Call the model on all cases on the device, and compare every output.

    Raises:
        DeviceError: The runner failed, or its outputs have another size.
        DeviceLost, DeviceTimeout: Twice.
    """
    artefact = model.artefact
    file = agent.deliver(artefact.path, artefact.sha256)
    size = max(1, sum(spec.nbytes for spec in (*model.inputs, *model.outputs)))
    most = max(1, _CHUNK_BYTES // size)
    worst, errors, magnitudes, same = 0.0, 0.0, 0.0, 0
    for start in range(0, len(model.cases), most):
        cases = model.cases[start : start + most]
        with input_file(model.wire_inputs, cases) as path:
            content = run_file(agent, settings, file, artefact.sha256, path)
        for case, actual in zip(
            cases, _split(content, model.wire_outputs, len(cases)), strict=True
        ):
            worst = max(worst, largest_difference(actual, case.expected))
            error, magnitude = squares(actual, case.expected)
            errors, magnitudes = errors + error, magnitudes + magnitude
            same += same_first(actual, case.expected)
    return OutputErrors(
        images=len(model.cases),
        largest_error=worst,
        rms_error=(errors / magnitudes) ** 0.5 if magnitudes else 0.0,
        judged=model.limit[0],
        limit=model.limit[1],
        agreement=same / len(model.cases),
        reference=model.reference,
        of="calls",
    )


def _content(specs: Sequence[TensorSpec], cases: Sequence[Case]) -> bytes:
    return b"".join(
        spec.to_bytes(value)
        for case in cases
        for spec, value in zip(specs, case.inputs, strict=True)
    )


def _split(content: bytes, specs: Sequence[TensorSpec], cases: int) -> Iterator[tuple[Array, ...]]:
    size = sum(spec.nbytes for spec in specs)
    if len(content) != size * cases:
        raise DeviceError(
            f"The device wrote {len(content)} bytes for {counted(cases, 'call')}, "
            f"{size * cases} were expected."
        )
    for number in range(cases):
        values, offset = [], number * size
        for spec in specs:
            values.append(spec.from_bytes(content[offset : offset + spec.nbytes]))
            offset += spec.nbytes
        yield tuple(values)
