"""HW-NAS-Bench's own lookup tables (JSON), as latencies above the skip of the same slot.

The bench's program prints `{"raspi4_latency": {"ConvBlock_H32_...": ms, ...}, ...}` for its
FBNet space: whole operators, those at 32x32 pixels and those at 224x224 in one table. What is
at 32x32 is taken here; a network of the bench is the sum of stem, 22 slots, head, pool and
classifier.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from profiler.tables.importers.base import damaged

COLUMNS = ("device", "op_key", "latency_ms_minus_skip_of_same_slot")
CONSTANT = "CONST_all_skip_network"
METRIC = "_latency"
# Channels, layers and first stride of a stage; expansion, kernel and groups of a candidate.
_STAGES = ((16, 1, 1), (24, 4, 1), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
_BLOCKS = ((1, 3, 1), (1, 3, 2), (3, 3, 1), (6, 3, 1), (1, 5, 1), (1, 5, 2), (3, 5, 1), (6, 5, 1))
_HEAD, _CLASSES = 1504, 100
_FRAME = (
    "ConvNorm_H32_W32_Cin3_Cout16_kernel3_stride1_group1",
    f"ConvNorm_H4_W4_Cin352_Cout{_HEAD}_kernel1_stride1_group1",
    f"AvgP_H4_W4_Cin{_HEAD}_Cout{_HEAD}_kernel4_stride1",
    f"FC_Cin{_HEAD}_Cout{_CLASSES}",
)


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the 22 places of a block: its size, channels and stride."""

    size: int
    in_channels: int
    out_channels: int
    stride: int

    @property
    def skip(self) -> str:
        """The key of its skip."""
        return f"Skip_{self._shape}_stride{self.stride}"

    @property
    def blocks(self) -> tuple[str, ...]:
        """The keys of its eight blocks."""
        return tuple(
            f"ConvBlock_{self._shape}_exp{expansion}_kernel{kernel}_stride{self.stride}"
            f"_group{groups}"
            for expansion, kernel, groups in _BLOCKS
        )

    @property
    def _shape(self) -> str:
        return f"H{self.size}_W{self.size}_Cin{self.in_channels}_Cout{self.out_channels}"


def slots() -> Iterator[Slot]:
    """The places of a network, in order."""
    size, channels = 32, 16
    for out_channels, layers, first_stride in _STAGES:
        for layer in range(layers):
            stride = first_stride if layer == 0 else 1
            yield Slot(size, channels, out_channels, stride)
            size, channels = size // stride, out_channels


def relative_csv(text: str, origin: str) -> str:
    """The latencies of all devices as CSV; energies are passed over.

    Raises:
        TableError: Not such a table, or without an operator of the space at 32x32.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(origin, str(error)) from error
    metrics = {name: table for name, table in content.items() if name.endswith(METRIC)}
    if not metrics:
        raise damaged(origin, "it names no device: no <device>_latency in it")
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, table in metrics.items():
        device = name.removesuffix(METRIC)
        writer.writerows((device, key, repr(ms)) for key, ms in _relative(table, name, origin))
    return lines.getvalue()


def _relative(table: Any, metric: str, origin: str) -> Iterator[tuple[str, float]]:
    if not isinstance(table, dict):
        raise damaged(origin, f"{metric} holds no operators")
    for slot in dict.fromkeys(slots()):
        skip = _time(table, slot.skip, metric, origin)
        for key in slot.blocks:
            yield key, _time(table, key, metric, origin) - skip
        yield slot.skip, 0.0
    paid = (*_FRAME, *(slot.skip for slot in slots()))
    yield CONSTANT, sum(_time(table, key, metric, origin) for key in paid)


def _time(table: Mapping[str, Any], key: str, metric: str, origin: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise damaged(origin, f"{metric} has {value!r} ms for {key}")
    return float(value)
