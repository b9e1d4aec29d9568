"""What a report page holds, and what its views say of tables and networks."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.comparison.sources import find_networks
from profiler.report.drawing import draw_network
from profiler.report.drift import drift_of
from profiler.report.fronts import read_front
from profiler.report.views import (
    accuracy_view,
    flops_view,
    layer_view,
    spread_at_equal_flops,
    table_labels,
)
from search.errors import UsageError
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import Table
from search.zoo import zoo_architecture
from search.zoo.resolve import NamedNetwork
from tests.profiler.conftest import Bench


def test_a_simulated_table_is_marked_on_the_page(written: Path, data: dict[str, Any]) -> None:
    assert written.read_text().count("badge-simulated") == 2
    assert {table["source"] for table in data["tables"]} == {"simulated"}


def test_the_page_holds_no_address_that_it_would_fetch(written: Path) -> None:
    text = written.read_text()
    for match in re.finditer(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text[-40_000:]):
        raise AssertionError(match[0])
    assert "default-src 'none'" in text


def test_a_network_that_a_table_cannot_price_has_a_reason(data: dict[str, Any]) -> None:
    cells = data["matrix"]["cells"]
    predicted = [cell for cell in cells if cell["column"] < 2]
    assert len(predicted) == 4
    assert all(cell["latency_us"] is None and "pixels" in cell["note"] for cell in predicted)
    assert sum(cell["latency_us"] is not None for cell in cells) == 4  # printed by the authors


def test_a_drawing_shows_kernel_expansion_groups_and_skips() -> None:
    drawing = draw_network(zoo_architecture("FBNet-A"))
    assert len(drawing.bars) == 22
    assert [bar.kernel for bar in drawing.bars[:3]] == [0, 3, 3]
    tall, low = drawing.bars[5], drawing.bars[2]  # k5_e6 and k3_e1
    assert tall.height == pytest.approx(6 * low.height)
    assert sum(bar.grouped for bar in drawing.bars) == 3
    assert [stage.channels for stage in drawing.stages] == [16, 24, 32, 64, 112, 184, 352]


def test_drift_follows_the_blocks_over_time(measured: Table) -> None:
    samples = measured.samples()
    drift = drift_of(samples)
    assert drift is not None
    assert list(drift.minutes) == sorted(drift.minutes)
    assert all(low <= middle <= high for low, middle, high in drift.speed)
    assert drift_of(samples.drop(columns=["at_ns"])) is None


def test_a_machine_that_slows_down_is_seen_in_the_drift(measured: Table) -> None:
    samples = measured.samples().sort_values("at_ns").reset_index(drop=True)
    late = samples.index >= len(samples) * 3 // 4
    samples.loc[late, "ns"] = (samples.loc[late, "ns"].astype(float) * 1.5).astype("int64")
    drift = drift_of(samples)
    assert drift is not None
    assert drift.speed[-1][1] > 1.3 > drift.speed[0][1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"networks": [{}], "table": "x"}', "\0"])
def test_what_is_no_front_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "front.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="no front"):
        read_front(path)


def test_the_command_writes_a_page(bench: Bench, measured: Table) -> None:
    output = bench.folder / "page.html"
    done = bench.call("report", str(measured.path), "-o", str(output), "--title", "Mine")
    assert done.code == 0
    assert "<title>Mine</title>" in output.read_text()
    refused = bench.call("report", str(bench.folder), "-o", str(output))
    assert refused.code == 2
    assert "is not a table" in refused.err


def test_labels_tell_tables_apart_and_say_no_more_than_that(measured: Table) -> None:
    alone = table_labels([measured])
    assert alone == ["fbnet-mini, 32 px, fp32"]
    other = measured.manifest.model_copy(
        update={"device": measured.manifest.device.model_copy(update={"id": "another"})}
    )
    first, second = table_labels([measured, replace(measured, manifest=other)])
    assert first.endswith(alone[0])
    assert second == f"another, {alone[0]}"


def test_networks_of_equal_flops_have_the_spread_of_their_latencies() -> None:
    points = [(100.0 + 0.1 * n, 2.0 if n % 2 else 5.0) for n in range(10)]
    points += [(900.0, 1.0)]
    spread = spread_at_equal_flops(points)
    assert spread is not None
    assert (spread.typical, spread.largest) == (2.5, 2.5)
    assert spread.largest_mflops < 102
    assert spread_at_equal_flops(points[:5]) is None


def test_layers_add_up_to_what_the_table_predicts(measured: Table) -> None:
    space = make_space("fbnet-mini")
    architecture = space.random_architecture(random.Random(1), "one")
    network = NamedNetwork(name="one", architecture=architecture)
    view = layer_view(measured, network)
    assert view["problem"] == ""
    assert len(view["layers"]) == len(architecture.operators)
    model = LatencyModel(measured)
    constant = model.estimate(architecture).value_us - sum(
        model.operator_us(operator) for operator in architecture.operators
    )
    added = sum(us for _, us, _, _ in view["layers"])
    assert added + constant == pytest.approx(view["total_us"], abs=1)
    skips = [layer for layer in view["layers"] if layer[2] == 0]
    assert all(us == 0 for _, us, _, _ in skips)


def test_a_view_that_a_table_cannot_give_has_a_reason(measured: Table) -> None:
    (large,) = find_networks(["FBNet-S8"])
    assert "224 pixels" in layer_view(measured, large)["problem"]
    assert accuracy_view(measured, [large]) == []
    without = measured.manifest.model_copy(update={"calibration": None})
    assert "no latency model" in flops_view(replace(measured, manifest=without))["problem"]
    assert len(flops_view(measured)["points"]) == 300
