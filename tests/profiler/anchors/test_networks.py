"""Networks of a table's exam as anchors."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from deploy.verification.machine import MachineNow
from profiler.analysis.machine_factor import anchor_time, machine_factor
from profiler.anchors.machine import TableAnchors
from profiler.anchors.networks import NETWORKS, exam_networks
from profiler.planning.networks import draw_networks
from search.spaces.registry import parse_space
from search.table.entries import Interval
from search.table.store import Table


def edited(table: Table, **columns: Any) -> Table:
    return replace(table, exam=pd.DataFrame(table.exam.assign(**columns)))


def test_the_networks_that_the_campaign_timed_are_drawn_again(steady: Table) -> None:
    spec = steady.manifest.space.spec
    campaign = {
        f"{spec} {drawn.name}": drawn.operators
        for drawn in draw_networks(parse_space(spec), 1000, steady.manifest.protocol.seed or 0)
    }
    found = exam_networks(steady)
    assert len(found) == NETWORKS
    times = dict(zip(steady.exam["network"], steady.exam["measured_us"], strict=True))
    for network in found:
        assert campaign[network.export.name] == network.export.operators
        assert network.table_us == times[network.export.name.split()[-1]]
    assert [network.table_us for network in found] == sorted(n.table_us for n in found)


def test_networks_that_the_table_predicts_otherwise_are_not_taken(steady: Table) -> None:
    other = edited(steady, predicted_us=steady.exam["predicted_us"] * 1.01)
    assert exam_networks(other) == ()


@pytest.mark.parametrize("name", ["mine", "random-0-999999999"])
def test_networks_of_names_that_no_campaign_gives_are_not_drawn(steady: Table, name: str) -> None:
    assert exam_networks(edited(steady, network=name)) == ()


def test_a_space_that_is_not_known_gives_none(steady: Table) -> None:
    space = steady.manifest.space.model_copy(update={"spec": "unheard-of"})
    manifest = steady.manifest.model_copy(update={"space": space})
    assert exam_networks(replace(steady, manifest=manifest)) == ()


def test_networks_are_timed_beside_the_operators(steady: Table) -> None:
    anchors = TableAnchors.of(steady)
    whole = [export for export in anchors.exports if len(export.operators) > 1]
    assert [export.name for export in whole] == [n.export.name for n in exam_networks(steady)]
    assert len(anchors.exports) == len(anchors.rows) + NETWORKS


def timed(name: str, ratio: float) -> "tuple[str, Interval, Interval]":
    then = Interval(centre_us=100.0, low_us=99.5, high_us=100.5)
    now = Interval(centre_us=100 * ratio, low_us=99.5 * ratio, high_us=100.5 * ratio)
    return name, then, now


OPERATORS = [anchor_time(*timed(f"o{number}", 1.01)) for number in range(8)]
NETS = [anchor_time(*timed(f"n{number}", 1.06)) for number in range(4)]


def test_the_factor_is_that_of_the_networks_where_there_are_enough() -> None:
    both, few = machine_factor(OPERATORS, NETS), machine_factor(OPERATORS, NETS[:2])
    assert both is not None
    assert few is not None
    assert both.factor == pytest.approx(1.06)
    assert both.low < 1.06 < both.high
    assert both.operators_factor == pytest.approx(1.01)
    assert few.factor == pytest.approx(1.01)
    assert few.networks == ()


@pytest.mark.parametrize(("alone", "said"), [(1.01, True), (1.05, False)])
def test_operators_that_moved_otherwise_than_networks_are_said_to(alone: float, said: bool) -> None:
    now = MachineNow(
        factor=1.06,
        low=1.05,
        high=1.07,
        spread=0.01,
        anchors=8,
        networks=4,
        operators_factor=alone,
        clock_factor=None,
    )
    text = "; ".join(now.sentences())
    assert "by 4 networks of its exam" in text
    assert ("operators alone: 1.0% slower" in text) == said
