"""Resolve the networks, tables and devices of a comparison."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deploy.artefact import ExportSpec
from device_agents.device import Device
from device_agents.lock import device_lock
from device_agents.registry import find_device
from profiler.campaign.network_timing import time_networks
from profiler.comparison.compare import compare, refuse_mixture, try_predict
from profiler.comparison.model import Comparison, Run
from profiler.comparison.states import anchors_to_time, setting_label
from profiler.measuring.agents import TimingOptions, open_agent, timing_settings
from profiler.settings import CampaignSettings
from profiler.tables.predict import predict_network
from profiler.tables.versions import newest_tables
from search.console.progress import Progress
from search.errors import KitError, MissingOperator, TableError, UsageError
from search.table.store import Table, read_table
from search.zoo.resolve import NamedNetwork, find_network


def collect_sources(
    networks: Sequence[str],
    *,
    tables: Sequence[Path],
    root: Path,
    devices: Sequence[str],
    dtypes: Sequence[str],
    measuring: TimingOptions,
    allow_simulated: bool,
    progress: Progress,
) -> Comparison:
    """Find, read and measure all that is named, and compare it.

    Without tables and devices, the newest tables below `root` that can predict
    the networks. Whatever can be refused is refused before anything is
    measured.

    Raises:
        KitError: As the functions below and `compare`.
    """
    named = find_networks(networks)
    chosen = tuple(read_table(folder) for folder in tables)
    if not tables and not devices:
        chosen = choose_tables(root, named, progress)
    sources = [table.manifest.source == "simulated" for table in chosen]
    sources += [find_device(name).platform == "simulated" for name in devices]
    refuse_mixture(sources, allow_simulated)
    if dtypes and not devices:
        raise UsageError("--dtype is for devices; a table has a number format of its own.")
    for table in chosen:
        for network in named:
            try_predict(table, network)
    runs = [
        run
        for name in devices
        for run in run_on_device(name, dtypes, named, measuring, progress, chosen)
    ]
    return compare(named, chosen, runs, allow_simulated=allow_simulated)


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
            "Name one with --table, measure one (python -m profiler), or name a --device.",
        )
    measured = [table for table in tables if table.manifest.source == "measured"]
    return tuple(measured or tables)


def run_on_device(
    device: str,
    dtypes: Sequence[str],
    networks: Sequence[NamedNetwork],
    measuring: TimingOptions,
    progress: Progress,
    tables: Sequence[Table] = (),
) -> list[Run]:
    """Time the networks on one device, once for each dtype (none: the device's own).

    Anchors of those tables that are of the same setting are timed in between.

    Raises:
        UsageError: Unknown device, backend or dtype, or a busy device.
        DeviceError, DeviceLost, DeviceTimeout: The device.
    """
    target = find_device(device)
    return [
        _run(
            target, timing_settings(target, dtype, measuring), networks, measuring, progress, tables
        )
        for dtype in dict.fromkeys(dtypes or (target.dtype,))
    ]


def _run(
    target: Device,
    settings: CampaignSettings,
    networks: Sequence[NamedNetwork],
    measuring: TimingOptions,
    progress: Progress,
    tables: Sequence[Table],
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
        label = setting_label(device, settings.dtype, settings.backend, settings.threads)
        progress.say(f"{label}: {len(specs)} network(s), {settings.effort.preset}")
        with device_lock(device, device):
            anchors = anchors_to_time(tables, networks, label, info)
            timing = time_networks(specs, agent, settings, progress, measuring.workers, anchors)
        simulated = agent.source == "simulated"
        return Run(label=label, simulated=simulated, timing=timing, device=info)
