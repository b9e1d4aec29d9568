"""The list of tables tells tables apart whose space, type and version are the same."""

import io
from pathlib import Path

from rich.console import Console

from profiler.cli.tables import print_tables
from search.spaces.registry import make_space
from search.table.query import find_table, list_tables
from tests.search.cli.runner import write


def test_rows_that_would_be_the_same_tell_what_differs_and_are_named_by_it(tmp_path: Path) -> None:
    for resolution in (16, 32):
        space = make_space("fbnet-mini", resolution=resolution)
        write(tmp_path / "phone" / f"{space.spec}-xnnpack-t1-v1", space=space)
    space = make_space("fbnet-mini", resolution=16, dtype="int8")
    write(tmp_path / "phone" / f"{space.spec}-xnnpack-t1-v1", space=space)
    text = io.StringIO()
    print_tables(list_tables(tmp_path), tmp_path, Console(file=text, width=80))
    shown = [line.split("  ")[1] for line in text.getvalue().splitlines()[2:]]
    assert sorted(shown) == ["fbnet-mini", "fbnet-mini r16", "fbnet-mini r32"]
    assert find_table("fbnet-mini fp32 r32", tmp_path).name.startswith("fbnet-mini-r32-")
