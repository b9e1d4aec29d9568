"""Resolve the networks, tables and devices of a comparison."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from deploy.artefact import ExportSpec
from deploy.models.prepare import ModelOptions, OwnModel, prepare_model
from deploy.models.routes import check_route
from deploy.models.source import ModelSource, find_source
from device_agents.device import Device
from device_agents.lock import measuring_lock
from profiler.campaign.network_timing import time_networks
from profiler.comparison.compare import compare, refuse_mixture, try_predict
from profiler.comparison.model import Comparison, ModelEntry, Run
from profiler.comparison.states import anchors_to_time, setting_label
from profiler.measuring.agents import TimingOptions, open_agent, timing_settings
from profiler.measuring.footprint import measure_footprint
from profiler.measuring.own_models import (
    compare_model,
    input_file,
    refuse_interface,
    refuse_missing_kernels,
    timed_model,
)
from profiler.measuring.sustained.sustain import Sustain
from profiler.settings import CampaignSettings
from profiler.tables.predict import predict_network
from profiler.tables.versions import newest_tables
from search.console.messages import counted
from search.console.progress import Progress
from search.errors import KitError, MissingOperator, TableError, UsageError
from search.table.query import read_named
from search.table.store import Table, read_table
from search.zoo.resolve import NamedNetwork, find_network

_NO_MODELS: Mapping[str, ModelSource] = {}


def collect_sources(
    networks: Sequence[str],
    *,
    tables: Sequence[Path],
    root: Path,
    devices: Sequence[Device],
    dtypes: Sequence[str],
    measuring: TimingOptions,
    allow_simulated: bool,
    progress: Progress,
    options: ModelOptions | None = None,
    batch: int | None = None,
    sustain_s: float | None = None,
) -> Comparison:
    """Find, read and measure all that is named, and compare it.

    Without tables and devices, the newest tables below `root` that can predict
    the networks. Whatever can be refused is refused before anything is
    measured.

    Raises:
        KitError: As the functions below and `compare`.
    """
    own = {text: source for text in networks if (source := find_source(text)) is not None}
    models = _named_models(list(own.values()))
    named = find_networks([text for text in networks if text not in own])
    _check_models(models, bool(devices), dtypes)
    on_devices = _at_batch(named, models, batch, bool(devices))
    chosen = tuple(read_named(folder, root) for folder in tables)
    if not tables and not devices:
        chosen = choose_tables(root, named, progress)
    sources = [table.manifest.source == "simulated" for table in chosen]
    sources += [device.platform == "simulated" for device in devices]
    refuse_mixture(sources, allow_simulated)
    if sustain_s is not None and not devices:
        raise UsageError("--sustain needs a device to measure on.", "Name one with --device.")
    if dtypes and not devices:
        raise UsageError("--dtype is for devices; a table has a number format of its own.")
    for table in chosen:
        for network in named:
            try_predict(table, network)
    runs = [
        run
        for device in devices
        for run in run_on_device(
            device, dtypes, on_devices, measuring, progress, chosen, models, options, sustain_s
        )
    ]
    entries = [ModelEntry(name=name, source=source.text) for name, source in models.items()]
    return compare(named, chosen, runs, allow_simulated=allow_simulated, models=entries)


def _named_models(sources: Sequence[ModelSource]) -> dict[str, ModelSource]:
    """Models by name; equal names become those of their files.

    Raises:
        UsageError: The same model twice.
    """
    counts = Counter(source.name for source in sources)
    named = {source.name if counts[source.name] == 1 else source.text: source for source in sources}
    if len(named) < len(sources):
        raise UsageError("The same model is named twice.")
    return named


def _check_models(
    models: Mapping[str, ModelSource], on_device: bool, dtypes: Sequence[str]
) -> None:
    """Refuse models of the user's own where nothing can be said of them."""
    if models and not on_device:
        raise UsageError(
            f"No table predicts {next(iter(models))}: it is no network of the kit's operators.",
            "Name a device to measure it on, such as --device host.",
        )
    if models and set(dtypes) - {"fp32"}:
        raise UsageError(
            "--dtype is for networks of this kit; a model of your own is taken as it is.",
            "Quantise it before it is exported, and leave --dtype out.",
        )


def _at_batch(
    networks: tuple[NamedNetwork, ...],
    models: Mapping[str, ModelSource],
    batch: int | None,
    on_device: bool,
) -> tuple[NamedNetwork, ...]:
    """The networks as devices are to run them, all on equally many images a call.

    Raises:
        UsageError: They differ, or --batch for what it cannot be for.
    """
    if batch is not None and not on_device:
        raise UsageError("--batch is for devices; a table has a batch of its own.")
    if batch is not None and models:
        raise UsageError(
            "--batch is for networks of this kit.", "Give models of your own a --shape instead."
        )
    if batch is not None:
        return tuple(network.with_batch(batch) for network in networks)
    if on_device and len({network.architecture.batch for network in networks}) > 1:
        raise UsageError(
            "The networks take different numbers of images a call.", "Say how many with --batch."
        )
    return networks


def find_networks(texts: Sequence[str]) -> tuple[NamedNetwork, ...]:
    """Networks by file or published name; equal names become those of their files.

    Raises:
        UsageError: Unknown, or the same network twice.
    """
    networks = [find_network(text) for text in texts]
    counts = Counter(network.name for network in networks)
    named = []
    for text, network in zip(texts, networks, strict=True):
        alone = counts[network.name] == 1 or network.published is not None
        name = network.name if alone else Path(text).with_suffix("").as_posix()
        named.append(replace(network, name=name))
    if len({network.name for network in named}) < len(named):
        raise UsageError("The same network is named twice.")
    return tuple(named)


