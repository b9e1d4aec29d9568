"""Rows and samples of a small table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from search.table.entries import Entry, Interval, Sampling
from search.table.manifest import Exam, Score
from search.table.store import EXAM_COLUMNS

STEM = "conv_k3_g1_relu_i3_o16_h32_w32_s1_b1_fp32"
BLOCK = "ir_k3_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32"
BROKEN = "ir_k5_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32"
ROWS = (
    Entry(
        key=STEM,
        status="ok",
        time=Interval(centre_us=10.0, low_us=9.9, high_us=10.2),
        sampling=Sampling(blocks=12, passes=2),
    ),
    Entry(
        key=BLOCK,
        status="unstable",
        reason="asked for 1 %",
        time=Interval(centre_us=20.5, low_us=15.0, high_us=31.25),
    ),
    Entry(key=BROKEN, status="failed", reason='crash: "signal 9", no, result'),
)
FRAME = pd.DataFrame({"key": [STEM, BLOCK], "pass_": [0, 1], "block_ns": [10_000, 20_500]})
_SCORE = Score(value=0.01, low=0.005, high=0.02)
EXAM_OF_ONE = Exam(
    networks=1,
    mape=_SCORE,
    rmse_us=_SCORE,
    within_5_percent=_SCORE,
    within_10_percent=_SCORE,
    spearman=_SCORE,
    max_relative_error=0.02,
    interval_coverage=1.0,
    bar_mape=0.04,
    bar_spearman=0.9,
    passed=False,
)
NO_EXAM = pd.DataFrame(columns=list(EXAM_COLUMNS))

Write = Callable[..., Path]
