"""Note in a run's folder: what the search asks for, and where its result will be."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from search.documents import parse_document, read_text
from search.files import write_text
from search.pipeline.options import SearchOptions
from search.pipeline.problem import SearchProblem
from search.table.values import Finite

NOTE = "run.json"
NOTE_SCHEMA = 1


class RunNote(BaseModel):
    """`result` and `architecture` are paths from the folder of the run.

    `target_us` is the latency to be met, None where something else is weighed, or nothing is
    to be met.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    algorithm: str
    target_us: Finite | None
    result: str
    architecture: str

    @property
    def target_ms(self) -> float | None:
        """In milliseconds."""
        return None if self.target_us is None else self.target_us / 1000


def write_note(problem: SearchProblem, options: SearchOptions) -> None:
    """Write the note of a run that begins."""
    folder = options.folder
    note = RunNote(
        algorithm=options.algorithm,
        target_us=problem.target_us,
        result=os.path.relpath(options.result, folder),
        architecture=os.path.relpath(options.output, folder),
    )
    write_text(folder / NOTE, note.model_dump_json(indent=1) + "\n")


def read_note(folder: Path) -> RunNote | None:
    """The note of a run; None where it has none (runs of before, and trainings).

    Raises:
        UsageError: It is damaged.
    """
    path = folder / NOTE
    if not path.exists():
        return None
    return parse_document(
        read_text(path), RunNote, newest=NOTE_SCHEMA, origin=str(path), what="a note on a run"
    )
