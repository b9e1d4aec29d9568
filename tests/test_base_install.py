"""The base install: tables can be read without the extras; all else says which one it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.product import ROOT
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.thorough

# Packages of the extras; a module of one of these names cannot be imported below.
EXTRAS = [
    "adb_shell",
    "adbutils",
    "coremltools",
    "elftools",
    "executorch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "PIL",
    "sklearn",
    "torch",
    "torchao",
    "usb1",
]
# Read by every interpreter that starts, those of the builds too.
_WITHOUT = f"""
import importlib.metadata, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
version = importlib.metadata.version

def known(name):
    if name in {EXTRAS!r}:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

importlib.metadata.version = known
"""
TABLE = str(ROOT / "tests" / "golden" / "table_v4_complete")


FBNET = str(ROOT / "tables/host-amd-epyc/fbnet-r224-x1-c1000-h1984-p0-b1-int8-xnnpack-t1-v2")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which no interpreter finds an extra."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "sitecustomize.py").write_text(_WITHOUT)
    return folder


def call(base: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A program of the kit where no extra is installed."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=base,
        env={**os.environ, "PYTHONPATH": f"{base}{os.pathsep}{ROOT}", "KIT_CACHE": str(base / "c")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["profiler"],
        ["search", "front", "-h"],
        ["deploy", "--version"],
        ["profiler", "tables", "--tables", str(ROOT / "tables")],
        ["profiler", "show", TABLE],
        ["profiler", "diff", TABLE, TABLE],
        ["profiler", "networks"],
        ["profiler", "export", "csv", TABLE],
        ["profiler", "report", TABLE, "--no-curves", "--quiet"],
        ["profiler", "compare", "FBNet-A", "FBNet-S8", "--table", FBNET],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_reads_tables_needs_no_extra(base: Path, words: list[str]) -> None:
    done = call(base, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["profiler", "--device", "host", "--space", "fbnet-mini"],
        ["profiler", "devices"],
        ["profiler", "curve", FBNET],
        ["search", "--space", "fbnet-mini", "--cost", "flops"],
        ["search", "train", "FBNet-A"],
        ["deploy", "FBNet-A", "--export-format", "pte", "-o", "there"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_needs_an_extra_says_which(base: Path, words: list[str]) -> None:
    done = call(base, *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "nstall the kit with its" in done.stderr
    assert "'profile'" in done.stderr
