"""HW-NAS-Bench's FBNet space at 32x32: device, operator, ms above the skip of its slot.

Facts restated from HW-NAS-Bench (arXiv 2103.10584, MIT): the operators are those
of FBNet on CIFAR-100 with the first 1x1 kept. The network of skips is the
constant; it holds stem, head and classifier.
"""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from profiler.tables.importers.base import ForeignRow, ForeignTable, Role, damaged
from profiler.tables.importers.bench_lookup import COLUMNS, CONSTANT, relative_csv
from search.documents import shortened
from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space

_BLOCK = re.compile(
    r"ConvBlock_H(\d+)_W(\d+)_Cin(\d+)_Cout(\d+)_exp(\d+)_kernel(\d+)_stride(\d+)_group(\d+)"
)
_SKIP = re.compile(r"Skip_H(\d+)_W(\d+)_Cin(\d+)_Cout(\d+)_stride(\d+)")


def bench_space() -> LayeredSpace:
    """The kit's space with the same operators."""
    return make_space("fbnet-cifar", classes=100, always_pointwise=True)


@dataclass(frozen=True, slots=True)
class HwNasBench:
    """Reads and writes the CSV of relative latencies; reads the bench's own tables as JSON."""

    name: str = "hw-nas-bench"
    published: str = (
        "HW-NAS-Bench's paper names tflite for pixel3 and raspi4, TensorRT for edgegpu, "
        "and estimators for eyeriss and fpga."
    )

    def read(self, text: str, origin: str) -> tuple[ForeignTable, ...]:
        """One table a device."""
        if text.lstrip().startswith("{"):
            text = relative_csv(text, origin)
        try:
            lines = list(csv.reader(io.StringIO(text)))
        except csv.Error as error:
            raise damaged(origin, str(error)) from error
        if not lines or tuple(lines[0]) != COLUMNS:
            raise damaged(origin, f"its columns should be {', '.join(COLUMNS)}")
        rows: dict[str, list[ForeignRow]] = {}
        for number, line in enumerate(lines[1:], 2):
            if len(line) != len(COLUMNS):
                raise damaged(origin, f"line {number} has {len(line)} fields, not {len(COLUMNS)}")
            device, key, value = line
            if not device.strip():
                raise damaged(origin, f"line {number} names no device")
            rows.setdefault(device, []).append(_row(key, value, f"line {number}", origin))
        return tuple(_table(device, own, origin) for device, own in rows.items())

    def write(self, tables: Mapping[str, tuple[ForeignRow, ...]]) -> str:
        """All devices in one file."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(COLUMNS)
        for device, rows in tables.items():
            lines.writerows((device, row.source_key, repr(row.value)) for row in rows)
        return text.getvalue()


def _row(key: str, text: str, where: str, origin: str) -> ForeignRow:
    try:
        value = float(text)
    except ValueError as error:
        raise damaged(origin, f"{where}: {shortened(text)!r} is no time") from error
    if key == CONSTANT or (skip := _SKIP.fullmatch(key)):
        if not 0 <= value < math.inf or (key != CONSTANT and skip and value != 0):
            raise damaged(origin, f"{where}: {key} cannot be {text}")
        role: Role = "constant" if key == CONSTANT else "reference"
        return ForeignRow(source_key=key, value=value, role=role)
    block = _BLOCK.fullmatch(key)
    if block is None:
        raise damaged(origin, f"{where}: {shortened(key)!r} is no operator of this format")
    if not 0 < value < math.inf:
        raise damaged(origin, f"{where}: {key} cannot take {shortened(text)} ms")
    try:
        operator = _operator(*(int(word) for word in block.groups()))
    except (UsageError, ValueError) as error:
        why = shortened(getattr(error, "message", "a number is too long"))
        raise damaged(origin, f"{where}: {why}") from error
    return ForeignRow(source_key=key, value=value, operator=operator)


def _operator(
    height: int,
    width: int,
    in_channels: int,
    out_channels: int,
    expansion: int,
    kernel: int,
    stride: int,
    groups: int,
) -> OperatorSpec:
    return OperatorSpec(
        kind="ir",
        kernel=kernel,
        expansion=expansion,
        mid_channels=expansion * in_channels,
        groups=groups,
        activation="relu",
        in_channels=in_channels,
        out_channels=out_channels,
        height=height,
        width=width,
        stride=stride,
        residual=stride == 1 and in_channels == out_channels,
    )


def _table(device: str, rows: Sequence[ForeignRow], origin: str) -> ForeignTable:
    space = bench_space()
    wanted = {operator for operator in space.operators if operator.kind == "ir"}
    operators = [row.operator for row in rows if row.operator is not None]
    constants = [row.value for row in rows if row.role == "constant"]
    if len(operators) != len(wanted) or set(operators) != wanted or len(constants) != 1:
        raise damaged(
            origin,
            f"{device} should have each of {len(wanted)} operators and the constant once, "
            f"not {len(operators)} and {len(constants)}",
        )
    if len({row.source_key for row in rows}) < len(rows):
        raise damaged(origin, f"{device} names a row twice")
    return ForeignTable(
        title="hw-nas-bench-fbnet",
        dtype="fp32",
        value_unit="ms",
        rows=tuple(rows),
        device_name=device,
        constant=constants[0],
        covered=(*space.before, *space.after),
        space=space,
        notes=(
            "times are those above the skip of the same slot; the constant is the network of skips",
            "where a skip changes the shape, the publisher's own operator stands for it",
        ),
    )
