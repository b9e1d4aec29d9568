"""The report's page: what it holds, and how it behaves in a real browser."""

import csv
import io
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.comparison.sources import find_networks
from profiler.report.data import PageContents, page_data
from profiler.report.drawing import draw_network
from profiler.report.drift import drift_of
from profiler.report.fronts import read_front
from profiler.report.page import write_page
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
from tests.profiler.report.browser import Browser, browser

pytestmark = pytest.mark.thorough

FRONT = {
    "schema_version": 1,
    "table": "a table",
    "networks": [
        {"network": f"front-{n}", "predicted_ms": 1.0 + n, "score": 0.1 * n, "low_ms": 0.9 + n}
        for n in range(4)
    ],
}


@pytest.fixture(scope="module")
def contents(
    measured: Table, slower: Table, tmp_path_factory: pytest.TempPathFactory
) -> PageContents:
    path = tmp_path_factory.mktemp("front") / "front.json"
    path.write_text(json.dumps(FRONT))
    hostile = measured.manifest.model_copy(
        update={"notes": ("</script><script>console.error('ran')</script>",)}
    )
    tables = (replace(measured, manifest=hostile), slower)
    networks = find_networks(["FBNet-S8", "FBNet-iPhoneX"])
    return PageContents(tables=tables, networks=networks, fronts=(read_front(path),))


@pytest.fixture(scope="module")
def data(contents: PageContents) -> dict[str, Any]:
    """What the page shows."""
    return page_data(contents)


@pytest.fixture(scope="module")
def written(contents: PageContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page itself."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(contents, path, "A report")
    return path


@pytest.fixture(scope="module")
def page(written: Path) -> Iterator[tuple[Browser, Path]]:
    with browser(written.parent / "profile") as opened:
        yield opened, written


def _fresh(page: tuple[Browser, Path], *, width: int = 1280, dark: bool = False) -> Browser:
    opened, path = page
    opened.complaints.clear()
    opened.requests.clear()
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    opened.call("Emulation.setEmulatedMedia", media="", features=[scheme])
    opened.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=width < 600,
    )
    opened.open(path)
    return opened


def _shown(opened: Browser) -> list[str]:
    found: list[str] = opened.run(
        "[...document.querySelectorAll('#grid tbody td:first-child')].map((c) => c.textContent)"
    )
    return found


def _type(opened: Browser, text: str) -> None:
    opened.run(
        f"{{ const f = document.getElementById('filter'); f.value = {json.dumps(text)};"
        "f.dispatchEvent(new Event('input')); }"
    )


# --- the data ----------------------------------------------------------------------


def test_every_row_of_every_table_is_on_the_page(
    contents: PageContents, data: dict[str, Any]
) -> None:
    operators = data["operators"]
    for table, rows in zip(contents.tables, operators["rows"], strict=True):
        assert len(rows["at"]) == len(table.entries)
        for at, us, entry in zip(rows["at"], rows["us"], table.entries, strict=True):
            assert entry.key.startswith(operators["keys"][at] + "_")
            assert us == pytest.approx(entry.known_time.centre_us, rel=1e-4)


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


# --- in a browser --------------------------------------------------------------------


def test_it_opens_without_a_complaint_and_asks_no_network(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page)
    opened.run("redraw(() => true)")
    assert opened.run("document.querySelectorAll('.plot .main-svg').length") > 0
    assert opened.run("boxes.every((box) => box.dataset.drawn === 'yes')")
    assert opened.complaints == []
    assert {url.partition(":")[0] for url in opened.requests} <= {"file", "data", "blob"}


def test_filtering_shows_only_what_matches(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page)
    everything = len(make_space("fbnet-mini").operators)
    assert opened.run("view.shown.length") == everything
    _type(opened, "k5 e6")
    rows = _shown(opened)
    assert 0 < len(rows) < everything
    assert all("k5_e6" in row for row in rows)
    _type(opened, "no such operator")
    assert opened.run("view.shown.length") == 0
    assert _shown(opened) == ["No operator has all the words of “no such operator”."]
    _type(opened, "")
    assert opened.run("view.shown.length") == everything
    assert opened.run("document.getElementById('count').textContent").startswith(str(everything))


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(
    page: tuple[Browser, Path],
) -> None:
    opened = _fresh(page)
    click = "document.querySelectorAll('#grid th button')[2].click()"
    values = "view.shown.map((key) => sortValue(2, key))"
    opened.run(click)
    falling = opened.run(values)
    assert falling == sorted(falling, reverse=True)
    opened.run(click)
    assert opened.run(values) == sorted(falling)
    sorts = "[...document.querySelectorAll('#grid th')].map((c) => c.getAttribute('aria-sort'))"
    assert opened.run(sorts)[2] == "ascending"
    assert opened.run("document.activeElement.closest('th').cellIndex") == 2


def test_everything_that_can_be_operated_can_be_reached_by_keyboard(
    page: tuple[Browser, Path],
) -> None:
    opened = _fresh(page)
    reached = set()
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            opened.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab")
        reached.add(opened.run("document.activeElement.id || document.activeElement.textContent"))
    assert {"filter", "status", "first", "second", "next", "Operators"} <= reached
    unnamed = (
        "[...document.querySelectorAll('input, select')].filter((f) => !f.labels.length).length"
    )
    assert opened.run(unnamed) == 0


