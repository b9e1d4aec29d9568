"""A model of the user's own on a device: outputs against its source, time, machine, footprint."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from deploy.models.difference import largest_difference, same_first, squares
from deploy.models.prepare import OwnModel
from deploy.models.tensors import Array, Case, TensorSpec
from deploy.verification.device_side import ModelRequest, OutputErrors, VerificationReport
from device_agents.base import DeviceAgent, default_runtime
from device_agents.device import Device
from device_agents.lock import device_lock
from device_agents.registry import find_device
from profiler.anchors.machine import TableAnchors, machine_now
from profiler.campaign.network_timing import NetworkTimes, time_networks
from profiler.measuring.agents import open_agent
from profiler.measuring.items import TimedItem
from profiler.settings import CampaignSettings
from profiler.verification.extras import Subject, with_footprint, with_profile
from profiler.verification.outputs import run_file
from profiler.verification.settings import latency_of, network_time, table_of_setting
from search.console.progress import make_progress
from search.errors import DeviceError
from search.latency.trust import preempted_sentence
from search.table.store import Table

_CHUNK_BYTES = 64 * 2**20
_SHOWN = 8


def verify_model(request: ModelRequest, settings: CampaignSettings) -> VerificationReport:
    """Compare outputs, time the model, compare the machine with a table's.

    Raises:
        As `DeviceVerifier.verify_model`.
    """
    model, target = request.model, find_device(request.device.name)
    refuse_missing_kernels(model, target, settings)
    with input_file(model.inputs, model.cases[:1]) as given:
        subject = Subject(artefact=model.artefact, input_file=given)
        with (
            open_agent(target, settings) as agent,
            make_progress(request.quiet) as progress,
            device_lock(agent.info().id, agent.info().id),
        ):
            table = table_of_setting(request.table, settings, agent.info())
            progress.say(f"numbers: comparing the device's outputs with {model.reference}")
            numbers = compare_model(agent, settings, model)
            anchors = TableAnchors.of(table) if table else None
            timing = time_networks(
                [],
                agent,
                settings,
                progress,
                anchors=anchors.exports if anchors else (),
                ready=[timed_model(model, given)],
            )
            report = _report(request, settings, agent, numbers, timing)
            report = _with_machine(report, anchors, timing, table)
            report = with_footprint(report, target, agent, settings, subject)
        return with_profile(report, target, settings, subject) if request.profile else report


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
        with input_file(model.inputs, cases) as path:
            content = run_file(agent, settings, file, artefact.sha256, path)
        for case, actual in zip(cases, _split(content, model.outputs, len(cases)), strict=True):
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
            f"The device wrote {len(content)} bytes for {cases} call(s), {size * cases} were "
            "expected."
        )
    for number in range(cases):
        values, offset = [], number * size
        for spec in specs:
            values.append(spec.from_bytes(content[offset : offset + spec.nbytes]))
            offset += spec.nbytes
        yield tuple(values)


def _report(
    request: ModelRequest,
    settings: CampaignSettings,
    agent: DeviceAgent,
    numbers: OutputErrors,
    timing: NetworkTimes,
) -> VerificationReport:
    name = request.model.name
    time = network_time(timing, name)
    rejected, blocks = (time.rejected, time.blocks) if time else (timing.preempted[name], 0)
    hello, info = timing.hello, agent.info()
    assert hello is not None
    return VerificationReport(
        device=info.id,
        model=info.model,
        source=agent.source,
        runtime=f"{hello.runtime} {hello.runtime_version or '?'}",
        runner=hello.runner,
        backend=settings.backend,
        threads=hello.threads,
        numbers=numbers,
        latency=latency_of(time) if time else None,
        disturbed=preempted_sentence(rejected, blocks, agent.state().load_average),
        prediction=None,
        target_us=request.target_us,
    )


def _with_machine(
    report: VerificationReport,
    anchors: TableAnchors | None,
    timing: NetworkTimes,
    table: Table | None,
) -> VerificationReport:
    """The machine against its state when the table was made."""
    if anchors is None or table is None:
        return report
    factor, remarks = anchors.factor_in(timing)
    machine = machine_now(factor, table.manifest) if factor else None
    return replace(report, machine=machine, notes=(*report.notes, *remarks))
