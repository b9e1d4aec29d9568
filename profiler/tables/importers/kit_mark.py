"""The line by which this kit marks files that it writes in the form of others.

Such a file names no device of its own. The mark is a comment (`# fbnet-kit: {...}`), which
other programs pass over, and says what was measured and how: `import` reads it back.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.errors import TableError
from search.table.store import Table

PREFIX = "# fbnet-kit: "


class KitMark(BaseModel):
    """What a marked file says of itself; `rows` tells a file that was cut off."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    device: str = Field(min_length=1, max_length=200)
    runtime: str = Field(min_length=1, max_length=200)
    source: Literal["measured", "imported", "predicted", "simulated"]
    table_id: str = Field(max_length=200)
    dtype: str = Field(pattern="^(fp32|fp16|int8|w8)$")
    rows: int = Field(ge=0)

    @property
    def line(self) -> str:
        """The first line of the file."""
        return f"{PREFIX}{self.model_dump_json()}\n"

    @property
    def sentence(self) -> str:
        """Where the numbers come from, in a line."""
        return f"{self.source} table {self.table_id} of this kit"


def mark_of(table: Table, rows: int) -> str:
    """The line that marks a file of so many rows of a table."""
    manifest = table.manifest
    runtime = manifest.runtime
    words = (runtime.name, runtime.version, runtime.backend)
    mark = KitMark(
        device=manifest.device.model or manifest.device.id,
        runtime=" ".join(dict.fromkeys(word for word in words if word)),
        source=manifest.source,
        table_id=manifest.table_id,
        dtype=manifest.protocol.dtype,
        rows=rows,
    )
    return mark.line


def read_mark(text: str) -> KitMark | None:
    """The mark in a file's first line; None without one.

    Raises:
        TableError: A mark that this kit did not write.
    """
    line = text.partition("\n")[0]
    if not line.startswith(PREFIX):
        return None
    try:
        return KitMark.model_validate_json(line.removeprefix(PREFIX))
    except ValidationError as error:
        first = error.errors()[0]
        raise TableError(
            f"The first line's mark is damaged: {'.'.join(map(str, first['loc']))} {first['msg']}.",
            "Export the table again.",
        ) from error