def test_a_phone_needs_no_sideways_scrolling(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page, width=390)
    opened.run("redraw(() => true)")
    assert opened.run("document.documentElement.scrollWidth") <= 390
    assert opened.complaints == []


def test_dark_mode_darkens_page_and_plots(page: tuple[Browser, Path]) -> None:
    backgrounds = "getComputedStyle(document.body).backgroundColor + ' ' + colours().paper"
    light = _fresh(page).run(backgrounds)
    opened = _fresh(page, dark=True)
    assert opened.run(backgrounds) != light
    opened.run("redraw(() => true)")
    plot = "document.querySelector('[data-plot=drift] .bg, [data-plot=pair] .bg').style.fill"
    assert opened.run(plot) == "rgb(20, 23, 27)"


def test_print_draws_every_plot_on_white(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page, dark=True)
    opened.run("dispatchEvent(new Event('beforeprint'))")
    assert opened.run("boxes.every((box) => box.dataset.drawn === 'yes')")
    plot = "document.querySelector('[data-plot=pair] .bg').style.fill"
    assert opened.run(plot) == "rgb(255, 255, 255)"
    assert len(opened.call("Page.printToPDF", printBackground=True)["data"]) > 10_000


def test_two_devices_can_be_chosen_and_their_usual_ratio_is_told(
    page: tuple[Browser, Path], contents: PageContents
) -> None:
    opened = _fresh(page)
    opened.run("redraw(() => true)")
    forth = opened.run("pairPoints().usual")
    first, second = contents.tables
    ratios = sorted(
        second.lookup(entry.operator).known_time.centre_us / entry.known_time.centre_us
        for entry in first.entries
    )
    assert forth == pytest.approx(ratios[len(ratios) // 2], rel=1e-3)
    opened.run(
        "{ const box = document.getElementById('second'); box.value = '0';"
        "box.dispatchEvent(new Event('change')); }"
    )
    assert opened.run("pairPoints().usual") == 1
    assert "takes 1.00 times" in opened.run("document.getElementById('pair-caption').textContent")


def test_text_from_a_table_is_never_run(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page)
    assert opened.complaints == []
    assert "console.error('ran')" in opened.run("document.querySelector('pre').textContent")


# --- views of networks, CSV, paper -------------------------------------------------


def test_print_keeps_every_row_and_no_plot_is_wider_than_the_paper(
    page: tuple[Browser, Path],
) -> None:
    opened = _fresh(page)
    shown = opened.run("view.shown.length")
    assert opened.run("document.querySelectorAll('#grid tbody tr').length") < shown
    opened.run("dispatchEvent(new Event('beforeprint'))")
    assert opened.run("document.querySelectorAll('#grid tbody tr').length") == shown
    widths = opened.run("boxes.map((box) => box.querySelector('.main-svg').clientWidth)")
    assert set(widths) == {640}
    opened.run("dispatchEvent(new Event('afterprint'))")
    assert opened.run("document.querySelectorAll('#grid tbody tr').length") == 40
    assert opened.complaints == []


def test_a_logarithmic_axis_carries_whole_numbers(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page)
    ticks = opened.run("logAxis('us', [7, 4321]).ticktext")
    assert {"10", "300", "3,000"} <= set(ticks)
    assert opened.run("logAxis('us', [150, 420]).ticktext.includes('200')")
    assert opened.run("logAxis('us', []).type") == "log"


def test_every_figure_gives_its_points_as_csv(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page)
    count = opened.run("document.querySelectorAll('button.csv').length")
    assert count == opened.run("boxes.length") + 2  # the two tables too
    kinds = [*opened.run("boxes.map((box) => box.dataset.plot)"), "operators", "networks"]
    texts = opened.run("[...boxes.map(csvOfPlot), csvOfGrid(), csvOfMatrix()]")
    for kind, text in zip(kinds, texts, strict=True):
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) > 1 or kind == "layers"  # no network here has a price
        assert {len(row) for row in rows} == {len(rows[0])}
    grid = list(csv.DictReader(io.StringIO(opened.run("csvOfGrid()"))))
    assert len(grid) == opened.run("view.shown.length")
    assert float(grid[0]["A us"]) > 0
    assert opened.run("csvCell('=1+1')") == "'=1+1"
    assert opened.complaints == []


def test_an_empty_result_says_why(page: tuple[Browser, Path]) -> None:
    opened = _fresh(page)
    opened.run("view.filter = 'k99'; applyFilter()")
    said = opened.run("document.querySelector('#grid tbody').textContent")
    assert "No operator has all the words of “k99”" in said
    assert "Why cells are empty" in opened.run("document.body.textContent")


def test_operators_of_every_table_come_first_and_the_rest_can_be_asked_for(
    page: tuple[Browser, Path],
) -> None:
    opened = _fresh(page)
    assert opened.run("document.getElementById('scope').value") == "shared"
    assert opened.run("view.shown.every((key) => shared[key])")
    opened.run(
        "(() => { const scope = document.getElementById('scope'); scope.value = 'all';"
        " scope.dispatchEvent(new Event('change')); })()"
    )
    assert opened.run("view.shown.length") == opened.run("operators.count")


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
