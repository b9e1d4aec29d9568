"""Building goes on past what fails, and does nothing twice."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import build
from deploy.artefact import ExportSpec
from deploy.build import BuildResult, build_all, build_one, default_workers, lookup
from deploy.exporters.registry import ExporterEntry
from search.errors import UsageError
from search.operators.spec import parse_key
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
LIGHT = ExporterEntry(name="by-name", suffix=".txt", target="tests.deploy.exporters.by_name:ByName")
# With a package it is heavy: built in processes of their own.
HEAVY = replace(LIGHT, name="by-name-heavy", packages=("pydantic",))


def subjects(*names: str) -> list[ExportSpec]:
    """Each with an operator of its own, so that none shares an artefact."""
    return [
        ExportSpec(name=name, operators=(parse_key(f"skip_i{1 + at}_h7_w7_b1_fp32"),))
        for at, name in enumerate(names)
    ]


def outcomes(built: list[BuildResult]) -> dict[str, str]:
    """Names to what became of them."""
    return {
        one.export.name: "cached" if one.cached else "built" if one.artefact else one.reason
        for one in built
    }


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(build, "ProcessPoolExecutor", refuse)


def test_what_was_built_is_not_built_again(own_cache: Path) -> None:
    wanted = subjects("a", "b")
    assert outcomes(list(build_all(wanted[:1], LIGHT))) == {"a": "built"}
    assert outcomes(list(build_all(wanted, LIGHT))) == {"a": "cached", "b": "built"}
    again = list(build_all(wanted, LIGHT))
    assert outcomes(again) == {"a": "cached", "b": "cached"}
    assert [one.artefact.path.read_bytes() for one in again if one.artefact] == [b"a", b"b"]


def test_an_outcome_tells_how_far_off_and_how_long_it_took(own_cache: Path) -> None:
    built = next(build_all(subjects("a"), LIGHT))
    assert built.artefact
    assert (built.artefact.relative_error, built.artefact.exporter) == (0.25, "by-name")
    assert 0 <= built.artefact.build_seconds < PATIENCE_S
    notes = json.loads(built.artefact.path.with_suffix(".txt.json").read_text())
    assert notes["subject"] == ["skip_i1_h7_w7_b1_fp32"]
    assert set(notes["toolchain"]) == {"kit"}


def test_a_damaged_artefact_is_built_anew(own_cache: Path) -> None:
    wanted = subjects("cut", "edited", "whole")
    first = {one.export.name: one.artefact for one in build_all(wanted, LIGHT)}
    cut, edited = first["cut"], first["edited"]
    assert cut
    assert edited
    cut.path.write_bytes(b"cu")
    notes = edited.path.with_suffix(".txt.json")
    notes.write_text(notes.read_text().replace(edited.sha256, "0" * 64))
    again = list(build_all(wanted, LIGHT))
    assert outcomes(again) == {"whole": "cached", "cut": "built", "edited": "built"}
    assert cut.path.read_bytes() == b"cut"


def test_subjects_of_equal_content_share_an_artefact(own_cache: Path) -> None:
    one = subjects("a")[0]
    list(build_all([one], LIGHT))
    assert outcomes(list(build_all([replace(one, name="other")], LIGHT))) == {"other": "cached"}


def test_another_toolchain_builds_its_own(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(build_all(subjects("a"), LIGHT))
    monkeypatch.setattr(build, "toolchain", lambda _: {"kit": "another revision"})
    assert outcomes(list(build_all(subjects("a"), LIGHT))) == {"a": "built"}


def test_lookup_finds_what_is_built_and_builds_nothing(own_cache: Path) -> None:
    wanted = subjects("a", "b")
    artefact = build_one(wanted[0], LIGHT)
    assert lookup(wanted, LIGHT) == {"a": artefact}
    assert lookup(wanted, HEAVY) == {}


def test_what_fails_becomes_a_reason_and_the_others_go_on(own_cache: Path) -> None:
    wanted = subjects("a", "refuses", "errs", "b")
    assert outcomes(list(build_all(wanted, LIGHT))) == {
        "a": "built",
        "refuses": "No kernel for this. Choose another.",
        "errs": "ZeroDivisionError: by nought",
        "b": "built",
    }
    assert set(lookup(wanted, LIGHT)) == {"a", "b"}


def test_what_failed_is_tried_again_the_next_time(own_cache: Path) -> None:
    for _ in range(2):
        assert not next(build_all(subjects("errs"), LIGHT)).cached


def test_a_cache_that_cannot_be_written_is_nobodys_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        list(build_all(subjects("a"), LIGHT))


def test_weights_that_are_absent_are_told_before_anything_is_built(
    own_cache: Path, no_processes: None
) -> None:
    subject = replace(subjects("a")[0], weights=Path("/nowhere.pt"))
    with pytest.raises((OSError, UsageError), match="nowhere"):
        list(build_all([subject], HEAVY))


def test_no_process_is_started_for_what_is_cached(own_cache: Path, no_processes: None) -> None:
    wanted = subjects("a", "b")
    for subject in wanted:
        build_one(subject, HEAVY)
    assert outcomes(list(build_all(wanted, HEAVY))) == {"a": "cached", "b": "cached"}
    assert list(build_all([], HEAVY)) == []


class Pool:
    """A pool whose processes have all finished, one of them badly."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, _: Any, subject: ExportSpec, entry: ExporterEntry) -> "Future[Any]":
        future: Future[Any] = Future()
        if subject.name.startswith("dies"):
            future.set_exception(BrokenProcessPool("died"))
        else:
            future.set_result(None)
        return future

    def shutdown(self, **_: Any) -> None:
        pass


