"""A format is not a device: what a file does not say is asked for, and never made up."""

import csv
import json
import pickle
import random
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from profiler.cli.app import app
from profiler.tables.export import export_tables
from profiler.tables.importers.bench_lookup import relative_csv, slots
from profiler.tables.importers.import_file import import_file
from profiler.tables.importers.kit_mark import PREFIX
from profiler.tables.importers.not_text import NOT_IMPORTED
from profiler.tables.importers.stated import Stated
from search.errors import KitError, TableError, UsageError
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import Table, read_table

CPU = Stated(device_name="A board's CPU", runtime="tflite")
GPU = Stated(device_name="A board's GPU", runtime="tensorrt")


@pytest.fixture
def single_path(tmp_path: Path) -> Path:
    """A made-up file of the Single-Path NAS format."""
    draw = random.Random(1)
    rows = {str(b): {str(n): round(draw.uniform(2, 8), 4) for n in range(4)} for b in range(22)}
    path = tmp_path / "model.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("once-for-all", "ofa_note10_160.yaml"),
        ("proxylessnas", "proxylessnas_mobile_trim.yaml"),
        ("single-path-nas", "spnas_pixel1_runtime_model.json"),
        ("hw-nas-bench", "hwnasbench_fbnet_cifar100_relative.csv"),
    ],
)
def test_a_file_that_names_no_device_or_runtime_is_asked_for_them(
    shared: Path, tmp_path: Path, form: str, name: str
) -> None:
    path = shared / "facts" / "latency_tables" / name
    with pytest.raises(UsageError, match="does not say") as caught:
        import_file(form, path, tmp_path)
    assert "--runtime" in caught.value.remedy
    assert ("--device-name" in caught.value.remedy) == (form != "hw-nas-bench")
    assert not list(tmp_path.iterdir())


def test_a_boards_cpu_and_gpu_in_the_same_keys_are_two_tables(shared: Path, tmp_path: Path) -> None:
    path = shared / "facts" / "latency_tables" / "ofa_note10_160.yaml"
    board = "One board"
    tables = [
        import_file("once-for-all", path, tmp_path, stated=stated)[0]
        for stated in (CPU, GPU, Stated(device_name=board, runtime="tflite"))
    ]
    tables += import_file(
        "once-for-all", path, tmp_path, stated=Stated(device_name=board, runtime="opencl")
    )
    assert len({table.path.parent.name for table in tables if table.path}) == 3
    assert len({table.label for table in tables}) == 4
    for table in tables:
        manifest = table.manifest
        assert manifest.parent_id is None
        assert "ote10" not in f"{manifest.device}{manifest.runtime}{manifest.title}"
        assert manifest.origin is not None
        assert manifest.origin.publisher == "not stated"
        assert manifest.device.kind == "other"


def test_the_constant_of_the_publishers_own_phone_is_not_added_to_another(
    single_path: Path, tmp_path: Path
) -> None:
    (bare,) = import_file("single-path-nas", single_path, tmp_path / "a", stated=CPU)
    assert bare.manifest.origin is not None
    assert (bare.manifest.origin.constant_us, bare.manifest.origin.covered) == (None, ())
    stated = Stated(device_name="Phone", runtime="tflite", constant=3.5, source="a colleague")
    (whole,) = import_file("single-path-nas", single_path, tmp_path / "b", stated=stated)
    assert whole.manifest.origin is not None
    assert whole.manifest.origin.constant_us == 3500
    assert whole.manifest.origin.publisher == "a colleague"
    assert LatencyModel(whole).cost_matrix().fixed == pytest.approx(3500)


