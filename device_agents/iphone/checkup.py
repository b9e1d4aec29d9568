"""Checkup of an iPhone: the path to a first measurement, step by step.

Each step says what was found, and where something is missing the one next
command. What comes after a step that failed is not tried.
"""

import statistics
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from deploy.artefact import ExportSpec
from deploy.build import collect
from deploy.exporters.registry import exporter_entry
from device_agents.base import AgentSettings
from device_agents.checkup_report import Check, Report
from device_agents.device import Device
from device_agents.iphone.agent import IphoneAgent
from device_agents.iphone.discovery import choose_phone, open_transport
from device_agents.iphone.transport import IphoneInfo, IphoneTransport
from device_agents.iphone.units import check_unit
from device_agents.protocol import Failure, Hello, Loaded, Plan, PlanItem, Sample
from search.console.progress import Progress, Silent
from search.errors import DeviceError, KitError, UsageError
from search.operators.spec import parse_key

_ROUNDS = 10
_KEYS = (
    "empty_b1_{dtype}",
    "ir_k3_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_{dtype}",
    "ir_k3_e6_m96_g1_relu_i16_o24_h32_w32_s2_r0_p1_b1_{dtype}",
    "ir_k5_e6_m144_g1_relu_i24_o24_h16_w16_s1_r1_p1_b1_{dtype}",
)
_INSTALL = "Next: build, sign and install it, device_agents/runners/coreml/README.md."


@dataclass(kw_only=True)
class _Path:
    """What the steps so far have found."""

    device: Device
    transport: IphoneTransport
    settings: AgentSettings
    phones: tuple[IphoneInfo, ...] = ()
    said: list[str] = field(default_factory=list)

    @property
    def phone(self) -> IphoneInfo:
        """The phone that the device file describes."""
        return choose_phone(self.device, self.phones, self.transport.name)


def check_up_iphone(
    device: Device,
    timeout_s: float,
    transport: IphoneTransport | None = None,
    progress: Progress | None = None,
) -> Report:
    """Walk the path to a measurement; stops at the first step that fails.

    `progress` shows the step at hand.

    Raises:
        UsageError: Not an iPhone, an unknown transport, or a unit that it lacks.
    """
    if device.platform != "ios":
        raise UsageError(f"The device {device.name} is no iPhone.", "Name one.")
    check_unit(device.backend, device.match.get("model", ""))
    said: list[str] = []
    settings = AgentSettings(
        backend=device.backend,
        threads=device.threads,
        affinity=None,
        timeout_s=timeout_s,
        say=said.append,
    )
    path = _Path(
        device=device,
        transport=transport or open_transport(device, timeout_s),
        settings=settings,
        said=said,
    )
    checks = tuple(_walk(path, progress or Silent()))
    return Report(device=device.title, rehearsal=False, said=tuple(said), checks=checks)


def _walk(path: _Path, progress: Progress) -> Iterator[Check]:
    failed = ""
    progress.stage("checkup", len(_STEPS))
    for name, step in _STEPS.items():
        progress.advance(0, name)
        if failed:
            yield Check(name=name, passed=False, says=f"not tried: {failed} comes first")
            continue
        try:
            check = step(name, path)
        except KitError as error:
            check = Check(name=name, passed=False, says=f"{error.message} Next: {error.remedy}")
        failed = "" if check.passed else name
        progress.advance(1, name)
        yield check


def _program(name: str, path: _Path) -> Check:
    version = path.transport.version()
    says = f"{path.transport.name} {version} is there"
    return Check(name=name, passed=True, says=says, facts={"version": version})


def _seen(name: str, path: _Path) -> Check:
    path.phones = path.transport.phones()
    usable = [phone for phone in path.phones if phone.unavailable is None]
    if not usable:
        away = "; ".join(f"{p.model or p.udid}: {p.unavailable}" for p in path.phones)
        says = f"no phone is reached{f' ({away})' if away else ''}. Next: attach it by cable."
        return Check(name=name, passed=False, says=says)
    seen = ", ".join(f"{p.model or 'a phone of unknown model'} (iOS {p.os})" for p in usable)
    return Check(name=name, passed=True, says=f"{seen}", facts={"phones": len(usable)})


def _trusted(name: str, path: _Path) -> Check:
    """Choosing refuses a phone that is not paired, of another model or system, or not alone."""
    phone = path.phone
    check_unit(path.settings.backend, phone.model or "")
    facts = {"model": phone.model, "os": phone.os, "os_build": phone.os_build}
    says = f"{phone.model} trusts this computer; {path.settings.backend} is possible there"
    return Check(name=name, passed=True, says=says, facts=facts)


