"""What a table tells of networks beside their time, as lines of its summary."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from search.table.exam import NEEDS_COLUMNS
from search.table.memory import MemoryModel
from search.table.store import Table


def memory_lines(table: Table) -> Iterator[str]:
    """Peak memory, file, loading and first call of the networks; none where that is not known."""
    model, exam = table.manifest.memory, table.exam
    known = {name: _range(exam[name]) for name in NEEDS_COLUMNS if name in exam}
    if model is not None:
        memory = known.get("memory_kb")
        span = f"{_megabytes(memory, 1024)} at the peak of a network's own, " if memory else ""
        yield f"  memory     {span}beside {model.runner_kb * 1024 / 1e6:.1f} MB of the runner"
        yield from _model_lines(model)
    elif table.manifest.calibration is not None:
        yield "  memory     of networks is not told by this table"
    if (size := known.get("file_bytes")) and (load := known.get("load_us")):
        first = known.get("first_call_us")
        called = f", first call {_milliseconds(first)}" if first else ""
        arena = known.get("planned_bytes")
        planned = f", {_megabytes(arena, 1)} planned" if arena else ""
        yield f"  files      {_megabytes(size, 1)}{planned}; loading {_milliseconds(load)}{called}"


def _model_lines(model: MemoryModel) -> Iterator[str]:
    yield (
        f"             model of {len(model.pieces)} "
        f"{'piece' if len(model.pieces) == 1 else 'pieces'}, cross-validated MAPE "
        f"{model.cross_validated_mape:.2%} on {model.networks} networks, 95 % interval "
        f"+-{model.interval_factor * model.relative_residual:.1%}"
    )
    exam = model.exam
    if exam is not None:
        yield (
            f"             exam on {exam.networks} networks held out: MAPE {exam.mape:.2%}, worst "
            f"{exam.max_relative_error:.1%}; with the runner's {exam.mape_with_runner:.2%}"
        )


def _range(values: pd.Series) -> tuple[float, float] | None:
    """The least and the most of what is known."""
    known = values.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if len(known) else None


def _megabytes(span: tuple[float, float], scale: float) -> str:
    low, high = (value * scale / 1e6 for value in span)
    return f"{high:.2f} MB" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f} MB"


def _milliseconds(span: tuple[float, float]) -> str:
    return f"{span[0] / 1e3:.1f} to {span[1] / 1e3:.1f} ms"
