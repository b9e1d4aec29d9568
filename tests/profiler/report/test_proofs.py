"""Proofs with times by operator on a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.report.data import PageContents
from profiler.report.proofs import read_proof
from search.errors import UsageError


def record(**profile: Any) -> dict[str, Any]:
    parts = [
        {"name": "Conv #1", "where": "XNNPACK", "us": 60.0, "share": 0.6},
        {"name": "Conv #2", "where": "XNNPACK", "us": 20.0, "share": 0.2},
        {"name": "<where>", "where": "kernel", "us": 15.0, "share": 0.15},
    ]
    told = {
        "source": "tracer",
        "runtime": "executorch 1.5.1",
        "calls": 10,
        "whole_us": 100.0,
        "rest_us": 5.0,
        "tracer_us": 2.5,
        "parts": parts,
        "notes": ["whole microseconds"],
    }
    return {
        "schema_version": 1,
        "network": {"name": "net", "dtype": "fp32", "more": 1},
        "proof": {"device": "d", "backend": "xnnpack", "profile": {**told, **profile}},
    }


def saved(folder: Path, content: object) -> Path:
    path = folder / "net.deploy.json"
    path.write_text(json.dumps(content))
    return path


def test_parts_and_rest_are_bars_by_kind_and_in_order(tmp_path: Path) -> None:
    chart = read_proof(saved(tmp_path, record()))
    assert [(bar.name, bar.us) for bar in chart.kinds] == [
        ("Conv x2", 80.0),
        ("<where>", 15.0),
        ("boundary and dispatch", 5.0),
    ]
    assert [bar.length for bar in chart.kinds] == [100.0, 18.75, 6.25]
    assert sum(bar.share for bar in chart.bars) == pytest.approx(1.0)
    assert "costs +2.5 us a call" in chart.facts


def test_a_page_of_proofs_alone_escapes_names(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the page is made with jinja2")
    pytest.importorskip("plotly", reason="pages bring plotly")
    from profiler.report.page import render

    chart = read_proof(saved(tmp_path, record()))
    page = render(PageContents(tables=(), networks=(), fronts=(), proofs=(chart,)), "<title>")
    assert "&lt;where&gt;" in page
    assert "<where>" not in page
    assert page.count("timebar other") == 4  # kernel and rest, in both charts
    assert "not delegated" in page


def test_what_a_network_needs_beside_time_is_on_the_page(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the page is made with jinja2")
    pytest.importorskip("plotly", reason="pages bring plotly")
    from profiler.report.page import render

    content = record()
    content["proof"]["footprint"] = {
        "file_bytes": 2_000_000,
        "load_us": 1500.0,
        "first_us": 800.0,
        "planned_bytes": 600_000,
        "peak_rss_kb": 20_000,
        "base_rss_kb": 10_000,
    }
    content["proof"]["memory_prediction"] = {
        "table": "t",
        "value_kb": 11_000.0,
        "low_kb": 10_500.0,
        "high_kb": 11_500.0,
        "measured_kb": 10_000,
    }
    chart = read_proof(saved(tmp_path, content))
    assert chart.needs == (
        ("size", "2.00 MB file, 0.60 MB planned to compute in"),
        ("loading", "1.500 ms, first call 0.800 ms"),
        ("memory", "20.48 MB at the peak, 10.24 MB of it the runner's"),
        ("", "11.26 MB [10.75, 11.78] predicted as the network's own"),
        ("", "10.24 MB measured: predicted is +10.0% off, OUTSIDE its interval"),
    )
    page = render(PageContents(tables=(), networks=(), fronts=(), proofs=(chart,)), "title")
    assert "<dt>memory</dt><dd>20.48 MB at the peak" in page
    assert read_proof(saved(tmp_path, record())).needs == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({**record(), "proof": None}, "no times of operators.*--profile"),
        (record(whole_us=0), "whole_us"),
        ({"schema_version": 2}, "newer|schema"),
        ([], "record of deploy"),
    ],
)
def test_records_without_a_profile_are_refused(tmp_path: Path, content: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_proof(saved(tmp_path, content))
