"""What a report shows of networks: latency against FLOPs, the time of each layer, accuracy."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from profiler.tables.predict import predict_network
from search.errors import KitError
from search.latency.model import Estimate, LatencyModel
from search.operators.spec import OperatorSpec
from search.operators.words import short_name
from search.spaces.registry import parse_space
from search.table.store import Table
from search.zoo.resolve import NamedNetwork

# Networks drawn at random, and the band of FLOPs in which they count as equal.
DRAWN, BAND = 300, 0.025
_LEAST_IN_BAND = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far latencies lie apart at equal FLOPs.

    `typical` and `largest` are the slowest over the fastest network within
    `BAND` of the same FLOPs: the median over all networks, and the most, which
    is at `largest_mflops`.
    """

    typical: float
    largest: float
    largest_mflops: float


def table_labels(tables: Sequence[Table]) -> list[str]:
    """A label a table, of those facts that tell it from the others on the page.

    Space, resolution and dtype are always said; device, backend, threads, version and source
    only where they differ.
    """
    facts = [_facts(table) for table in tables]
    names = list(facts[0]) if facts else []
    kept = [
        name
        for name in names
        if name in ("space", "resolution", "dtype") or len({fact[name] for fact in facts}) > 1
    ]
    return [", ".join(fact[name] for name in kept if fact[name]) for fact in facts]


def _facts(table: Table) -> dict[str, str]:
    manifest = table.manifest
    spec = re.match(r"(?P<space>.+?)-r(?P<side>\d+)-", manifest.space.spec)
    version = re.search(r"-(v\d+)$", table.path.name if table.path else "")
    threads = manifest.protocol.threads
    return {
        "device": manifest.device.id,
        "space": spec["space"] if spec else manifest.space.spec,
        "resolution": f"{spec['side']} px" if spec else "",
        "dtype": manifest.protocol.dtype,
        "backend": manifest.runtime.backend,
        "threads": f"{threads} thread{'' if threads == 1 else 's'}",
        "state": manifest.load_state,
        "version": version[1] if version else "",
        "source": manifest.source,
    }


# --- latency against FLOPs -------------------------------------------------------


def flops_view(table: Table) -> dict[str, Any]:
    """Random networks of a table's space: FLOPs, predicted time and interval, and the spread.

    `problem` says why there are none.
    """
    if table.manifest.calibration is None:
        return {"problem": "it has no latency model for whole networks"}
    generator, points = random.Random(0), []  # noqa: S311 (nothing here is secret)
    try:
        space = parse_space(table.manifest.space.spec)
        model = LatencyModel(table)
        for number in range(DRAWN):
            network = space.random_architecture(generator, f"random-{number}")
            estimate = model.estimate(network)
            points.append((network.flops / 1e6, *_ms(estimate)))
    except KitError as error:
        return {"problem": error.message.rstrip(".")}
    spread = spread_at_equal_flops([(point[0], point[1]) for point in points])
    return {
        "problem": "",
        "points": [[float(f"{value:.5g}") for value in point] for point in points],
        "spread": None
        if spread is None
        else [round(spread.typical, 3), round(spread.largest, 3), round(spread.largest_mflops, 2)],
    }


def _ms(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value_us / 1e3, estimate.low_us / 1e3, estimate.high_us / 1e3


def spread_at_equal_flops(points: Sequence[tuple[float, float]]) -> Spread | None:
    """The spread of (FLOPs, latency) points; None where too few have equal FLOPs."""
    ratios = []
    for flops, _ in points:
        band = [ms for other, ms in points if abs(other / flops - 1) <= BAND]
        if len(band) >= _LEAST_IN_BAND:
            ratios.append((max(band) / min(band), flops))
    if not ratios:
        return None
    ratios.sort()
    largest, at = ratios[-1]
    return Spread(typical=ratios[len(ratios) // 2][0], largest=largest, largest_mflops=at)


# --- layers ----------------------------------------------------------------------


def layer_view(table: Table, network: NamedNetwork) -> dict[str, Any]:
    """What each operator adds to a network's time by a table, microseconds, in its order.

    `problem` says why it is not known.
    """
    try:
        predicted = predict_network(table, network)
    except KitError as error:
        return {"problem": error.message.rstrip(".")}
    model = LatencyModel(table)
    operators = predicted.architecture.operators
    rows = [
        _layer(model, operator, us)
        for operator, us in zip(operators, model.layers_us(operators), strict=True)
    ]
    return {"problem": "", "total_us": round(predicted.estimate.value_us, 1), "layers": rows}


def _layer(model: LatencyModel, operator: OperatorSpec, us: float) -> list[Any]:
    """Words, microseconds, kernel (0: a skip, -1: neither) and half the interval in percent."""
    kernel = {"ir": operator.kernel, "skip": 0}.get(operator.kind, -1)
    half = None
    if not model.costs_nothing(operator):
        entry = model.table.lookup(operator)
        half = float(f"{100 * entry.relative_half_width:.3g}") if entry.has_interval else None
    return [short_name(operator.key), round(us, 2), kernel, half]


# --- accuracy --------------------------------------------------------------------


def accuracy_view(table: Table, networks: Sequence[NamedNetwork]) -> list[list[Any]]:
    """Networks whose accuracy their authors printed: name, ms, low, high, top-1 in percent."""
    points = []
    for network in networks:
        if network.published is None:
            continue
        try:
            prediction = predict_network(table, network)
        except KitError:
            continue
        low_us, high_us = prediction.interval_us
        known = [None if us is None else round(us / 1e3, 5) for us in (low_us, high_us)]
        value_ms = round(prediction.estimate.value_us / 1e3, 5)
        points.append([network.name, value_ms, *known, network.published.published.top1])
    return points
