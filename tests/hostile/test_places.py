"""Places: full disks, folders elsewhere, names of the shell, users who may do nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.artefact import ExportSpec, cached_path, digest, find_artefact, store
from device_agents.base import AgentSettings
from device_agents.device import Device
from device_agents.host.agent import HostAgent
from search.errors import DeviceError
from search.files import sha256_file
from search.operators.spec import parse_key
from search.table.manifest import DeviceInfo
from tests.hostile.conftest import Material, table_commands
from tests.hostile.watchdog import run
from tests.profiler.conftest import Bench, bench

pytestmark = pytest.mark.thorough

__all__ = ["bench"]

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["../../elsewhere", "/etc", "..", "", "a/b", "a\0b", "-rf", "$(touch owned)", "a;b", "\x1b"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk of two megabytes")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(disk: Path, left_kb: int) -> None:
    """Leave room for so many KiB."""
    statistics = os.statvfs(disk)
    free = statistics.f_bavail * statistics.f_frsize
    (disk / "filler").write_bytes(bytes(max(0, free - left_kb * 1024)))


def test_no_command_leaves_half_a_file_on_a_full_disk(material: Material, small_disk: Path) -> None:
    commands = table_commands(material, material.table)
    page = (*commands["report"][:3], "-o", str(small_disk / "page.html"), "--no-curves")
    csv = ("profiler", "export", "csv", str(material.table), "-o", str(small_disk / "t.csv"))
    front = (*commands["front"], "-o", str(small_disk / "front"))
    exact = [*commands["exact"]]
    exact[exact.index("-o") + 1] = str(small_disk / "net.json")
    _fill(small_disk, left_kb=0)
    for words in (page, csv, front, tuple(exact)):
        ended = run(*words)
        assert ended.faults() == [], ended.told
        assert ended.code == 2, ended.told
        assert "No space left" in ended.err, ended.told
        left = [p.name for p in small_disk.rglob("*") if p.is_file()]
        assert left == ["filler"], ended.told


@pytest.mark.parametrize("left_kb", [80, 200, 320])
def test_a_campaign_on_a_full_disk_is_gone_on_with_when_there_is_room(
    bench: Bench, small_disk: Path, left_kb: int
) -> None:
    _fill(small_disk, left_kb)
    bench.output = small_disk / "tables"
    ended = bench.call(*bench.words())
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    (small_disk / "filler").unlink()
    resume = ["--resume"] if bench.journals() else []
    again = bench.call(*bench.words(*resume))
    assert again.code == 0, again.err
    assert len(bench.written()) == 1


# --- names ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_device_has_a_name_that_leads_elsewhere_or_means_something_to_a_shell(name: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        DeviceInfo(id=name, kind="other")
    with pytest.raises(ValueError, match="pattern"):
        Device(name=name, platform="host", title="t", backend="b", threads=1)


# --- the cache -----------------------------------------------------------------------

SPEC = ExportSpec.of(parse_key("conv_k3_g1_relu_i3_o16_h32_w32_s1_b1_fp32"))


def _stored(path: Path) -> None:
    store(
        path,
        bytes(range(40)),
        exporter="x",
        operator_keys=[SPEC.name],
        toolchain={"torch": "1"},
        relative_error=1.5e-7,
        build_seconds=1.5,
    )


def test_any_flipped_bit_of_an_artefact_or_its_notes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pte"
    _stored(path)
    notes = path.with_name("a.pte.json")
    whole = find_artefact(path)
    assert whole is not None
    for file in (path, notes):
        content = file.read_bytes()
        for place in range(len(content)):
            file.write_bytes(
                content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]
            )
            found = find_artefact(path)
            # White space between the words of the notes says nothing.
            assert found is None or (found == whole and content[place : place + 1].isspace())
        file.write_bytes(content)
    assert find_artefact(path) == whole


def test_what_changed_since_it_was_built_is_not_delivered(tmp_path: Path) -> None:
    path = tmp_path / "a.pte"
    _stored(path)
    known = sha256_file(path)
    settings = AgentSettings(backend="xnnpack", threads=1, affinity=None, runner="python")
    with HostAgent(settings) as agent:
        assert agent.deliver(path, known) == str(path.resolve())
        path.write_bytes(b"another")
        with pytest.raises(DeviceError, match="changed since"):
            agent.deliver(path, known)


def test_two_toolchains_share_a_cache_without_sharing_an_artefact(own_cache: Path) -> None:
    paths = {
        cached_path("x", ".pte", digest(SPEC, "x", {"kit": version})) for version in ("1", "2")
    }
    assert len(paths) == 2
    for path in paths:
        assert path.is_relative_to(own_cache)
        _stored(path)
    assert all(find_artefact(path) for path in paths)


def test_notes_of_an_older_kit_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.pte"
    _stored(path)
    notes = path.with_name("a.pte.json")
    notes.write_text(notes.read_text().replace('"seal"', '"unknown"'))
    assert find_artefact(path) is None


# --- users ---------------------------------------------------------------------------


def test_a_user_who_may_write_nothing_gets_a_sentence(material: Material) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    words = ["-c", _AS_NOBODY, "--device", "simulated", "--space", "fbnet-mini", "-o", "/root/t"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KIT_CACHE": "/root/cache"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "/root/" in done.stderr
    del material


# The packages are read before: they may lie where nobody may read.
_AS_NOBODY = """
import os, sys
import profiler.cli.measure, profiler.campaign.run, profiler.cli.campaign, search.table.store
import profiler.planning.plan, rich.console, rich.table, deploy.exporters.simulated
import profiler.cli.farm.campaign
from profiler.cli.app import main
os.setgid(65534)
os.setuid(65534)
sys.argv = ["profiler", *sys.argv[1:]]
main()
"""
