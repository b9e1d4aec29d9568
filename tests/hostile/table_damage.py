"""Damaged tables: each kind of damage changes one file of a whole table.

`sealed` damage is that of somebody who knows how to hide it: the hashes are written anew.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from search.files import sha256_bytes
from search.table.store import ENTRIES, EXAM, MANIFEST, SAMPLES, SEAL
from tests.hostile.damage import BYTES, DEEP, JSON, LONG, Damage

Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDamage:
    """What is done to which file of a table."""

    file: str
    change: Damage
    sealed: bool = False

    def apply(self, folder: Path) -> None:
        """Damage the table in this folder."""
        path = folder / self.file
        path.write_bytes(self.change(path.read_bytes()))
        if self.sealed:
            _seal(folder)


def _seal(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    for name in content["files_sha256"]:
        content["files_sha256"][name] = sha256_bytes((folder / name).read_bytes())
    del content[SEAL]
    content[SEAL] = sha256_bytes(json.dumps(content, sort_keys=True).encode())
    (folder / MANIFEST).write_text(json.dumps(content))


def _field(where: str, value: object) -> Damage:
    """A manifest with another value at a dotted path."""

    def change(content: bytes) -> bytes:
        manifest = json.loads(content)
        *steps, last = where.split(".")
        place = manifest
        for step in steps:
            place = place[step]
        assert last in place
        place[last] = value
        return json.dumps(manifest).encode()

    return change


def _cell(column: str, value: str, row: int = 1) -> Damage:
    """A CSV file with another text in one cell."""

    def change(content: bytes) -> bytes:
        frame = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        frame.loc[row, column] = value
        return frame.to_csv(index=False, lineterminator="\n").encode()

    return change


def _line(edit: Callable[[list[str]], object]) -> Damage:
    """A file with its lines edited in place."""

    def change(content: bytes) -> bytes:
        lines = content.decode().split("\n")
        edit(lines)
        return "\n".join(lines).encode()

    return change


def _ragged(row: int, more: str) -> Damage:
    return _line(lambda lines: lines.__setitem__(row, lines[row] + more))


def _short(row: int) -> Damage:
    return _line(lambda lines: lines.__setitem__(row, lines[row].rpartition(",")[0]))


def _samples(column: str, value: Any) -> Damage:
    def change(content: bytes) -> bytes:
        frame = pd.read_parquet(io.BytesIO(content))
        frame[column] = value
        return _parquet(frame)

    return change


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _many_samples(content: bytes) -> bytes:
    """A small file that unpacks to a hundred million rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int8()), ["random-0-000"])
    table = pa.table({"item": pa.chunked_array([column] * 100)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _number_of_network(text: str) -> Damage:
    return lambda content: re.sub(rb"random-\d+-\d+", f"random-0-{text}".encode(), content, count=1)


def _sampled_name(text: str) -> Damage:
    def change(content: bytes) -> bytes:
        frame = pd.read_parquet(io.BytesIO(content))
        frame["item"] = [
            text if str(name).startswith("random-") else name for name in frame["item"]
        ]
        return _parquet(frame)

    return change


MANIFESTS = {f"manifest: {name}": change for name, change in JSON.items()}
ROWS = {f"entries: {name}": change for name, change in BYTES.items()}
EXAMS = {f"exam: {name}": change for name, change in BYTES.items()}
RAW = {f"samples: {name}": change for name, change in BYTES.items()}
# Each value alone is well formed, and sealed.
FIELDS: dict[str, Damage] = {
    "a clock of zero": _field("protocol.clock_khz", 0),
    "a clock of a year's length": _field("protocol.clock_khz", 10**15),
    "a low clock of zero": _field("protocol.clock_low_khz", 0),
    "a state of zero": _field("protocol.state_low", 0.0),
    "an infinite state": _field("protocol.state_high", 1e300),
    "one slope too many": _field("calibration.slopes", [1.0] * 7),
    "no slopes": _field("calibration.slopes", []),
    "no features": _field("calibration.features", []),
    "an unknown feature": _field("calibration.features", ["colour"]),
    "a feature twice": _field("calibration.features", ["steady_us", "steady_us"]),
    "a ragged covariance": _field("calibration.covariance", [[0.0], [0.0, 0.0]]),
    "a covariance of another size": _field("calibration.covariance", [[0.0]]),
    "an empty covariance": _field("calibration.covariance", []),
    "a covariance beyond numbers": _field("calibration.covariance", [[1e300, 0], [0, 1e300]]),
    "a negative residual": _field("calibration.relative_residual", -0.5),
    "an infinite reach": _field("calibration.interval_factor", 1e300),
    "NaN in the model": _field("calibration.intercept_us", float("nan")),
    "a huge intercept": _field("calibration.intercept_us", 1e300),
    "an exam of no networks": _field("exam.networks", 0),
    "an exam of minus one": _field("exam.networks", -1),
    "an error of infinity": _field("exam.mape.value", float("inf")),
    "a bar of NaN": _field("exam.bar_mape", float("nan")),
    "a correlation of seven": _field("exam.spearman.value", 7.0),
    "no threads": _field("protocol.threads", 0),
    "a seed beyond 64 bits": _field("protocol.seed", 10**40),
    "a negative seed": _field("protocol.seed", -1),
    "a level of confidence of seven": _field("protocol.ci_level", 7.0),
    "a negative floor": _field("protocol.dispatch_floor_us", -1.0),
    "counts beyond 64 bits": _field("space.operators_expected", 10**30),
    "negative counts": _field("space.operators_missing", -5),
    "a space that is none": _field("space.spec", "no-space"),
    "a space of a billion pixels": _field(
        "space.spec", "fbnet-mini-r1024000000-x1-c10-h256-p0-b1-fp32"
    ),
    "a space of thousands of digits": _field(
        "space.spec", f"fbnet-mini-r{LONG}-x1-c10-h256-p0-b1-fp32"
    ),
    "a device that leads elsewhere": _field("device.id", "../../elsewhere"),
    "a device without a name": _field("device.id", ""),
    "a title that leads elsewhere": _field("title", "../../elsewhere"),
    "true in place of a number": _field("protocol.threads", True),
    "a number in place of a text": _field("title", 7),
    "a text in place of a number": _field("protocol.clock_khz", "3000000"),
    "a schema of true": _field("schema_version", True),
    "a schema with a fraction": _field("schema_version", 3.0),
    "a schema of minus one": _field("schema_version", -1),
    "a time that is none": _field("created_utc", "yesterday"),
}
CELLS: dict[str, Damage] = {
    "no rows": _line(lambda lines: lines.__delitem__(slice(1, None))),
    "a row with a cell too many": _ragged(2, ",7"),
    "a cell too many in every row": lambda content: content.replace(b"\n", b",7\n"),
    "a first row with a cell too many": _ragged(1, ",7"),
    "rows alone have a cell too many": lambda content: content.replace(b"\n", b",7\n").replace(
        b",7\n", b"\n", 1
    ),
    "a row with a cell too few": _short(2),
    "a heading twice": _line(lambda lines: lines.__setitem__(0, lines[0] + ",key")),
    "a quote that never ends": _ragged(1, '"'),
    "NaN microseconds": _cell("centre_us", "nan"),
    "infinite microseconds": _cell("high_us", "inf"),
    "1e300 microseconds": _cell("high_us", "1e300"),
    "1e-300 microseconds": _cell("low_us", "1e-300"),
    "no microseconds": _cell("centre_us", "0"),
    "NaN of a first call": _cell("first_us", "nan"),
    "a first call of 1e300": _cell("first_us", "1e300"),
    "a first call of minus one": _cell("first_us", "-1"),
    "a spread of NaN": _cell("mad_us", "nan"),
    "a percentile of infinity": _cell("p95_us", "inf"),
    "a time inside networks of 1e300": _cell("in_network_us", "1e300"),
    "a sensitivity of NaN": _cell("state_sensitivity", "nan"),
    "minus one block": _cell("blocks", "-1"),
    "half a block": _cell("blocks", "1.5"),
    "blocks beyond 64 bits": _cell("blocks", "9" * 40),
    "blocks of thousands of digits": _cell("blocks", LONG),
    "calls with an underscore": _cell("calls", "1_0"),
    "digits of another script": _cell("calls", "１２"),
    "an error of NaN": _cell("artefact_error", "nan"),
    "an unknown status": _cell("status", "splendid"),
    "a key with a word twice": _cell(
        "key", "ir_k3_k3_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32"
    ),
    "a key of thousands of digits": _cell("key", f"skip_i{LONG}_h32_w32_b1_fp32"),
    "a key of a thousand words": _cell("key", "ir" + "_k3" * 5000),
}
EXAM_CELLS: dict[str, Damage] = {
    "no rows": _line(lambda lines: lines.__delitem__(slice(1, None))),
    "ragged": _ragged(1, ",7"),
    "a cell too few": _short(2),
    "no name": _cell("network", ""),
    "a name twice": _line(lambda lines: lines.insert(1, lines[1])),
    "NaN measured": _cell("measured_us", "nan"),
    "nothing measured": _cell("measured_us", ""),
    "zero measured": _cell("measured_us", "0"),
    "1e300 measured": _cell("measured_us", "1e300"),
    "a text measured": _cell("measured_us", "fast"),
    "infinity predicted": _cell("predicted_us", "inf"),
    "an end of NaN": _cell("predicted_low_us", "nan"),
    "ends that are turned round": _cell("predicted_low_us", "1e9"),
    "a network of a billion": _number_of_network("999999999"),
    "a network of thousands of digits": _number_of_network(LONG),
}
SAMPLED: dict[str, Damage] = {
    "a hundred million rows": _many_samples,
    "zero nanoseconds": _samples("ns", 0),
    "negative nanoseconds": _samples("ns", -5),
    "nanoseconds of NaN": _samples("ns", float("nan")),
    "texts for nanoseconds": _samples("ns", "fast"),
    "no loops": _samples("loops", 0),
    "moments of NaN": _samples("at_ns", float("nan")),
    "a clock of zero": _samples("freq_khz", 0),
    "a clock of a year's length": _samples("freq_khz", 2**62),
    "passes that are texts": _samples("pass", "first"),
    "names that are numbers": _samples("item", 7),
    "a network of a billion": _sampled_name("random-0-999999999"),
    "a network of no number": _sampled_name("random-0-x"),
    "a network of thousands of digits": _sampled_name(f"random-0-{LONG}"),
}


def _all() -> dict[str, TableDamage]:
    damages = {}
    for file, raw, sealed in (
        (MANIFEST, MANIFESTS, FIELDS),
        (ENTRIES, ROWS, CELLS),
        (EXAM, EXAMS, EXAM_CELLS),
        (SAMPLES, RAW, SAMPLED),
    ):
        part = file.partition(".")[0]
        for name, change in raw.items():
            damages[name] = TableDamage(file=file, change=change)
            if file != MANIFEST:
                damages[f"{name}, sealed"] = TableDamage(file=file, change=change, sealed=True)
        for name, change in sealed.items():
            damages[f"{part}: {name}, sealed"] = TableDamage(file=file, change=change, sealed=True)
    deep = _field("context", {"deep": "HERE"})
    damages["manifest: deep inside"] = TableDamage(
        file=MANIFEST, change=lambda content: deep(content).replace(b'"HERE"', DEEP.encode())
    )
    return damages


TABLE_DAMAGES = _all()
