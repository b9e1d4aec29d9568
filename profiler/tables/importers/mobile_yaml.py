"""The YAML tables of ProxylessNAS and once-for-all: key -> count, mean, var or std (ms).

Neither names a device. What this kit exports in once-for-all's style does, by its mark.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import yaml

from profiler.tables.importers.base import ForeignRow, ForeignTable, damaged
from profiler.tables.importers.kit_mark import KitMark, read_mark
from profiler.tables.importers.mobile_keys import ONCE_FOR_ALL, PROXYLESS, Dialect, parse_mobile_key
from search.documents import shortened
from search.errors import UsageError
from search.operators.spec import OperatorSpec

# Published tables have 10 to 15 thousand. YAML is read at 100 to 200 thousand a second.
_MOST_CHARACTERS = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileYaml:
    """Reads and writes one dialect."""

    name: str
    dialect: Dialect
    spread_unit: str
    published: str
    notes: tuple[str, ...] = ()

    def read(self, text: str, origin: str) -> tuple[ForeignTable, ...]:
        """One table a file."""
        if len(text) > _MOST_CHARACTERS:
            raise damaged(origin, f"it is longer than {_MOST_CHARACTERS} characters")
        mark = read_mark(text)
        try:
            content = _parse(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise damaged(origin, shortened(" ".join(str(error).split()), 200)) from error
        if not isinstance(content, dict) or not content:
            raise damaged(origin, "it holds no rows")
        rows = tuple(self._row(key, value, origin, mark) for key, value in content.items())
        if mark is None:
            _check_whole(rows, self.dialect, origin)
        elif len(rows) != mark.rows:
            raise damaged(origin, f"it holds {len(rows)} of {mark.rows} rows")
        return (self._table(rows, mark),)

    def _table(self, rows: tuple[ForeignRow, ...], mark: KitMark | None) -> ForeignTable:
        return ForeignTable(
            title=f"{self.name}-r{_resolution(rows)}",
            dtype=mark.dtype if mark else "fp32",
            value_unit="ms",
            spread_unit=self.spread_unit,
            rows=rows,
            device_name=mark.device if mark else None,
            runtime=mark.runtime if mark else None,
            source=mark.sentence if mark else None,
            simulated=mark is not None and mark.source == "simulated",
            preamble=mark.line if mark else "",
            notes=self.notes if mark is None else (),
        )

    def write(self, tables: Mapping[str, tuple[ForeignRow, ...]]) -> str:
        """Rows by key, as both publishers print them."""
        content = {
            row.source_key: {
                "count": row.count, "mean": row.value, self.dialect.spread: row.spread
            }
            for row in chain.from_iterable(tables.values())
        }  # fmt: skip
        text: str = yaml.safe_dump(content, default_flow_style=False, width=10_000)
        return text

    def _row(self, key: Any, value: Any, origin: str, mark: KitMark | None) -> ForeignRow:
        names = {"count", "mean", self.dialect.spread}
        if not isinstance(value, dict) or set(value) != names:
            raise damaged(
                origin, f"{shortened(key)} should have count, mean and {self.dialect.spread}"
            )
        count, mean, spread = value["count"], value["mean"], value[self.dialect.spread]
        good = isinstance(count, int) and not isinstance(count, bool) and count > 0
        good = good and isinstance(mean, float) and 0 < mean < math.inf
        if mark is None or spread is not None:
            good = good and isinstance(spread, float) and 0 <= spread < math.inf
        if not good:
            raise damaged(
                origin, f"{shortened(key)} has an impossible count, mean or {self.dialect.spread}"
            )
        try:
            operator = parse_mobile_key(str(key), self.dialect)
        except (UsageError, ValueError) as error:
            why = shortened(getattr(error, "message", "a number of a key is too long"), 200)
            raise damaged(origin, why) from error
        if mark is not None:
            operator = replace(operator, dtype=mark.dtype)
        return ForeignRow(
            source_key=str(key), value=mean, operator=operator, count=count, spread=spread
        )


def _parse(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        _refuse_twins(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_twins(node: yaml.Node | None) -> None:
    """A key named twice: plain YAML would keep the last."""
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("it holds no rows")
    for mapping in [node, *(value for _, value in node.value)]:
        if isinstance(mapping, yaml.MappingNode):
            names = [key.value for key, _ in mapping.value]
            if len(set(names)) < len(names):
                raise ValueError("a key is named twice")


def _check_whole(rows: tuple[ForeignRow, ...], dialect: Dialect, origin: str) -> None:
    """Refuse a file that was cut off: frame, grids and the chain of shapes."""
    kinds = {row.source_key.partition("-")[0] for row in rows}
    if kinds != dialect.operators:
        missing = sorted(dialect.operators - kinds) or sorted(kinds - dialect.operators)
        raise damaged(origin, f"it should hold {missing[0]} rows, and no others")
    blocks = [row.operator for row in rows if row.operator and row.operator.kind == "ir"]
    _check_grids(blocks, origin)
    _check_chain(
        [o for row in rows if (o := row.operator) and o.kind in ("ir", "conv") and o.height > 1],
        origin,
    )


def _check_grids(blocks: Iterable[OperatorSpec], origin: str) -> None:
    grids: dict[tuple[int, int, int, int, bool], set[tuple[int, int]]] = {}
    for o in blocks:
        shape = (o.height, o.in_channels, o.out_channels, o.stride, o.squeeze_channels > 0)
        grids.setdefault(shape, set()).add((o.mid_channels, o.kernel))
    for shape, cells in grids.items():
        middles, kernels = {m for m, _ in cells}, {k for _, k in cells}
        fixed = len(cells) == 1
        if not fixed and (len(cells) < len(middles) * len(kernels) or len(kernels) < 3):
            raise damaged(
                origin, f"the rows for {shape[1]} to {shape[2]} channels at {shape[0]} are not all"
            )


def _check_chain(operators: Iterable[OperatorSpec], origin: str) -> None:
    operators = list(operators)
    blocks = [o for o in operators if o.kind == "ir"]
    outputs = {(o.out_height, o.out_channels) for o in operators}
    inputs = {(o.height, o.in_channels) for o in operators}
    # No operator computes the image; the last convolution's output goes to the pool.
    open_ends = {shape for shape in inputs - outputs if shape[1] != 3}
    last = {(o.out_height, o.out_channels) for o in operators if o.kind == "conv" and o.kernel == 1}
    if open_ends or (outputs - inputs) - last:
        raise damaged(origin, "its layers do not connect: rows are missing")
    repeated = {(o.height, o.in_channels) for o in blocks if o.residual}
    if missing := sorted(_stages(operators, blocks) - repeated):
        raise damaged(origin, f"rows are missing: no residual blocks of {missing[0][1]} channels")


def _stages(
    operators: Iterable[OperatorSpec], blocks: Iterable[OperatorSpec]
) -> set[tuple[int, int]]:
    """Size and channels of stages of several blocks: all but the narrow first and the wide last."""
    into_blocks = {(o.height, o.in_channels) for o in blocks if not o.residual}
    stages = {(o.out_height, o.out_channels) for o in blocks if o.stride > 1}
    for o in operators:
        shape = (o.out_height, o.out_channels)
        first = o.kind == "conv" and o.activation == "hswish" and o.in_channels == 3
        between = o.kind == "ir" and o.expansion > 1 and shape in into_blocks
        if first or between:
            stages.add(shape)
    return stages


def _resolution(rows: Iterable[ForeignRow]) -> int:
    return max(row.operator.height for row in rows if row.operator)


PROXYLESSNAS = MobileYaml(
    name="proxylessnas",
    dialect=PROXYLESS,
    spread_unit="ms2",
    published="ProxylessNAS's own file is of a Pixel phone (by its paper a Pixel 1, tflite).",
)
ONCEFORALL = MobileYaml(
    name="once-for-all",
    dialect=ONCE_FOR_ALL,
    spread_unit="ms",
    published="The files that once-for-all released are of a Galaxy Note10.",
    notes=("Conv_2 has no batch norm, unlike this kit's conv",),
)
