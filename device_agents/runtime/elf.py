"""What an ELF file says of itself, as far as it decides whether a runtime can start."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from search.errors import DeviceError


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFacts:
    """One program or library.

    Args:
        machine: `EM_AARCH64`, `EM_X86_64` and so on.
        load_alignment: The smallest alignment of a LOAD segment, in bytes.
        needed: Names of the libraries it refers to.
        undefined: Symbols that others must define; weak ones are left out.
        defined: Symbols that it defines for others.
        versions_needed: (library, version) pairs that must be there, such as GLIBC_2.27.
        versions_defined: Versions that it has itself.
    """

    machine: str
    load_alignment: int
    needed: frozenset[str]
    undefined: frozenset[str]
    defined: frozenset[str]
    versions_needed: frozenset[tuple[str, str]]
    versions_defined: frozenset[str]


def read_elf(path: Path) -> ElfFacts:
    """Read a program or library.

    Raises:
        DeviceError: It is none, or damaged.
    """
    try:
        with path.open("rb") as stream:
            return _facts(ELFFile(stream))
    except (ELFError, OSError, ValueError) as error:
        raise DeviceError(
            f"{path} is no program or library: {error or 'not an ELF file'}.",
            "Remove it and try again.",
        ) from error


def _facts(elf: Any) -> ElfFacts:
    sections = list(elf.iter_sections())
    dynamic = [section for section in sections if isinstance(section, DynamicSection)]
    tags: list[Any] = [tag for section in dynamic for tag in section.iter_tags()]
    loads = [one["p_align"] for one in elf.iter_segments() if one["p_type"] == "PT_LOAD"]
    undefined, defined = _symbols(sections)
    return ElfFacts(
        machine=elf["e_machine"],
        load_alignment=min(loads, default=0),
        needed=frozenset(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        undefined=undefined,
        defined=defined,
        versions_needed=_versions_needed(sections),
        versions_defined=_versions_defined(sections),
    )


def _symbols(sections: list[Any]) -> tuple[frozenset[str], frozenset[str]]:
    undefined, defined = set(), set()
    for section in sections:
        if not isinstance(section, SymbolTableSection) or section.name != ".dynsym":
            continue
        for symbol in section.iter_symbols():
            if symbol["st_shndx"] != "SHN_UNDEF":
                defined.add(symbol.name)
            elif symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol.name:
                undefined.add(symbol.name)
    return frozenset(undefined), frozenset(defined)


def _versions_needed(sections: list[Any]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (str(library.name), version.name)
        for section in sections
        if isinstance(section, GNUVerNeedSection)
        for library, versions in section.iter_versions()
        for version in versions
    )


def _versions_defined(sections: list[Any]) -> frozenset[str]:
    return frozenset(
        name.name
        for section in sections
        if isinstance(section, GNUVerDefSection)
        for _, names in section.iter_versions()
        for name in names
    )