@pytest.mark.parametrize("name", ["", "  ", "..", "a\x1b[31mb", "x" * 300, "a\nb"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        Stated(device_name=name)


def test_a_device_name_from_a_file_cannot_leave_the_folder_of_tables(
    shared: Path, tmp_path: Path
) -> None:
    path = shared / "facts" / "latency_tables" / "hwnasbench_fbnet_cifar100_relative.csv"
    hostile = tmp_path / "hostile.csv"
    hostile.write_text(path.read_text().replace("raspi4,", "../../raspi4,"))
    stated = Stated(runtime="tflite")
    tables = import_file("hw-nas-bench", hostile, tmp_path / "tables", stated=stated)
    assert all(t.path and t.path.parents[1] == tmp_path / "tables" for t in tables)
    hostile.write_text(path.read_text().replace("raspi4,", "\x1b[2J,"))
    with pytest.raises(KitError, match="no name"):
        import_file("hw-nas-bench", hostile, tmp_path / "other", stated=stated)


# --- what export writes, import reads ----------------------------------------------


@pytest.mark.parametrize("form", ["csv", "once-for-all"])
def test_what_export_writes_import_reads_and_writes_again(
    measured: Table, tmp_path: Path, form: str
) -> None:
    text = export_tables(form, [measured])
    path = tmp_path / "table.file"
    path.write_text(text)
    stated = CPU if form == "csv" else Stated()
    (table,) = import_file(form, path, tmp_path, stated=stated)
    assert table.path is not None
    read = read_table(table.path)
    assert len(read.entries) == len(measured.entries)
    centres = sorted(entry.known_time.centre_us for entry in measured.entries)
    assert sorted(e.known_time.centre_us for e in read.entries) == pytest.approx(centres, rel=1e-5)
    assert export_tables(form, [read]) == text


def test_a_marked_file_says_device_runtime_and_that_it_was_simulated(
    measured: Table, tmp_path: Path
) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(export_tables("once-for-all", [measured]))
    (table,) = import_file("once-for-all", path, tmp_path)
    manifest = table.manifest
    assert manifest.device.model == measured.manifest.device.model
    assert manifest.device.kind == "simulated"
    assert manifest.runtime.name.startswith(measured.manifest.runtime.name)
    assert any("SIMULATED" in note for note in manifest.notes)
    assert "simulated" in table.label
    with pytest.raises(UsageError, match=r"says .* itself"):
        import_file("once-for-all", path, tmp_path, stated=GPU)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"source":"simulated"', '"source":"truth"'),
        ('"rows":', '"rows":1'),
        ('{"device"', '{"advice"'),
        ('"dtype":"fp32"', '"dtype":"fp33"'),
    ],
)
def test_a_mark_that_was_changed_is_refused(
    measured: Table, tmp_path: Path, old: str, new: str
) -> None:
    text = export_tables("once-for-all", [measured])
    assert text.startswith(PREFIX)
    path = tmp_path / "table.yaml"
    path.write_text(text.replace(old, new, 1))
    assert path.read_text() != text
    with pytest.raises(TableError):
        import_file("once-for-all", path, tmp_path)


def test_a_marked_file_that_lost_rows_is_refused(measured: Table, tmp_path: Path) -> None:
    text = export_tables("once-for-all", [measured])
    path = tmp_path / "table.yaml"
    path.write_text(text[: text.rindex("expanded_conv")])
    with pytest.raises(TableError, match="rows"):
        import_file("once-for-all", path, tmp_path)


# --- what is not read ----------------------------------------------------------------


def _files(folder: Path) -> dict[str, Path]:
    bench = folder / "HW-NAS-Bench-v1_0.pickle"
    bench.write_bytes(pickle.dumps({"fbnet": {"raspi4_latency": {"FC_Cin1504_Cout100": 1.0}}}))
    torch.save([1.0, 2.0], folder / "raspi4.pt")
    torch.save([1.0, 2.0], folder / "old.pt", _use_new_zipfile_serialization=False)
    return {"bench": bench, "zip": folder / "raspi4.pt", "old": folder / "old.pt"}


@pytest.mark.parametrize("which", ["bench", "zip", "old"])
@pytest.mark.parametrize("form", ["hw-nas-bench", "once-for-all"])
def test_a_pickle_is_refused_with_the_way_to_text(tmp_path: Path, which: str, form: str) -> None:
    with pytest.raises(UsageError, match="pickle") as caught:
        import_file(form, _files(tmp_path)[which], tmp_path, stated=CPU)
    assert "importers/README.md" in caught.value.remedy
    assert ("get_op_lookup_tables" in caught.value.remedy) == (form == "hw-nas-bench")


