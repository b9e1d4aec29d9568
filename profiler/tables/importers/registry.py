"""Published formats by name."""

from profiler.tables.importers.base import Format
from profiler.tables.importers.hw_nas_bench import HwNasBench
from profiler.tables.importers.mobile_yaml import ONCEFORALL, PROXYLESSNAS
from profiler.tables.importers.single_path import SinglePath
from search.errors import UsageError

_FORMATS: tuple[Format, ...] = (SinglePath(), PROXYLESSNAS, ONCEFORALL, HwNasBench())


def format_names() -> tuple[str, ...]:
    """Formats that can be imported."""
    return tuple(known.name for known in _FORMATS)


def find_format(name: str) -> Format:
    """A format by name.

    Raises:
        UsageError: Unknown; names the known ones.
    """
    for known in _FORMATS:
        if known.name == name:
            return known
    raise UsageError(f"Unknown format {name!r}.", f"Known: {', '.join(format_names())}.")
