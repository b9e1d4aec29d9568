"""Reading a table, pricing a network and counting it need no heavy package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "executorch", "onnx", "onnxruntime", "torchao", "sklearn"}
OUTER = {"scipy", "typer", "rich", "platformdirs", "deploy", "device_agents", "profiler"}
LIGHT = (
    "search.latency.model",
    "search.spaces.registry",
    "search.zoo",
    "search.algorithms.recipes",
    "search.architecture",
    "search.operators.counts",
)


def _loaded(*modules: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after these imports."""
    lines = [f"import {module}" for module in modules]
    lines += [
        "import json, sys",
        "print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["search.table", "search.table.store"])
def test_reading_a_table_imports_neither_torch_nor_scipy(module: str) -> None:
    loaded = _loaded(module)
    assert "pandas" in loaded
    assert not loaded & (HEAVY | OUTER)


def test_whole_or_absent_files_need_the_standard_library_alone() -> None:
    assert not _loaded("search.files") & (HEAVY | OUTER | {"pandas", "numpy", "pydantic"})


def test_the_face_of_the_tables_hands_on_what_readers_and_writers_need() -> None:
    from search import table

    assert set(table.__all__) >= {"Entry", "Manifest", "Table", "read_table", "write_table"}
    assert table.Manifest.model_fields["schema_version"].default == table.TABLE_SCHEMA


def test_the_light_part_of_search_imports_no_heavy_package() -> None:
    assert not _loaded("search.table.store", *LIGHT) & HEAVY


def test_the_look_sees_a_heavy_import() -> None:
    pytest.importorskip("torch", reason="needs torch to be seen")
    assert "torch" in _loaded("search.operators.modules")
