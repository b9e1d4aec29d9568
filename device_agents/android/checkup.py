"""Checkup of a real phone before its first campaign: checks in turn, and a report.

A check that fails reports why, and the next one runs; without a runner, all but
those that need it. No table is made: the few times that are taken only show that
measuring works.
"""

import hashlib
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from deploy.artefact import ExportSpec
from deploy.build import collect
from deploy.exporters.registry import exporter_entry
from device_agents.android.agent import AndroidAgent
from device_agents.android.file_store import ROOT
from device_agents.base import AgentSettings
from device_agents.checkup_report import Check, Report
from device_agents.device import Device
from device_agents.native.record import find_build
from device_agents.protocol import Failure, Hello, Plan, PlanItem, Sample
from search.console.progress import Progress, Silent
from search.errors import DeviceError, KitError, UsageError
from search.files import sha256_bytes
from search.operators.spec import parse_key

_SPEED_BYTES = 8 * 2**20
_ROUNDS = 20
_OPTIONAL = ("freq_khz", "temperature_mc")  # values that not every device lets a runner read
_KEYS = (
    "empty_b1_fp32",
    "ir_k3_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32",
    "ir_k3_e6_m96_g1_relu_i16_o24_h32_w32_s2_r0_p1_b1_fp32",
    "ir_k5_e6_m144_g1_relu_i24_o24_h16_w16_s1_r1_p1_b1_fp32",
)


def check_up(
    device: Device, timeout_s: float, runtime: str = "auto", progress: Progress | None = None
) -> Report:
    """Try everything that a campaign needs of a phone.

    `progress` shows the check at hand, and whatever the device or the runtime has to say.

    Raises:
        UsageError: Not an Android device.
        DeviceError, DeviceLost, DeviceTimeout: It cannot be opened.
    """
    if device.platform != "android":
        raise UsageError(f"The device {device.name} needs no checkup.", "Name an Android device.")
    said: list[str] = []
    shown = progress or Silent()

    def say(text: str) -> None:
        said.append(text)
        shown.say(text)

    settings = AgentSettings(
        backend=device.backend,
        threads=device.threads,
        affinity=None,
        runtime=runtime,
        timeout_s=timeout_s,
        say=say,
    )
    agent = AndroidAgent(device, settings, runner_later=True)
    with agent:
        info, rehearsal = agent.info(), agent.identity.rehearsal
        checks = _try_all(agent, shown)
    restored = not agent.unrestored
    says = "changed settings are as before" if restored else "not restored; the next run does it"
    checks.append(Check(name="restored", passed=restored, says=says))
    return Report(
        device=info.model or info.id, rehearsal=rehearsal, said=tuple(said), checks=tuple(checks)
    )


def _try_all(agent: AndroidAgent, progress: Progress) -> list[Check]:
    checks: dict[str, Check] = {}
    progress.stage("checkup", len(_CHECKS))
    for name, check in _CHECKS.items():
        progress.advance(0, name)
        if name == "measurement" and not checks["runner"].passed:
            checks[name] = Check(name=name, passed=False, says="not tried: the runner comes first")
        else:
            checks[name] = _try(name, check, agent)
        progress.advance(1, name)
    return list(checks.values())


def _try(name: str, check: Callable[[AndroidAgent], Check], agent: AndroidAgent) -> Check:
    try:
        return check(agent)
    except KitError as error:
        return Check(name=name, passed=False, says=str(error))


def _identity(agent: AndroidAgent) -> Check:
    info, identity = agent.info(), agent.identity
    facts = {
        **info.model_dump(mode="json", exclude={"serial_hash"}),
        "machine": identity.machine,
        "sdk": identity.sdk,
    }
    unknown = [name for name in ("model", "soc", "os_build", "abi") if facts[name] is None]
    if not info.clusters:
        unknown.append("clusters")
    says = f"unknown: {', '.join(unknown)}" if unknown else f"{info.model}, {info.soc}, {info.os}"
    return Check(name="identity", passed=not unknown, says=says, facts=facts)


def _transport(agent: AndroidAgent) -> Check:
    adb_device, times = agent.adb_device, []
    for _ in range(11):
        started = time.perf_counter()
        adb_device.run(["true"])
        times.append(1e3 * (time.perf_counter() - started))
    connection = adb_device.transport.connection
    facts = {"way": connection, "shell_v2": adb_device.transport.shell_v2}
    facts["command_ms"] = round(statistics.median(times), 2)
    return Check(
        name="transport",
        passed=True,
        says=f"{connection}, {facts['command_ms']} ms a command",
        facts=facts,
    )


