"""A wheel of the kit, built and used away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77", reason="wheels are built with setuptools")

from tests.product import PACKAGES, ROOT

GOLDEN = ROOT / "tests" / "golden" / "table_v4_complete"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of a wheel as pip would lay it down, from a copy of the sources."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=_LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--quiet", "--disable-pip-version-check", "-w", str(wheels)],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("fbnet_kit-*.whl")
    folder = tmp_path_factory.mktemp("project") / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the unpacked wheel, in a folder that holds nothing of the checkout."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed), "KIT_CACHE": str(installed / "cache")},
        capture_output=True,
        text=True,
    )


def test_a_wheel_holds_every_file_of_the_packages_and_nothing_else(installed: Path) -> None:
    expected = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "README.md"
    }
    held = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert expected - held == set()
    assert {path.parts[0].split("-")[0] for path in held} == {*PACKAGES, "fbnet_kit"}


def test_a_wheel_names_the_pythons_that_it_runs_on(installed: Path) -> None:
    (metadata,) = installed.glob("fbnet_kit-*.dist-info/METADATA")
    (line,) = [text for text in metadata.read_text().splitlines() if "Requires-Python" in text]
    assert line.split(": ")[1].split(",") in ([">=3.11", "<3.15"], ["<3.15", ">=3.11"])
    for minor in range(11, 15):
        assert (ROOT / f"constraints/3.{minor}.txt").is_file()


def test_show_and_validate_of_a_wheel_run_elsewhere(installed: Path) -> None:
    shown = run(installed, "-m", "profiler", "show", str(GOLDEN), "--format", "json")
    assert json.loads(shown.stdout)["manifest"]["title"] == "complete", shown.stderr
    valid = run(installed, "-m", "profiler", "validate", str(GOLDEN))
    assert (valid.returncode, valid.stderr) == (1, "")  # one row of it has failed
    assert "1 operator(s) failed" in valid.stdout


_FACTS = """
import json
import profiler
from device_agents.device import load_device
from device_agents.native.build import SOURCES
from profiler.results.provenance import kit_info
print(json.dumps({
    "file": profiler.__file__,
    "device": load_device("pixel").title,
    "sources": len(list(SOURCES.glob("*.cpp"))) > 5,
    "commit": kit_info().commit,
}))
"""


def test_a_wheel_has_its_files_beside_it_and_takes_no_foreign_commit_for_its_own(
    installed: Path,
) -> None:
    """It may be installed in an environment inside a user's own repository."""
    if shutil.which("git"):
        about = ["-c", "user.name=x", "-c", "user.email=x@y"]
        for words in (["init", "-q"], [*about, "commit", "-q", "--allow-empty", "-m", "x"]):
            subprocess.run(["git", "-C", str(installed.parent), *words], check=True)
    told = run(installed, "-c", _FACTS)
    assert json.loads(told.stdout or told.stderr) == {
        "file": str(installed / "profiler/__init__.py"),
        "device": "Google Pixel phone",
        "sources": True,
        "commit": None,
    }
