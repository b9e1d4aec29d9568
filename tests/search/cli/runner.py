"""A desk: tables of a small space written by hand, and the ways to start a search on them."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from search.cli.app import main
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.calibration import Calibration
from search.table.entries import Entry, Interval, OperatorCounts, Sampling
from search.table.manifest import (
    DeviceInfo,
    Exam,
    Kit,
    Manifest,
    Protocol,
    RuntimeInfo,
    Score,
    SpaceInfo,
)
from search.table.store import EXAM_COLUMNS, write_table
from tests.prepared import start_module

ROOT = Path(__file__).resolve().parents[3]
# At 16 px a step takes a quarter of the time; the digits have ten classes too.
SPACE = make_space("fbnet-mini", resolution=16)
TARGET_MS = 6.0


def exam(mape: float = 0.01, *, passed: bool = True) -> Exam:
    """An exam with this error."""
    even = Score(value=1.0, low=1.0, high=1.0)
    return Exam(
        networks=10,
        mape=Score(value=mape, low=mape, high=mape),
        rmse_us=even,
        within_5_percent=even,
        within_10_percent=even,
        spearman=Score(value=0.875, low=0.8, high=0.9),
        max_relative_error=mape,
        interval_coverage=0.95,
        bar_mape=0.05,
        bar_spearman=0.9,
        passed=passed,
    )


CALIBRATION = Calibration(
    features=("steady_us",),
    slopes=(1.0,),
    intercept_us=20.0,
    covariance=((0.0, 0.0), (0.0, 0.0)),
    networks=8,
    relative_residual=0.05,
    interval_factor=1.96,
    cross_validated_mape=0.01,
    raw_sum_mape=0.01,
    method="made up",
)


def write(
    folder: Path,
    *,
    space: LayeredSpace = SPACE,
    seed: int = 0,
    missing: int = 0,
    failed: int = 0,
    sha256: str = "",
    more: Sequence[OperatorSpec] = (),
    **changes: Any,
) -> Path:
    """A table with seeded times of 0.1 to 2 ms a candidate.

    Args:
        folder: To be made.
        space: Whose operators it holds.
        seed: Of the times, and of the table's id.
        missing, failed: That many rows at the end are left out, or have no time.
        sha256: Of another definition of the space.
        more: Operators beyond the space, measured as well.
        changes: In place of fields of the manifest.
    """
    draw = random.Random(seed)
    kept = space.operators[: len(space.operators) - missing]
    entries = [
        _failed(operator.key) if number >= len(kept) - failed else _row(operator, draw)
        for number, operator in enumerate(kept)
    ]
    entries += [_row(operator, draw) for operator in more]
    values = _made_up(folder.name, seed, kept[0].dtype)
    values["space"] = _coverage(
        space, sha256 or space.sha256, failed=failed, missing=missing, more=len(more)
    )
    manifest = Manifest(**{**values, **changes})
    samples = pd.DataFrame({"item": [kept[0].key], "pass": [0], "round": [0], "ns": [1000]})
    write_table(folder, manifest, entries, samples, _examined(manifest.exam))
    return folder


def _examined(made: Exam | None) -> pd.DataFrame:
    """As many networks as the manifest counts."""
    rows = [
        (f"exam-{n}", 1e3, 9e2, 1.1e3, 1e3) for n in range(0 if made is None else made.networks)
    ]
    return pd.DataFrame(rows, columns=list(EXAM_COLUMNS))


def _coverage(
    space: LayeredSpace, sha256: str, *, failed: int, missing: int, more: int
) -> SpaceInfo:
    expected = len(space.operators) + more
    return SpaceInfo(
        spec=space.spec,
        sha256=sha256,
        layers=space.size.layers,
        candidates=space.size.candidates,
        operators_expected=expected,
        operators_measured=expected - missing - failed,
        operators_unstable=0,
        operators_failed=failed,
        operators_missing=missing,
    )


def _made_up(title: str, seed: int, dtype: str) -> dict[str, Any]:
    """What a manifest says besides the space: a phone and an exam that was passed."""
    return {
        "table_id": f"11111111-2222-3333-4444-{seed:012d}",
        "created_utc": "2026-01-02T03:04:05+00:00",
        "source": "measured",
        "title": title,
        "kit": Kit(version="0.1.0"),
        "device": DeviceInfo(id=f"phone-{seed}", kind="android"),
        "runtime": RuntimeInfo(name="runtime", version="1", backend="xnnpack", runner="native"),
        "protocol": _protocol(dtype),
        "calibration": CALIBRATION,
        "exam": exam(),
        "files_sha256": {},
    }


def _protocol(dtype: str) -> Protocol:
    return Protocol(
        dtype=dtype,
        threads=1,
        preset="fast",
        seed=0,
        passes=2,
        rounds_per_pass=3,
        warmup=1,
        min_block_us=1000.0,
        target_relative_ci=0.02,
    )


def _row(operator: Any, draw: random.Random) -> Entry:
    fixed = operator.kind in ("conv", "classifier")
    centre = draw.uniform(50, 150) if fixed else draw.uniform(100, 2000)
    return Entry(
        key=operator.key,
        status="ok",
        time=Interval(centre_us=centre, low_us=0.99 * centre, high_us=1.01 * centre),
        first_call=Interval(centre_us=centre),
        sampling=Sampling(blocks=6),
        counts=OperatorCounts.of(operator),
    )


def _failed(key: str) -> Entry:
    return Entry(key=key, status="failed", reason="it was too hot")


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


class Desk:
    """A folder with a table, and searches on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = write(folder / "table")

    def path(self, name: str) -> Path:
        """A file or folder on the desk."""
        return self.folder / name

    def json(self, name: str) -> Any:
        """A JSON file on the desk."""
        return json.loads(self.path(name).read_text())

    def data(self, limit: int = 60) -> list[str]:
        """Words that choose a few digits."""
        return ["--data", "digits", "--limit", str(limit), "--batch", "16", "--threads", "1"]

    def words(self, *more: str, output: str = "arch.json") -> list[str]:
        """A small search with a target; what comes later wins."""
        words = ["--table", str(self.table), "--target-ms", str(TARGET_MS), "--epochs", "2"]
        return [*words, *self.data(), "-o", str(self.path(output)), *more]

    def call(self, *words: str) -> Finished:
        """Run a command in this process: `python -m search` less the start of Python."""
        kills = (signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in kills}
        out, err = io.StringIO(), io.StringIO()
        code: object = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["search", *words])
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    main()
            except SystemExit as end:
                code = end.code
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
        assert isinstance(code, int)
        return Finished(code, out.getvalue(), err.getvalue())

    def start(
        self, *words: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> "subprocess.Popen[str]":
        """Start a command in a process of its own."""
        whole = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return start_module("search", *words, environment=whole, cwd=self.folder)


def is_refusal(ended: Finished) -> bool:
    """Exit code 2, a sentence or two, nothing on standard output, no traceback."""
    said = ended.err.strip()
    return ended.code == 2 and ended.out == "" and "Traceback" not in said and bool(said)


def paint(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 16), seed: int = 0) -> None:
    """One image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.Random(seed).randbytes(size[0] * size[1])
    Image.frombytes("L", size, noise).convert(mode).save(path)


def image_folder(
    root: Path,
    classes: int,
    each: int,
    name: Callable[[int, int], str] = lambda label, number: f"{number}.png",
) -> Path:
    """A folder of class sub-folders with images of noise."""
    for label in range(classes):
        for number in range(each):
            paint(root / f"class{label}" / name(label, number), seed=label * 1000 + number)
    return root
