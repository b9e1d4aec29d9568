"""What is printed: nothing that steers a terminal, wherever it goes, and whatever goes wrong."""

import dataclasses
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.report.data import PageContents
from profiler.report.page import render
from search.console.plain import PlainStream, plain, plain_output
from search.table.store import Table, read_table, write_table
from tests.hostile.conftest import Material
from tests.hostile.watchdog import run
from tests.journeys.terminal import in_terminal
from tests.profiler.conftest import Finished

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\r"
MARKUP = '<script>alert(1)</script><img src=x onerror="alert(2)">&quot;'


@given(st.text())
def test_plain_text_holds_no_control_and_plain_text_stays(text: str) -> None:
    shown = plain(text)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert plain(shown) == shown
    shown.encode()


def test_a_plain_stream_takes_text_alone_and_shows_no_way_round() -> None:
    below = io.StringIO()
    stream = PlainStream(below)
    assert stream.write("a\x1b[31m\n") == 7
    assert below.getvalue() == "a\\x1b[31m\n"
    assert not hasattr(stream, "buffer")
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]


def test_the_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with plain_output():
        assert isinstance(sys.stdout, PlainStream)
    assert (sys.stdout, sys.stderr) == before


# --- names from devices and files -----------------------------------------------------


def _renamed(material: Material, text: str, folder: Path) -> Table:
    """The whole table, with this text wherever a device or a file can put one."""
    table = read_table(material.table)
    manifest, named = table.manifest, {"model": text, "os": text, "soc": text, "os_build": text}
    rows = [
        dataclasses.replace(table.entries[0], status="failed", reason=text, time=None),
        *table.entries[1:],
    ]
    space = manifest.space.model_copy(
        update={
            "operators_failed": manifest.space.operators_failed + 1,
            "operators_measured": manifest.space.operators_measured - 1,
        }
    )
    changed = manifest.model_copy(
        update={
            "device": manifest.device.model_copy(update=named),
            "runtime": manifest.runtime.model_copy(update={"name": text, "version": text}),
            "title": text,
            "notes": (text,),
            "context": {text: text},
            "space": space,
        }
    )
    return write_table(folder / "named", changed, rows, table.samples(), table.exam)


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_escapes_of_a_device_never_reach_the_terminal(
    material: Material, tmp_path: Path, form: str
) -> None:
    folder = str(_renamed(material, ESCAPE, tmp_path).path)
    for words in (["show", folder], ["diff", folder, str(material.table)], ["validate", folder]):
        ended = run("profiler", *words, "--format", form)
        assert ended.faults() == [], ended.told
        assert "\u202e" not in ended.out + ended.err


def test_escapes_of_an_argument_never_reach_the_terminal() -> None:
    for words in (
        ("profiler", "show", ESCAPE),
        ("search", "plot", ESCAPE),
        ("deploy", ESCAPE, "--device", "host"),
    ):
        ended = run(*words)
        assert (ended.code, ended.faults()) == (2, [])
        assert "\\x1b" in ended.err


def test_markup_in_names_never_reaches_a_page_unescaped(material: Material, tmp_path: Path) -> None:
    table = _renamed(material, MARKUP, tmp_path)
    page = render(PageContents(tables=(table,), networks=(), fronts=(), curves=False), MARKUP)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page


# --- where the output goes ------------------------------------------------------------


def _start(*words: str, env: dict[str, str] | None = None, **popen: Any) -> Finished:
    """A command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        cwd=ROOT,
        timeout=300,
        check=False,
        text=True,
        **{"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, **popen},
    )
    return Finished(done.returncode, done.stdout or "", done.stderr or "")


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    """A device on which there is never room."""
    with Path("/dev/full").open("w") as stream:
        yield stream


def test_a_full_disk_behind_the_output_is_a_sentence(full: io.TextIOWrapper) -> None:
    done = _start("profiler", "networks", stdout=full)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "No space left" in done.err


def test_a_message_that_cannot_be_written_changes_no_exit_code(full: io.TextIOWrapper) -> None:
    assert _start("profiler", "show", "nowhere", stderr=full).code == 2


def test_a_reader_that_left_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = _start("profiler", "networks", stdout=closed)
    assert (done.code, done.err) == (0, "")


def test_a_closed_output_is_no_error() -> None:
    done = _start("profiler", "networks", stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.code, done.err) == (0, "")


def test_headings_in_a_terminal_of_colours_are_words_alone(material: Material) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    words = [sys.executable, "-m", "profiler", "show", str(material.table)]
    step = in_terminal(words, material.folder, environment)
    assert step.code == 0
    assert "\\x1b" not in step.shown
    assert re.search(r"^operator +us ", step.plain(), re.MULTILINE)


def test_the_c_locale_shows_every_line(material: Material) -> None:
    plain_c = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = _start("profiler", "show", str(material.table), env=plain_c)
    assert (done.code, done.err) == (0, "")
    done = _start("profiler", "show", "größer", env=plain_c)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_without_a_home_or_a_place_for_temporary_files_the_kit_works(material: Material) -> None:
    missing = {"HOME": "/nowhere", "TMPDIR": "/nowhere", "XDG_CACHE_HOME": ""}
    done = _start("profiler", "validate", str(material.table), env=missing)
    assert (done.code, done.err) == (0, "")


def test_a_cache_below_a_home_that_cannot_be_made_is_a_sentence(material: Material) -> None:
    words = ("--device", "simulated", "--space", "fbnet-mini", "--fast", "-o", str(material.folder))
    missing = {"HOME": "/proc/nowhere", "KIT_CACHE": "", "XDG_CACHE_HOME": ""}
    done = _start("profiler", *words, env=missing)
    assert done.code in (2, 3)
    assert "Traceback" not in done.err
    assert "/proc/nowhere" in done.err