def _speed(agent: AndroidAgent) -> Check:
    content = hashlib.shake_128(b"fbnet-kit").digest(_SPEED_BYTES)
    remote_path = f"{ROOT}/outputs/{uuid.uuid4().hex}"
    agent.reserve()  # makes the folder
    with tempfile.TemporaryDirectory(prefix="kit-checkup-") as folder:
        path = Path(folder) / "content"
        path.write_bytes(content)
        started = time.perf_counter()
        agent.adb_device.push(path, remote_path, sha256_bytes(content))
        pushed = time.perf_counter()
    if agent.collect(remote_path) != content:
        raise DeviceError("What came back from the device differs from what was sent.")
    pulled = time.perf_counter()
    facts = {
        "push_mb_per_s": round(_SPEED_BYTES / 1e6 / (pushed - started), 1),
        "pull_mb_per_s": round(_SPEED_BYTES / 1e6 / (pulled - pushed), 1),
    }
    says = f"push {facts['push_mb_per_s']}, pull {facts['pull_mb_per_s']} MB/s, checked by sha256"
    return Check(name="speed", passed=True, says=says, facts=facts)


def _runner(agent: AndroidAgent) -> Check:
    answer = agent.runner_version()
    build = find_build(agent.runner_sha256)
    facts = {"version": answer, "sha256": agent.runner_sha256, **(build.facts() if build else {})}
    return Check(name="runner", passed=True, says="starts", facts=facts)


def _performance_mode(agent: AndroidAgent) -> Check:
    state = agent.state()
    facts = {
        "fixed_performance_mode": state.fixed_performance_mode,
        "refused_settings": dict(state.refused_settings),
        "cores_offline": state.cores_offline,
        "governor": state.governor,
        **(state.phone.model_dump(mode="json") if state.phone else {}),
    }
    accepted = state.fixed_performance_mode is True
    says = "fixed-performance mode is on" if accepted else "fixed-performance mode is not accepted"
    return Check(name="steady state", passed=accepted, says=says, facts=facts)


def _thermal(agent: AndroidAgent) -> Check:
    phone = agent.state().phone
    status = phone.thermal_status if phone else None
    cpu_c = phone.cpu_temperature_c if phone else None
    says = f"thermal status {status or 'unknown'}, CPU {cpu_c if cpu_c is not None else '?'} °C"
    return Check(name="heat", passed=status is not None, says=says, facts={"cpu_c": cpu_c})


def _measurement(agent: AndroidAgent) -> Check:
    plan = _plan(agent)
    times: dict[int, list[float]] = defaultdict(list)
    hello: Hello | None = None
    readable: set[str] = set()
    preempted = 0
    for record in agent.run(plan):
        if isinstance(record, Failure):
            raise DeviceError(f"The runner failed ({record.kind}): {record.message}.")
        if isinstance(record, Hello):
            hello = record
        if isinstance(record, Sample):
            preempted += bool(record.switches)
            readable |= {name for name in _OPTIONAL if getattr(record, name) is not None}
            times[record.item].append(record.ns / record.loops / 1e3)
    assert hello is not None
    pinned = agent.pinned is None or hello.affinity == agent.pinned
    facts = {
        "median_us": {
            key: round(statistics.median(times[number]), 2) for number, key in enumerate(_KEYS)
        },
        "blocks_preempted": preempted,
        "cores_asked": agent.pinned,
        "cores_observed": hello.affinity,
        "readable_by_the_runner": sorted(readable),
        "runtime": f"{hello.runtime} {hello.runtime_version}",
        "clock_resolution_ns": hello.clock_resolution_ns,
    }
    verdict = "pinning holds" if pinned else f"pinning does not hold: {hello.affinity}"
    return Check(
        name="measurement",
        passed=pinned,
        says=f"{len(_KEYS) - 1} operators timed; {verdict}",
        facts=facts,
    )


def _plan(agent: AndroidAgent) -> Plan:
    specs = [ExportSpec.of(parse_key(key)) for key in _KEYS]
    artefacts, _ = collect(
        specs,
        exporter_entry("xnnpack", "fp32"),
        1,
        progress=Silent(),
        on_failure=_refuse_build,
    )
    items = []
    for number, key in enumerate(_KEYS):
        artefact = artefacts[key]
        remote_path = agent.deliver(artefact.path, artefact.sha256)
        items.append(PlanItem(id=number, file=remote_path, sha256=artefact.sha256))
    return Plan(
        nonce=uuid.uuid4().hex,
        backend="xnnpack",
        threads=1,
        order_seed=0,
        rounds=_ROUNDS,
        items=tuple(items),
    )


def _refuse_build(name: str, reason: str) -> NoReturn:
    raise DeviceError(f"{name} could not be built: {reason}")


_CHECKS: dict[str, Callable[[AndroidAgent], Check]] = {
    "identity": _identity,
    "transport": _transport,
    "speed": _speed,
    "runner": _runner,
    "steady state": _performance_mode,
    "heat": _thermal,
    "measurement": _measurement,
}
