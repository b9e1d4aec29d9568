"""The contents of a report page, made once for all tests of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.comparison.sources import find_networks
from profiler.report.data import PageContents, page_data
from profiler.report.fronts import read_front
from profiler.report.page import write_page
from search.table.store import Table

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
