"""Formats by name."""

from profiler.tables.importers.base import Format, PublishedFormat
from profiler.tables.importers.hw_nas_bench import HwNasBench
from profiler.tables.importers.kit_csv import KitCsv
from profiler.tables.importers.mobile_yaml import ONCEFORALL, PROXYLESSNAS
from profiler.tables.importers.not_text import refuse_format
from profiler.tables.importers.single_path import SinglePath
from search.errors import UsageError

_PUBLISHED: tuple[PublishedFormat, ...] = (SinglePath(), PROXYLESSNAS, ONCEFORALL, HwNasBench())
_FORMATS: tuple[Format, ...] = (*_PUBLISHED, KitCsv())


def format_names() -> tuple[str, ...]:
    """Formats that can be imported."""
    return tuple(known.name for known in _FORMATS)


def published_names() -> tuple[str, ...]:
    """Formats of others, into which their tables can be written back."""
    return tuple(known.name for known in _PUBLISHED)


def find_format(name: str) -> Format:
    """A format by name.

    Raises:
        UsageError: Unknown, or known and not imported; says why or names the known ones.
    """
    refuse_format(name)
    for known in _FORMATS:
        if known.name == name:
            return known
    raise UsageError(f"Unknown format {name!r}.", f"Known: {', '.join(format_names())}.")


def find_published(name: str) -> PublishedFormat:
    """A format of others by name.

    Raises:
        UsageError: Unknown; names the known ones.
    """
    for known in _PUBLISHED:
        if known.name == name:
            return known
    raise UsageError(f"Unknown format {name!r}.", f"Known: {', '.join(published_names())}.")
