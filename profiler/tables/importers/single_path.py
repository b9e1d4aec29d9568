"""Single-Path NAS: 22 blocks x 4 settings in ms, as `{"block": {"setting": ms}}`.

Facts restated from enyac-group/single-path-nas (Apache-2.0): a MobileNetV2-like
frame of (repeats, channels, stride); settings 0 to 3 are k3_e3, k3_e6, k5_e3
and k5_e6; blocks 0 (k3_e1) and 21 (k3_e6) are fixed. The file names no device. What
stem, fixed blocks, head and classifier cost is no part of it either: the publisher's
code adds a constant of 19.5999 ms, which is that of its Pixel 1.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from profiler.tables.importers.base import ForeignRow, ForeignTable, damaged
from search.documents import shortened
from search.operators.spec import OperatorSpec
from search.spaces.registry import make_space

SETTINGS = ((3, 3), (3, 6), (5, 3), (5, 6))
_STAGES = ((16, 1, 1), (24, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1))
_FIXED = {0: (3, 1), 21: (3, 6)}


@dataclass(frozen=True, slots=True)
class SinglePath:
    """Reads and writes such files as `pixel1_runtime_model.json`."""

    name: str = "single-path-nas"
    published: str = (
        "Single-Path NAS's own file is of a Pixel 1 (tflite), and --constant 19.5999 is its frame."
    )

    def read(self, text: str, origin: str) -> tuple[ForeignTable, ...]:
        """One table a file."""
        try:
            content = json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
        except RecursionError as error:
            raise damaged(origin, "it is nested too deep") from error
        except ValueError as error:
            raise damaged(origin, shortened(error, 200)) from error
        blocks = tuple(_blocks())
        _check_shape(content, len(blocks), origin)
        rows = tuple(
            ForeignRow(
                source_key=f"{block}/{setting}",
                value=_number(content[block][setting], f"{block}/{setting}", origin),
                operator=blocks[int(block)][int(setting)],
            )
            for block in content
            for setting in content[block]
        )
        return (_table(rows, blocks),)

    def write(self, tables: Mapping[str, tuple[ForeignRow, ...]]) -> str:
        """Blocks and settings in the order in which they came."""
        content: dict[str, dict[str, float]] = {}
        for row in chain.from_iterable(tables.values()):
            block, setting = row.source_key.split("/")
            content.setdefault(block, {})[setting] = row.value
        return json.dumps(content)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("it names a block or a setting twice")
    return content


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no time")


def _check_shape(content: Any, blocks: int, origin: str) -> None:
    if not isinstance(content, dict) or set(content) != {str(n) for n in range(blocks)}:
        raise damaged(origin, f"it should name the blocks 0 to {blocks - 1}")
    wanted = {str(n) for n in range(len(SETTINGS))}
    for block, settings in content.items():
        if not isinstance(settings, dict) or set(settings) != wanted:
            raise damaged(origin, f"block {block} should have the settings 0 to 3")


def _number(value: Any, where: str, origin: str) -> float:
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise damaged(origin, f"{where} is {value!r}, not a time in ms")
    return value


def _blocks() -> Iterator[tuple[OperatorSpec, ...]]:
    """Operators of each block, one a setting (all equal in a fixed block)."""
    channels, size, number = 32, 112, 0
    for out_channels, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            settings = (_FIXED[number],) * 4 if number in _FIXED else SETTINGS
            yield tuple(
                _block(kernel, expansion, (channels, out_channels), size, stride)
                for kernel, expansion in settings
            )
            channels, size, number = out_channels, size // stride, number + 1


def _block(
    kernel: int, expansion: int, channels: tuple[int, int], size: int, stride: int
) -> OperatorSpec:
    return OperatorSpec(
        kind="ir",
        kernel=kernel,
        expansion=expansion,
        mid_channels=expansion * channels[0],
        activation="relu",
        in_channels=channels[0],
        out_channels=channels[1],
        height=size,
        width=size,
        stride=stride,
        residual=stride == 1 and channels[0] == channels[1],
        first_pointwise=expansion > 1,
    )


def _table(
    rows: tuple[ForeignRow, ...], blocks: tuple[tuple[OperatorSpec, ...], ...]
) -> ForeignTable:
    stem = OperatorSpec(
        kind="conv", kernel=3, activation="relu", in_channels=3, out_channels=32,
        height=224, width=224, stride=2,
    )  # fmt: skip
    head = OperatorSpec(
        kind="conv", activation="relu", in_channels=320, out_channels=1280, height=7, width=7
    )
    classifier = OperatorSpec(
        kind="classifier", in_channels=1280, out_channels=1000, height=7, width=7
    )
    return ForeignTable(
        title="single-path-nas",
        dtype="fp32",
        value_unit="ms",
        rows=rows,
        space=make_space("single-path"),
        covered=(stem, blocks[0][0], blocks[21][0], head, classifier),
        notes=(
            "blocks 0 and 21 are fixed: their four values are repeats of one operator",
            "the publisher's search adds 0.7 ms for a skip; no row says so",
        ),
    )
