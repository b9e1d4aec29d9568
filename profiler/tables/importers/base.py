"""The protocol of published formats, and the rows that they are read into."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from search.errors import TableError
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.table.entries import Entry

Role = Literal["operator", "reference", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """One number of the file, as printed there, and the operator it stands for.

    `value` and `spread` are in the units that the file's format has; `count`
    is the number of runs behind them. A "reference" row is the zero that
    others count from, a "constant" is paid by every network: neither is an
    operator.
    """

    source_key: str
    value: float
    operator: OperatorSpec | None = None
    role: Role = "operator"
    count: int | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignTable:
    """One device's rows, with what the file says of them.

    A format is not a device: `device_name`, `runtime` and `source` are what the
    file itself says, None where it is silent. `constant` (in `value_unit`) is paid
    by every network, and `covered` are operators that it holds already. `space` is
    the kit's own space where the rows fill one. `entries` are the table's rows where
    the file holds them as they are; None has them made of `rows`. `simulated` is what
    this kit's own mark says, and `preamble` the text of such a mark.
    """

    title: str
    dtype: str
    value_unit: str
    rows: tuple[ForeignRow, ...]
    device_name: str | None = None
    runtime: str | None = None
    source: str | None = None
    spread_unit: str | None = None
    constant: float | None = None
    covered: tuple[OperatorSpec, ...] = ()
    space: LayeredSpace | None = None
    entries: tuple[Entry, ...] | None = None
    simulated: bool = False
    preamble: str = ""
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """One file format."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def published(self) -> str:
        """A sentence on the files of this format that its publisher released."""
        ...

    def read(self, text: str, origin: str) -> tuple[ForeignTable, ...]:
        """Read a file: one table a device.

        Raises:
            TableError: Damaged, cut short, or not of this format.
        """
        ...


class PublishedFormat(Format, Protocol):
    """A format whose files are written back as they were.

    Invariant: `write` of what `read` returned gives the text that was read.
    """

    def write(self, tables: Mapping[str, tuple[ForeignRow, ...]]) -> str:
        """The file's text from the rows of each device, by the name that the file has for it."""
        ...


def damaged(origin: str, why: str) -> TableError:
    """The error of a file that is not whole, or not of its format."""
    return TableError(
        f"{origin} cannot be imported: {why.rstrip('.')}.",
        "See that it is whole and of this format "
        "(profiler/tables/importers/README.md says what each holds).",
    )


def implausible(origin: str, why: str, remedy: str) -> TableError:
    """The error of a file that can be read, and holds what cannot be true."""
    return TableError(f"{origin} is not plausible: {why.rstrip('.')}.", remedy)