def test_what_finished_beside_a_crash_is_not_blamed_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build, "ProcessPoolExecutor", Pool)
    wanted = subjects("dies", *"abcdefgh")
    seen: list[BuildResult] = []
    with pytest.raises(BrokenProcessPool):
        seen.extend(build._run_pool(wanted, HEAVY, len(wanted)))
    assert {one.export.name for one in seen} == set("abcdefgh")


def test_workers_are_bounded_by_cores_memory_and_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    page, gibibyte = os.sysconf("SC_PAGE_SIZE"), 2**30
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    counts = []
    for free in (gibibyte // 2, 3 * gibibyte, 100 * gibibyte):
        known = {"SC_PAGE_SIZE": page, "SC_AVPHYS_PAGES": free // page}
        monkeypatch.setattr(os, "sysconf", known.__getitem__)
        counts.append(default_workers())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert [*counts, default_workers()] == [1, 3, 8, 2]


# --- with processes: each costs an import of torch


@pytest.fixture
def importable(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes find the exporter of these tests."""
    pytest.importorskip("torch", reason="the processes that build import it")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_process_that_dies_is_one_reason_and_the_others_are_built(importable: None) -> None:
    wanted = subjects("a", "dies", "refuses", "b")
    found = outcomes(list(build_all(wanted, HEAVY, workers=1)))
    assert "process died" in found.pop("dies")
    assert found == {"a": "built", "refuses": "No kernel for this. Choose another.", "b": "built"}
    assert set(lookup(wanted, HEAVY)) == {"a", "b"}


def test_a_build_that_is_given_up_starts_nothing_more(importable: None) -> None:
    wanted = subjects(*"abcdefgh")
    building = build_all(wanted, HEAVY, workers=1)
    assert next(building).artefact
    building.close()
    built = set(lookup(wanted, HEAVY))
    assert "a" in built
    assert len(built) <= 3
    time.sleep(0.3)
    assert set(lookup(wanted, HEAVY)) == built


def test_looking_up_imports_no_torch(own_cache: Path) -> None:
    code = """
import sys
from deploy.artefact import ExportSpec
from deploy.build import lookup
from deploy.exporters.registry import backends, default_dtype, exporter_entry
from search.operators.spec import parse_key
subject = ExportSpec.of(parse_key("empty_b1_fp32"))
for backend in backends():
    assert lookup([subject], exporter_entry(backend, default_dtype(backend))) == {}
heavy = {"torch", "executorch", "onnx", "onnxruntime", "torchao"} & set(sys.modules)
assert not heavy, heavy
"""
    pytest.importorskip("torch", reason="a toolchain that is not installed has no versions")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr


def test_a_builder_ends_when_its_parent_is_gone() -> None:
    builder = "import os, sys; from deploy.build import _die_with; _die_with(int(sys.argv[1]))"
    parent = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", {builder!r}, str(os.getpid())])
"""
    # The pipe stays open, and this call waits, for as long as the builder lives.
    done = subprocess.run(
        [sys.executable, "-c", parent], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
