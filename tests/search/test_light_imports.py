"""Reading a table, pricing a network and counting it need no heavy package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "executorch", "onnx", "onnxruntime", "torchao", "sklearn"}
LIGHT = (
    "search.latency.model",
    "search.spaces.registry",
    "search.zoo",
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


def test_reading_a_table_imports_neither_torch_nor_scipy() -> None:
    loaded = _loaded("search.table.store")
    assert "pandas" in loaded
    assert not loaded & (HEAVY | {"scipy", "typer", "rich", "deploy", "device_agents", "profiler"})


def test_the_light_part_of_search_imports_no_heavy_package() -> None:
    assert not _loaded("search.table.store", *LIGHT) & HEAVY


def test_the_look_sees_a_heavy_import() -> None:
    pytest.importorskip("torch", reason="needs torch to be seen")
    assert "torch" in _loaded("search.operators.modules")
