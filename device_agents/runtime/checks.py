"""Checks of a runtime folder before anything is sent: whether it can start on a phone at all."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from device_agents.runtime.elf import ElfFacts, read_elf
from device_agents.runtime.targets import RUNNER, Target
from device_agents.tools import Task, check_tool
from search.errors import DeviceError

# Phones may have pages of 16 KiB: no LOAD segment may ask for less.
LEAST_ALIGNMENT = 16 * 1024
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
START_TIMEOUT_S = 120
# One Cortex-A57, as every emulator has it.
_CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd07
CPU revision\t: 0
"""


def check_folder(target: Target, folder: Path) -> bool:
    """Check every file of a runtime, and start it if that is possible here.

    Returns:
        Whether it was started.

    Raises:
        DeviceError: Something is wrong; all of it is listed.
    """
    files = {path.name: read_elf(path) for path in sorted(folder.iterdir())}
    problems = list(problems_of(target, files))
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise DeviceError(
            f"The runtime for {target.name} would not start:\n{lines}\n",
            "Make it again with another --compiler.",
        )
    return _try_to_start(target, folder)


def problems_of(target: Target, files: Mapping[str, ElfFacts]) -> Iterator[str]:
    """Why these files would not start together on the target, a clause each."""
    for name, facts in files.items():
        if facts.machine != target.elf_machine:
            yield f"{name} is for {facts.machine}, not for {target.elf_machine}"
        if target.has_libc and facts.load_alignment < LEAST_ALIGNMENT:
            yield (
                f"{name} is aligned to {facts.load_alignment} bytes; phones with large pages "
                f"need {LEAST_ALIGNMENT}"
            )
    if target.has_libc:  # elsewhere the machine's own libraries take part
        yield from _lacking_libraries(files)
        yield from _lacking_symbols(files)
        yield from _lacking_versions(files)


def _lacking_libraries(files: Mapping[str, ElfFacts]) -> Iterator[str]:
    for name, facts in files.items():
        for library in sorted(facts.needed - set(files)):
            yield f"{name} needs {library}, which is not there"


def _lacking_symbols(files: Mapping[str, ElfFacts]) -> Iterator[str]:
    defined = frozenset().union(*(facts.defined for facts in files.values()))
    for name, facts in files.items():
        lacking = sorted(facts.undefined - defined)
        if lacking:
            yield f"{name} refers to {len(lacking)} symbols that no file defines: {lacking[0]}"


def _lacking_versions(files: Mapping[str, ElfFacts]) -> Iterator[str]:
    for name, facts in files.items():
        for library, version in sorted(facts.versions_needed):
            if library in files and version not in files[library].versions_defined:
                yield f"{name} needs {version}, which {library} does not have"


def find_emulator() -> str | None:
    """The program that runs arm64 programs on this machine, if it is installed."""
    return next(filter(None, map(shutil.which, EMULATORS)), None)


def _try_to_start(target: Target, folder: Path) -> bool:
    command = target.command(str(folder))
    if not target.needs_emulator:
        return _start(target, folder, command)
    emulator = find_emulator()
    if emulator is None:
        return False
    with tempfile.TemporaryDirectory(prefix="kit-emulated-") as root:
        # ONNX Runtime reads it when it is loaded, and does not survive another machine's.
        cpuinfo = Path(root) / "proc" / "cpuinfo"
        cpuinfo.parent.mkdir()
        cpuinfo.write_text(_CPUINFO, encoding="utf-8")
        return _start(target, folder, [emulator, "-L", root, *command])


def _start(target: Target, folder: Path, command: Sequence[str]) -> bool:
    task = Task(
        failure=f"{folder / RUNNER} does not start",
        remedy="Make it again with another --compiler.",
        timeout_s=START_TIMEOUT_S,
    )
    said = check_tool([*command, "--version"], task)
    if target.backend not in said:
        raise DeviceError(f"{task.failure} as it should: it said {said.strip()!r}.", task.remedy)
    return True
