"""A campaign as a folder: everything a phone needs, for a Mac without this kit.

    plan.json        the plan for the agent app, in the kit's one wire format
    models/          packages by content (with `multifunction`, a function each)
    job.json         the names of the plan's items
    README.txt       the commands

The app runs all passes by itself; its records.jsonl is read back by
`python -m profiler --device ... --records FOLDER`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.artefact import Artefact, ExportSpec
from deploy.build import collect
from deploy.coreml.package import replace_folder
from device_agents.device import Device
from device_agents.iphone.transport import BUNDLE
from device_agents.protocol import Plan, PlanItem, dump_plan
from profiler.measuring.items import SENTINEL_ID
from profiler.planning.plan import CampaignPlan
from search.console.progress import Progress
from search.errors import DeviceError, UsageError
from search.files import write_text

JOB_SCHEMA = 1
_NONCE = "prepared"


class Job(BaseModel):
    """Content of job.json; `items` maps the plan's ids to names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = JOB_SCHEMA
    device: str
    space: str
    identity: str
    items: dict[int, str]
    failed: dict[str, str]
    bytes: int


def prepare(
    plan: CampaignPlan,
    device: Device,
    folder: Path,
    workers: int | None,
    progress: Progress,
) -> Job:
    """Build all packages and write the folder.

    Raises:
        UsageError: The folder holds something, or the device takes no packages.
        DeviceError: The sentinel could not be built.
    """
    if device.platform != "ios":
        raise UsageError(f"--prepare is for iPhones; {device.name} is measured directly.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder.", "Name a new one.")
    built, failed = collect(plan.exports, plan.exporter, workers, progress=progress)
    if plan.sentinel not in built:
        raise DeviceError(f"The sentinel {plan.sentinel} could not be built.")
    groups = _groups(plan, built, merged=bool(device.options.get("multifunction")))
    files, size = _write_models(groups, built, folder / "models", progress)
    wire = _wire_plan(plan, built, files)
    write_text(folder / "plan.json", dump_plan(wire))
    job = Job(
        device=device.name,
        space=plan.settings.space,
        identity=plan.settings.identity,
        items={item.id: _name_of(item, built) for item in wire.items},
        failed=failed,
        bytes=size,
    )
    write_text(folder / "job.json", job.model_dump_json(indent=1) + "\n")
    bundle = str(device.options.get("bundle", BUNDLE))
    write_text(folder / "README.txt", _README.format(bundle=bundle, device=device.name))
    return job


def _groups(plan: CampaignPlan, built: Mapping[str, Artefact], *, merged: bool) -> list[list[str]]:
    """Names that share a package: with `merged`, all chains of one operator."""
    together: dict[object, list[str]] = {}
    for export in plan.exports:
        if export.name in built:
            together.setdefault(_group(export) if merged else export.name, []).append(export.name)
    return list(together.values())


def _group(export: ExportSpec) -> object:
    return export.operators if export.copies is not None else export.name


def _write_models(
    groups: Sequence[Sequence[str]],
    built: Mapping[str, Artefact],
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, tuple[str, str]], int]:
    """Write the packages: (file, function) of each item, and the bytes of all packages."""
    files: dict[str, tuple[str, str]] = {}
    size = 0
    progress.stage("write", len(groups))
    for group in groups:
        progress.advance()
        first = built[group[0]]
        content, functions = first.path.read_bytes(), ["main"]
        if len(group) > 1:
            from deploy.exporters.coreml_multifunction import merge

            functions = [f"x{name.rpartition('*')[2]}" for name in group]
            parts = [built[name].path.read_bytes() for name in group]
            content = merge(dict(zip(functions, parts, strict=True)))
        replace_folder(content, folder / f"{first.sha256}.mlpackage")
        size += len(content)
        for name, function in zip(group, functions, strict=True):
            files[name] = (f"models/{first.sha256}.mlpackage", function)
    return files, size


def _wire_plan(
    plan: CampaignPlan,
    built: Mapping[str, Artefact],
    files: Mapping[str, tuple[str, str]],
) -> Plan:
    settings, effort = plan.settings, plan.settings.effort
    networks = {network.name for network in plan.networks}
    names = sorted(built)

    def item(name: str, number: int) -> PlanItem:
        file, function = files[name]
        loops = effort.network_loops if name in networks else 0
        return PlanItem(
            id=number, file=file, sha256=built[name].sha256, method=function, loops=loops
        )

    return Plan(
        nonce=_NONCE,
        backend=settings.backend,
        threads=settings.threads,
        order_seed=settings.seed,
        rounds=effort.passes * effort.rounds,
        warmup=effort.warmup,
        min_block_ns=round(effort.min_block_us * 1e3),
        sentinel=SENTINEL_ID,
        items=(
            *(item(name, number) for number, name in enumerate(names)),
            item(plan.sentinel, SENTINEL_ID),
        ),
    )


def _name_of(item: PlanItem, built: Mapping[str, Artefact]) -> str:
    return next(name for name, artefact in built.items() if artefact.sha256 == item.sha256)


_README = """\
Run this job on a phone, from a Mac with Xcode 15 or later (phones from iOS 17 on).
The agent app must be on the phone: device_agents/runners/coreml/README.md.
UDID is the phone's, from: xcrun devicectl list devices

  xcrun devicectl device copy to --device UDID --domain-type appDataContainer \\
    --domain-identifier {bundle} --source models --destination Documents/models
  xcrun devicectl device copy to --device UDID --domain-type appDataContainer \\
    --domain-identifier {bundle} --source plan.json --destination Documents/jobs/prepared/plan.json
  xcrun devicectl device process launch --device UDID --terminate-existing {bundle} --job prepared

The app shows how far it is; started again, it goes on. When it says "done":

  xcrun devicectl device copy from --device UDID --domain-type appDataContainer \\
    --domain-identifier {bundle} --source Documents/jobs/prepared/records.jsonl \\
    --destination records.jsonl

Then, where the kit is, with the options that prepared this folder:

  python -m profiler --device {device} --records THIS_FOLDER
"""
