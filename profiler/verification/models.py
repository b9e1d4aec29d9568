"""A model of the user's own on a device: outputs against its source, time, machine, footprint."""

from dataclasses import replace

from deploy.verification.device_side import ModelRequest, VerificationReport
from device_agents.lock import measuring_lock
from profiler.anchors.machine import TableAnchors, machine_now
from profiler.campaign.network_timing import NetworkTimes, time_networks
from profiler.measuring.agents import open_agent
from profiler.measuring.own_models import (
    compare_model,
    input_file,
    refuse_interface,
    refuse_missing_kernels,
    timed_model,
)
from profiler.settings import CampaignSettings
from profiler.verification.devices import device_of
from profiler.verification.extras import Subject, with_footprint, with_profile, with_sustained
from profiler.verification.reports import report_of
from profiler.verification.settings import table_of_setting
from search.console.progress import make_progress
from search.table.store import Table


def verify_model(request: ModelRequest, settings: CampaignSettings) -> VerificationReport:
    """Compare outputs, time the model, compare the machine with a table's.

    Raises:
        As `DeviceVerifier.verify_model`.
    """
    model, target = request.model, device_of(request.device)
    refuse_missing_kernels(model, target, settings)
    refuse_interface(model, target)
    with input_file(model.wire_inputs, model.cases[:1]) as given:
        subject = Subject(artefact=model.artefact, name=model.name, input_file=given)
        with (
            open_agent(target, settings) as agent,
            make_progress(request.quiet) as progress,
            measuring_lock(agent.info()),
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
            report = report_of(
                model.name, timing, agent, settings, numbers=numbers, target_us=request.target_us
            )
            report = _with_machine(report, anchors, timing, table)
            report = with_footprint(report, target, agent, settings, subject)
            report = with_sustained(report, agent, settings, subject, request.sustain_s, progress)
        return with_profile(report, target, settings, subject) if request.profile else report


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
