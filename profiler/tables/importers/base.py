"""The protocol of published formats, and the rows that they are read into."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from search.errors import TableError
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.table.manifest import DeviceInfo, RuntimeInfo

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
    """One device's rows, with what the publisher states of them.

    `covered` are operators that the constant holds already. `space` is the
    kit's own space where the rows fill one.
    """

    title: str
    publisher: str
    source: str
    licence: str | None
    device: DeviceInfo
    runtime: RuntimeInfo
    threads: int | None
    dtype: str
    value_unit: str
    rows: tuple[ForeignRow, ...]
    spread_unit: str | None = None
    constant: float | None = None
    covered: tuple[OperatorSpec, ...] = ()
    space: LayeredSpace | None = None
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """One published file format.

    Invariant: `write` of what `read` returned gives the text that was read.
    """

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    def read(self, text: str, origin: str) -> tuple[ForeignTable, ...]:
        """Read a file: one table a device.

        Raises:
            TableError: Damaged, cut short, or not of this format.
        """
        ...

    def write(self, tables: Mapping[str, tuple[ForeignRow, ...]]) -> str:
        """The file's text from the rows of each device."""
        ...


REMEDY = "Get the file again from its publisher."


def damaged(origin: str, why: str) -> TableError:
    """The error of a file that is not what its publisher released."""
    return TableError(f"{origin} cannot be imported: {why.rstrip('.')}.", REMEDY)