def choose_tables(
    root: Path, networks: Sequence[NamedNetwork], progress: Progress
) -> tuple[Table, ...]:
    """The newest tables below a folder that can predict every network.

    A table that cannot be read is reported, one of other networks is passed over.
    Tables that were not measured are taken only where there is no other, and so are
    those that lend a network the classifier of other classes.

    Raises:
        UsageError: There are no tables.
        MissingOperator, TableError, UsageError: None can predict them all; the
            reason of the one that comes closest.
    """
    tables: list[Table] = []
    lending: list[Table] = []
    reasons: list[KitError] = []
    for folder in newest_tables(root):
        try:
            table = read_table(folder)
            predictions = [predict_network(table, network) for network in networks]
        except MissingOperator as error:
            reasons.insert(0, error)
        except (TableError, UsageError) as error:
            reasons.append(error)
            if isinstance(error, TableError):
                progress.say(f"left out: {error.message}")
        else:
            lends = any(prediction.lends_classifier for prediction in predictions)
            (lending if lends else tables).append(table)
    tables = tables or lending
    if not tables and reasons:
        raise reasons[0]
    if not tables:
        raise UsageError(
            f"There is no table below {root}.",
            "Name one with --table, name a --device, or measure one: "
            "python -m profiler --device host",
        )
    measured = [table for table in tables if table.manifest.source == "measured"]
    return tuple(measured or tables)


def run_on_device(
    target: Device,
    dtypes: Sequence[str],
    networks: Sequence[NamedNetwork],
    measuring: TimingOptions,
    progress: Progress,
    tables: Sequence[Table] = (),
    models: Mapping[str, ModelSource] = _NO_MODELS,
    options: ModelOptions | None = None,
    sustain_s: float | None = None,
) -> list[Run]:
    """Time the networks on one device, once for each dtype (none: the device's own).

    Anchors of those tables that are of the same setting are timed in between.

    Raises:
        UsageError: Unknown device, backend or dtype, or a busy device.
        DeviceError, DeviceLost, DeviceTimeout: The device.
    """
    own = ("fp32",) if models and target.platform != "ios" else (target.dtype,)
    runs = []
    for dtype in dict.fromkeys(dtypes or own):
        settings = timing_settings(target, dtype, measuring)
        for source in models.values():
            check_route(source, settings.backend)
        with ExitStack() as stack:
            ready = [
                _ready(name, source, target, settings, options, stack)
                for name, source in models.items()
            ]
            run = _run(target, settings, networks, measuring, progress, tables, ready, sustain_s)
            runs.append(run)
    return runs


def _ready(
    name: str,
    source: ModelSource,
    target: Device,
    settings: CampaignSettings,
    options: ModelOptions | None,
    stack: ExitStack,
) -> tuple[OwnModel, Path]:
    """A model's checked file, and a tensor file of its inputs that lives with the stack."""
    options = options or ModelOptions(shapes={})
    if source.kind == "pte":  # lowered for fixed shapes; they are for the others
        options = replace(options, shapes={})
    model = prepare_model(source, settings.backend, options)
    refuse_missing_kernels(model, target, settings)
    refuse_interface(model, target)
    given = stack.enter_context(input_file(model.wire_inputs, model.cases[:1]))
    return replace(model, name=name), given


def _run(
    target: Device,
    settings: CampaignSettings,
    networks: Sequence[NamedNetwork],
    measuring: TimingOptions,
    progress: Progress,
    tables: Sequence[Table],
    models: Sequence[tuple[OwnModel, Path]],
    sustain_s: float | None,
) -> Run:
    specs = [
        ExportSpec(
            name=network.name, operators=network.with_dtype(settings.dtype).architecture.operators
        )
        for network in networks
    ]
    with open_agent(target, settings) as agent:
        info = agent.info()
        device = info.id
        batch = networks[0].architecture.batch if networks else 1
        label = setting_label(device, settings.dtype, settings.backend, settings.threads, batch)
        count = counted(len(specs) + len(models), "network")
        progress.say(f"{label}: {count}, {settings.effort.preset}")
        with measuring_lock(info):
            numbers = {model.name: compare_model(agent, settings, model) for model, _ in models}
            anchors = anchors_to_time(tables, networks, label, info)
            ready = [timed_model(model, given) for model, given in models]
            timing = time_networks(
                specs, agent, settings, progress, measuring.workers, anchors, ready
            )
            inputs = {model.name: given for model, given in models}
            footprints = {
                name: measure_footprint(target, agent, settings, artefact, inputs.get(name))
                for name, artefact in timing.artefacts.items()
                if name in timing.timed
            }
            sustained = None
            if sustain_s is not None and timing.timed:
                sustained = Sustain(
                    artefacts={name: timing.artefacts[name] for name in timing.timed},
                    agent=agent,
                    settings=settings,
                    progress=progress,
                    inputs=inputs,
                ).run(sustain_s)
        return Run(
            label=label,
            simulated=agent.source == "simulated",
            timing=timing,
            device=info,
            footprints=footprints,
            numbers=numbers,
            batch=batch,
            sustained=sustained,
        )
