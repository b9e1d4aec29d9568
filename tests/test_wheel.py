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
    shutil.copytree(ROOT / "tests" / "loopback", source / "tests" / "loopback", ignore=_LEFT_OUT)
    for name in ("pyproject.toml", "setup.py", "fbnet_kit.py", "README.md", "LICENSE"):
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
    folders = {ROOT / package: Path(package) for package in PACKAGES}
    folders[ROOT / "tests" / "loopback"] = Path("fbnet_kit_loopback")
    expected = {
        name / path.relative_to(folder)
        for folder, name in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "README.md"
    } | {Path("fbnet_kit.py")}
    held = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert expected - held == set()
    tops = {path.parts[0].split("-")[0] for path in held} - {"__pycache__"}
    assert tops == {*PACKAGES, "fbnet_kit", "fbnet_kit.py", "fbnet_kit_loopback"}


def test_a_wheel_says_whose_it_is_and_where_to_read_on(installed: Path) -> None:
    (facts,) = installed.glob("fbnet_kit-*.dist-info")
    metadata = (facts / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: MIT" in metadata
    assert (facts / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert metadata.count("Project-URL: ") >= 2
    assert "fbnet-kit = fbnet_kit:main" in (facts / "entry_points.txt").read_text()


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
    assert "1 operator failed" in valid.stdout


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


def test_one_name_calls_every_program_of_a_wheel(installed: Path) -> None:
    for words, called in (
        (["profile"], "python -m profiler"),
        (["search", "train"], "python -m search train"),
        (["deploy"], "python -m deploy"),
        (["show"], "python -m profiler show"),
        (["rehearse"], "python -m fbnet_kit_loopback"),
    ):
        shown = run(installed, "-m", "fbnet_kit", *words, "--help")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert called.lower() in shown.stdout[:80].lower()


def test_a_phone_can_be_rehearsed_with_a_wheel(installed: Path, tmp_path: Path) -> None:
    """The stand-in that goes along answers, and its tools can be run."""
    if sys.platform != "linux":
        pytest.skip("the stand-in uses Linux's tools")
    pytest.importorskip("adbutils", reason="phones are reached through adbutils")
    for script in (installed / "fbnet_kit_loopback" / "bin").iterdir():
        script.chmod(0o755)  # as pip does, and the archive's reader here does not
    command = [sys.executable, "-m", "fbnet_kit", "rehearse", "--root", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        text=True,
    ) as phone:
        try:
            address = phone.stdout.readline().split()[-1]
            listed = run(installed, "-m", "profiler", "devices", "--connect", address)
        finally:
            phone.terminate()
    assert f"--connect {address}" in listed.stdout, listed.stderr


@pytest.mark.parametrize("hidden", ["search", "deploy", "device_agents"])
def test_a_users_file_with_a_packages_name_is_named_and_not_run(
    installed: Path, tmp_path: Path, hidden: str
) -> None:
    (tmp_path / f"{hidden}.py").write_text("raise SystemExit('a foreign file was run')\n")
    called = subprocess.run(
        [sys.executable, "-m", "profiler", "show", str(GOLDEN)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert called.returncode == 2
    assert f"{hidden}.py\nhides the kit's package {hidden!r}" in called.stderr
    assert "fbnet-kit" in called.stderr
    assert "foreign" not in called.stderr


def test_the_kits_own_command_is_not_disturbed_by_such_files(
    installed: Path, tmp_path: Path
) -> None:
    """A console script does not look into the current folder."""
    for package in PACKAGES:
        (tmp_path / f"{package}.py").write_text("raise SystemExit('a foreign file was run')\n")
    script = tmp_path / "bin" / "fbnet-kit"
    script.parent.mkdir()
    script.write_text("import sys\nfrom fbnet_kit import main\nsys.exit(main())\n")
    shown = subprocess.run(
        [sys.executable, str(script), "show", str(GOLDEN)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "complete" in shown.stdout
