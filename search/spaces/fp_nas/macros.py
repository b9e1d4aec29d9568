"""The printed frames of FP-NAS's spaces.

Source: FP-NAS (arXiv 2011.10949), Tables 1, 2 and 7; the mini preset is ours, for
32x32 images and a CPU. Of the spaces L0 to L2 the paper prints input, blocks and
size alone (Table 3); their rows are in a supplement that it does not contain.

The largest network of F++ counts 159.1M multiply-adds at 128 px here, where
section 4 prints 122M. With kernel 5, expansion 4.5 and all widths at their
largest the 1x1 convolutions alone take 78.0M, stem, head and classifier 9.6M,
and every split's depthwise convolutions 16.8M: 2 splits everywhere count
123.8M (121.8M with squeezed channels a quarter of the block's input), 4 splits
159.1M. The printed figure is thus that of 2 splits.
"""

from typing import NamedTuple

from search.spaces.preset import Macro

Range = tuple[float, float, float]


class Row(NamedTuple):
    """One printed row: (lowest, highest, step) of channels and of expansion."""

    widths: tuple[int, int, int]
    expansions: Range
    repeats: int
    stride: int


class SlicedMacro(NamedTuple):
    """The frame; every layer chooses among all combinations of the variables."""

    frame: Macro
    rows: tuple[Row, ...]
    kernels: tuple[int, ...]
    activations: tuple[str, ...]
    splits: tuple[int, ...]


_E: Range = (0.75, 4.5, 0.75)
_F = (
    Row((12, 16, 4), (1, 1, 1), 1, 1),
    Row((16, 24, 4), _E, 1, 2),
    Row((16, 24, 4), _E, 2, 1),
    Row((16, 40, 8), _E, 1, 2),
    Row((16, 40, 8), _E, 2, 1),
    Row((48, 80, 8), _E, 1, 2),
    Row((48, 80, 8), _E, 2, 1),
    Row((72, 112, 8), _E, 3, 1),
    Row((112, 184, 8), _E, 1, 2),
    Row((112, 184, 8), _E, 3, 1),
)
_MINI_E: Range = (2, 4, 2)
_MINI = (
    Row((16, 16, 8), (1, 1, 1), 1, 1),
    Row((16, 24, 8), _MINI_E, 1, 2),
    Row((16, 24, 8), _MINI_E, 1, 1),
    Row((24, 40, 16), _MINI_E, 1, 2),
    Row((24, 40, 16), _MINI_E, 1, 1),
    Row((64, 80, 16), _MINI_E, 1, 2),
)


def _fine(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """A row for each block."""
    return tuple(
        row._replace(repeats=1, stride=row.stride if number == 0 else 1)
        for row in rows
        for number in range(row.repeats)
    )


_FRAME = Macro(16, 2, (), 1984, 224, 1000)
_TWO = ("relu", "swish")
MACROS = {
    "fp-nas-f": SlicedMacro(_FRAME, _F, (3, 5), _TWO, (0, 1)),
    "fp-nas-f-fine": SlicedMacro(_FRAME, _fine(_F), (3, 5), _TWO, (0, 1)),
    # Table 7's variants: one number of splits wherever the search would take squeeze-excite.
    "fp-nas-f-sa2": SlicedMacro(_FRAME, _F, (3, 5), _TWO, (0, 2)),
    "fp-nas-f-sa4": SlicedMacro(_FRAME, _F, (3, 5), _TWO, (0, 4)),
    "fp-nas-f++": SlicedMacro(_FRAME, _F, (3, 5), _TWO, (0, 1, 2, 4)),
    "fp-nas-mini": SlicedMacro(Macro(16, 1, (), 256, 32, 10), _MINI, (3, 5), ("relu",), (0, 1, 2)),
}
