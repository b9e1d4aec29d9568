"""The report's page: what it holds, and how it behaves in a real browser."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.report.data import PageContents
from search.spaces.registry import make_space
from tests.profiler.report.browser import Browser, browser

pytestmark = pytest.mark.thorough


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


def test_every_row_of_every_table_is_on_the_page(
    contents: PageContents, data: dict[str, Any]
) -> None:
    operators = data["operators"]
    for table, rows in zip(contents.tables, operators["rows"], strict=True):
        assert len(rows["at"]) == len(table.entries)
        for at, us, entry in zip(rows["at"], rows["us"], table.entries, strict=True):
            assert entry.key.startswith(operators["keys"][at] + "_")
            assert us == pytest.approx(entry.known_time.centre_us, rel=1e-4)


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