@pytest.mark.parametrize("form", NOT_IMPORTED)
def test_a_known_format_that_is_not_imported_says_why(tmp_path: Path, form: str) -> None:
    result = CliRunner().invoke(app, ["import", form, str(tmp_path / "x"), "-o", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "is not imported" in str(result.exception)


def test_mobile_visions_records_are_recognised_under_any_name(tmp_path: Path) -> None:
    record = {"op_type": "Int8Conv", "op_args": [], "runtime_us_p50": 12.0, "device": "phone"}
    path = tmp_path / "op_lut_database.json"
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(UsageError, match="single Caffe2 operators"):
        import_file("once-for-all", path, tmp_path, stated=CPU)


def test_an_implausible_file_is_told_what_is_implausible(single_path: Path, tmp_path: Path) -> None:
    rows = json.loads(single_path.read_text())
    rows["7"]["2"] *= 5000
    single_path.write_text(json.dumps(rows))
    with pytest.raises(TableError, match=r"7/2 is .* times off the others") as caught:
        import_file("single-path-nas", single_path, tmp_path, stated=CPU)
    assert "publisher" not in str(caught.value)


# --- HW-NAS-Bench's own tables -------------------------------------------------------


def _lookup() -> dict[str, float]:
    """A made-up table of whole operators, as the bench's program hands it out."""
    draw = random.Random(2)
    table = {
        "ConvNorm_H32_W32_Cin3_Cout16_kernel3_stride1_group1": 0.5,
        "ConvNorm_H4_W4_Cin352_Cout1504_kernel1_stride1_group1": 0.25,
        "AvgP_H4_W4_Cin1504_Cout1504_kernel4_stride1": 0.125,
        "FC_Cin1504_Cout100": 0.0625,
        "ConvBlock_H224_of_the_other_resolution": 9.0,
    }
    for slot in slots():
        table[slot.skip] = 0.25 if slot.in_channels != slot.out_channels else 0.0
        table.update({key: table[slot.skip] + draw.uniform(1, 4) for key in slot.blocks})
    return table


def test_the_benchs_own_lookup_tables_are_read_as_text(tmp_path: Path) -> None:
    lookup = _lookup()
    path = tmp_path / "fbnet.json"
    path.write_text(json.dumps({"raspi4_latency": lookup, "raspi4_energy": {"FC": 1.0}}))
    (table,) = import_file("hw-nas-bench", path, tmp_path, stated=Stated(runtime="tflite"))
    assert table.manifest.device.model == "raspi4"
    space = make_space("fbnet-cifar", classes=100, always_pointwise=True)
    wanted = sum(lookup[slot.skip] for slot in slots()) + 0.9375
    assert LatencyModel(table).cost_matrix().fixed == pytest.approx(1e3 * wanted)
    first = next(slots())
    for choice, key in zip(space.layers[0].choices, first.blocks, strict=False):
        above_us = table.lookup(choice.operator).known_time.centre_us
        assert above_us == pytest.approx(1e3 * (lookup[key] - lookup[first.skip]))


def test_the_published_csv_follows_from_whole_operators(shared: Path) -> None:
    """The bench's numbers, made whole operators and back, keep their order and their values."""
    path = shared / "facts" / "latency_tables" / "hwnasbench_fbnet_cifar100_relative.csv"
    with path.open(newline="") as stream:
        rows = [row for row in csv.reader(stream) if row[0] == "raspi4"]
    lookup = {key: float(value) for _, key, value in rows[:-1]}
    constant = float(rows[-1][2])
    frame = [key for key in _lookup() if key.startswith(("ConvNorm", "Avg", "FC"))]
    lookup |= dict.fromkeys(frame, constant / 4)
    text = relative_csv(json.dumps({"raspi4_latency": lookup}), "the file")
    again = list(csv.reader(text.splitlines()))[1:]
    assert [row[1] for row in again] == [row[1] for row in rows]
    assert [float(row[2]) for row in again] == pytest.approx([float(row[2]) for row in rows])


@pytest.mark.parametrize(
    "text",
    ["{", "{}", '{"a": 1}', '{"x_latency": 3}', '{"x_latency": {"FC_Cin1504_Cout100": "1"}}'],
)
def test_a_lookup_table_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fbnet.json"
    path.write_text(text)
    with pytest.raises(TableError, match="cannot be imported"):
        import_file("hw-nas-bench", path, tmp_path, stated=CPU)
