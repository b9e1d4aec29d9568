"""A campaign as a folder: everything a phone needs, for a computer without this kit.

    plan.json        the plan for the agent app, in the kit's one wire format
    models/          packages by content (with `multifunction`, a function each)
    job.json         the names of the plan's items, and the settings
    README.txt       the commands

The app runs all passes by itself, the extra ones too, since nobody asks for
them later; its records.jsonl is read back by
`python -m profiler --device ... --records FOLDER`. The plan's nonce is its
digest, so that records of another folder are told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from deploy.artefact import Artefact, ExportSpec
from deploy.build import collect
from deploy.coreml.package import replace_folder
from device_agents.device import Device
from device_agents.iphone.instructions import instructions
from device_agents.iphone.units import check_unit
from device_agents.protocol import Plan, PlanItem, dump_plan, read_plan, with_digest
from profiler.measuring.items import SENTINEL_ID
from profiler.planning.plan import CampaignPlan
from profiler.settings import CampaignSettings
from search.console.progress import Progress
from search.documents import first_problem, read_text, validate_json
from search.errors import DeviceError, UsageError
from search.files import sha256_bytes, write_text

JOB_SCHEMA = 2
_SETTINGS = ("device", "space", "dtype", "backend", "threads", "seed", "filter", "max_operators")


class Job(BaseModel):
    """Content of job.json; `items` maps the plan's ids to names.

    `settings` are those that records must share with the table that is made of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = JOB_SCHEMA
    settings: dict[str, str]
    items: dict[int, str]
    failed: dict[str, str]
    bytes: int


_JOB = TypeAdapter(Job)


def prepare(
    plan: CampaignPlan,
    device: Device,
    folder: Path,
    workers: int | None,
    progress: Progress,
) -> Job:
    """Build all packages and write the folder.

    Raises:
        UsageError: The folder holds something, or the device takes no packages or lacks
            the compute unit.
        DeviceError: The sentinel could not be built.
    """
    if device.platform != "ios":
        raise UsageError(f"--prepare is for iPhones; {device.name} is measured directly.")
    check_unit(plan.settings.backend, device.match.get("model", ""))
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
        settings=_facts(plan.settings),
        items={item.id: _name_of(item, built) for item in wire.items},
        failed=failed,
        bytes=size,
    )
    write_text(folder / "README.txt", instructions(device, wire.nonce))
    write_text(folder / "job.json", job.model_dump_json(indent=1) + "\n")
    return job


def recorded_plan(plan: CampaignPlan, folder: Path) -> CampaignPlan:
    """The plan with as many passes as the folder's own plan has rounds for.

    Raises:
        UsageError: No prepared folder, or one that was prepared with other settings.
    """
    try:
        job = validate_json(read_text(folder / "job.json"), _JOB)
        wire = read_plan(folder / "plan.json")
    except (UsageError, ValueError) as error:
        why = first_problem(error) if isinstance(error, ValidationError) else error
        raise UsageError(
            f"{folder} is no folder that this version prepared: {str(why).rstrip('.')}.",
            "Prepare one with --prepare FOLDER.",
        ) from error
    asked = _facts(plan.settings)
    for name, value in job.settings.items():
        if asked.get(name) != value:
            raise UsageError(
                f"The folder was prepared with {name} {value}, asked for is {asked.get(name)}.",
                "Give the options that prepared it.",
            )
    passes, left = divmod(wire.rounds, plan.settings.effort.rounds)
    if left or not passes:
        raise UsageError(
            f"The folder was prepared for {wire.rounds} rounds, no multiple of the "
            f"{plan.settings.effort.rounds} of this preset.",
            "Give the options that prepared it (--fast, --rigorous).",
        )
    return replace(plan, settings=plan.settings.with_passes(passes))


def _facts(settings: CampaignSettings) -> dict[str, str]:
    facts = {name: str(getattr(settings, name)) for name in _SETTINGS}
    effort = settings.effort
    networks = f"{effort.calibration}+{effort.exam}"
    return {**facts, "preset": effort.preset, "networks": networks}


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
        # By its own content: the phone keeps what it compiled under the package's name.
        name_of_file = f"{sha256_bytes(content)}.mlpackage"
        replace_folder(content, folder / name_of_file)
        size += len(content)
        for name, function in zip(group, functions, strict=True):
            files[name] = (f"models/{name_of_file}", function)
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

    passes = effort.passes + effort.extra_passes
    return with_digest(
        Plan(
            nonce="",
            backend=settings.backend,
            threads=settings.threads,
            order_seed=settings.seed,
            rounds=passes * effort.rounds,
            warmup=effort.warmup,
            min_block_ns=round(effort.min_block_us * 1e3),
            sentinel=SENTINEL_ID,
            items=(
                *(item(name, number) for number, name in enumerate(names)),
                item(plan.sentinel, SENTINEL_ID),
            ),
        )
    )


def _name_of(item: PlanItem, built: Mapping[str, Artefact]) -> str:
    return next(name for name, artefact in built.items() if artefact.sha256 == item.sha256)