def _developer_mode(name: str, path: _Path) -> Check:
    mode = path.transport.developer_mode(path.phone)
    if mode is False:
        says = "off. Next: Settings > Privacy & Security > Developer Mode, then restart the phone."
        return Check(name=name, passed=False, says=says)
    return Check(name=name, passed=True, says="on" if mode else "not known (old system)")


def _image(name: str, path: _Path) -> Check:
    mounted = path.transport.image_mounted(path.phone)
    if mounted is False:
        says = "not mounted. Next: pymobiledevice3 mounter auto-mount"
        if path.transport.name == "devicectl":
            says = "not mounted. Next: open Xcode once with the phone attached."
        return Check(name=name, passed=False, says=says)
    return Check(name=name, passed=True, says="mounted" if mounted else "not known")


def _app(name: str, path: _Path) -> Check:
    installed = path.transport.app_installed(path.phone)
    says = "installed" if installed else f"not on the phone. {_INSTALL}"
    return Check(name=name, passed=installed, says=says)


def _files(name: str, path: _Path) -> Check:
    """A file there and back."""
    content = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="kit-checkup-") as folder:
        there, back = Path(folder) / "there", Path(folder) / "back"
        there.write_text(content)
        path.transport.push(path.phone, there, "checkup/there")
        found = path.transport.pull(path.phone, "checkup/there", back)
        if not found or back.read_text() != content:
            says = "what was copied to the app does not come back. " + _INSTALL
            return Check(name=name, passed=False, says=says)
    return Check(name=name, passed=True, says="a file went there and came back")


def _load(name: str, path: _Path) -> Check:
    _, facts = _run(path, _KEYS[:1], rounds=1)
    return Check(name=name, passed=True, says="the app ran the empty program", facts=facts)


def _measure(name: str, path: _Path) -> Check:
    times, facts = _run(path, _KEYS, rounds=_ROUNDS)
    facts["median_us"] = {key: round(statistics.median(us), 2) for key, us in times.items()}
    says = f"{len(_KEYS) - 1} operators timed (calls, dispatch included; no table is made of them)"
    return Check(name=name, passed=True, says=says, facts=facts)


def _run(
    path: _Path, patterns: tuple[str, ...], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Microseconds of calls by operator, and what the app said of itself."""
    keys = [pattern.format(dtype=path.device.dtype) for pattern in patterns]
    times: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, Any] = {}
    with IphoneAgent(path.device, path.settings, path.transport) as agent:
        for record in agent.run(_plan(path, agent, keys, rounds)):
            if isinstance(record, Failure):
                raise DeviceError(
                    f"The app failed ({record.kind}): {record.message}.", "Report it."
                )
            if isinstance(record, Hello):
                facts |= {"app": record.runner_build, "system": record.runtime_version}
            if isinstance(record, Loaded):
                facts["placement"] = record.placement
            if isinstance(record, Sample):
                facts["thermal_state"] = record.thermal_state
                times[keys[record.item]].append(record.ns / record.loops / 1e3)
    return times, facts


def _plan(path: _Path, agent: IphoneAgent, keys: list[str], rounds: int) -> Plan:
    specs = [ExportSpec.of(parse_key(key)) for key in keys]
    entry = exporter_entry(path.settings.backend, path.device.dtype)
    artefacts, _ = collect(specs, entry, 1, progress=Silent(), on_failure=_refuse_build)
    items = []
    for number, key in enumerate(keys):
        artefact = artefacts[key]
        file = agent.deliver(artefact.path, artefact.sha256)
        items.append(PlanItem(id=number, file=file, sha256=artefact.sha256, method="main"))
    return Plan(
        nonce=uuid.uuid4().hex,
        backend=path.settings.backend,
        threads=path.settings.threads,
        order_seed=0,
        rounds=rounds,
        items=tuple(items),
    )


def _refuse_build(name: str, reason: str) -> NoReturn:
    raise DeviceError(f"{name} could not be built: {reason}", "Install the kit's iphone extra.")


_STEPS: dict[str, Callable[[str, _Path], Check]] = {
    "program": _program,
    "phone seen": _seen,
    "trust": _trusted,
    "developer mode": _developer_mode,
    "developer image": _image,
    "app": _app,
    "file sharing": _files,
    "one program": _load,
    "three operators": _measure,
}
