"""The way to write a small table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from search.table.entries import Entry
from search.table.manifest import Exam, Manifest
from search.table.store import write_table
from tests.search.table.builders import FRAME, NO_EXAM, ROWS, Write


@pytest.fixture
def write(
    tmp_path: Path, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> Write:
    """Write a small table; the manifest counts the rows given, or those of `counted`."""

    def write(
        rows: tuple[Entry, ...] = ROWS,
        counted: tuple[Entry, ...] | None = None,
        exam: pd.DataFrame = NO_EXAM,
        examined: Exam | None = None,
    ) -> Path:
        folder = tmp_path / "device" / "table-1"
        manifest = make_manifest(rows if counted is None else counted)
        manifest = manifest.model_copy(update={"exam": examined})
        # Written as an older or another program might have: unchecked.
        with monkeypatch.context() as patch:
            for check in ("_check_counts", "check_exam_columns", "parse_entries"):
                patch.setattr(f"search.table.store.{check}", lambda *_: None)
            write_table(folder, manifest, rows, FRAME, exam)
        return folder

    return write
