"""Note beside a network's weights: how its images must be prepared."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from search.documents import parse_document, read_text
from search.files import write_text

PREPARATION_SCHEMA = 1
_Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Positive = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]


class Preparation(BaseModel):
    """Images that `weights.pt` was trained on; `mean` and `std` are of pixels scaled to 0..1.

    `test_top1` is what torch measured on the test images after training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    data: str
    classes: tuple[str, ...]
    resolution: Annotated[int, Field(ge=1, le=2**16)]
    mean: tuple[_Finite, _Finite, _Finite]
    std: tuple[_Positive, _Positive, _Positive]
    test_top1: _Finite | None = None


def preparation_path(weights: Path) -> Path:
    """Path of the note to these weights."""
    return weights.with_suffix(".images.json")


def write_preparation(preparation: Preparation, weights: Path) -> None:
    """Write the note atomically."""
    write_text(preparation_path(weights), preparation.model_dump_json(indent=1) + "\n")


def read_preparation(weights: Path) -> Preparation | None:
    """The note to these weights; None where there is none.

    Raises:
        UsageError: There is one, and it cannot be read or is newer.
    """
    path = preparation_path(weights)
    if not path.exists():
        return None
    return parse_document(
        read_text(path),
        Preparation,
        newest=PREPARATION_SCHEMA,
        origin=str(path),
        what="a note on how images are prepared",
    )
