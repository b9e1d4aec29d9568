"""What would keep a runtime from starting is found before anything is sent to a phone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.runtime.checks import problems_of
from device_agents.runtime.elf import ElfFacts, read_elf
from device_agents.runtime.targets import PHONE, find_target
from search.errors import DeviceError, UsageError

RUNNER = ElfFacts(
    machine="EM_AARCH64",
    load_alignment=65536,
    needed=frozenset({"libc.so.6"}),
    undefined=frozenset({"malloc"}),
    defined=frozenset({"main"}),
    versions_needed=frozenset({("libc.so.6", "GLIBC_2.27")}),
    versions_defined=frozenset(),
)
LIBC = ElfFacts(
    machine="EM_AARCH64",
    load_alignment=16384,
    needed=frozenset(),
    undefined=frozenset(),
    defined=frozenset({"malloc"}),
    versions_needed=frozenset(),
    versions_defined=frozenset({"GLIBC_2.17", "GLIBC_2.27"}),
)

Change = Callable[[dict[str, ElfFacts]], object]


def test_files_that_fit_together_have_no_problem() -> None:
    assert list(problems_of(PHONE, {"runner": RUNNER, "libc.so.6": LIBC})) == []


FAULTS: dict[str, Change] = {
    "runner is for EM_X86_64, not for EM_AARCH64": lambda files: files.update(
        runner=replace(RUNNER, machine="EM_X86_64")
    ),
    "libc.so.6 is aligned to 4096 bytes; phones with large pages need 16384": lambda files: (
        files.update({"libc.so.6": replace(LIBC, load_alignment=4096)})
    ),
    "runner needs libm.so.6, which is not there": lambda files: files.update(
        runner=replace(RUNNER, needed=frozenset({"libm.so.6"}))
    ),
    "runner refers to 1 symbols that no file defines: realloc": lambda files: files.update(
        runner=replace(RUNNER, undefined=frozenset({"realloc"}))
    ),
    "runner needs GLIBC_2.38, which libc.so.6 does not have": lambda files: files.update(
        runner=replace(RUNNER, versions_needed=frozenset({("libc.so.6", "GLIBC_2.38")}))
    ),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_one_fault_is_one_sentence(sentence: str) -> None:
    files = {"runner": RUNNER, "libc.so.6": LIBC}
    FAULTS[sentence](files)
    assert list(problems_of(PHONE, files)) == [sentence]


def test_on_the_host_only_the_machine_counts() -> None:
    try:
        host = find_target("host")
    except UsageError as error:
        pytest.skip(str(error))
    alone = replace(RUNNER, machine=host.elf_machine, load_alignment=4096)
    assert list(problems_of(host, {"runner": alone})) == []


def test_a_real_program_tells_what_it_needs() -> None:
    facts = read_elf(Path("/bin/sh"))
    assert any(name.startswith("libc.") for name in facts.needed)
    assert any(version.startswith("GLIBC_") for _, version in facts.versions_needed)
    assert facts.load_alignment >= 4096


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"])
def test_what_is_no_program_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DeviceError, match="no program or library"):
        read_elf(tmp_path / "x")


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="phone, host"):
        find_target("toaster")
