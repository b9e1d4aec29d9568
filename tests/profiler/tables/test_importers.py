"""Published tables: every row is read, the way back is exact, wrong files are refused."""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.tables.export import export_tables
from profiler.tables.importers.import_file import import_file as import_as_stated
from profiler.tables.importers.mobile_keys import ONCE_FOR_ALL, once_for_all_key, parse_mobile_key
from profiler.tables.importers.registry import find_format, published_names
from profiler.tables.importers.stated import Stated
from search.errors import GateFailed, TableError, UsageError
from search.latency.model import LatencyModel
from search.latency.trust import table_problems
from search.pipeline.problem import Waivers, load_problem
from search.spaces.registry import make_space
from search.table.store import Table, read_table
from search.zoo import zoo_architecture


@dataclass(frozen=True)
class Facts:
    """A published file: its format, how many rows and operators it has, on how many devices."""

    form: str
    file: str
    rows: int
    operators: int
    devices: int = 1


FACTS = (
    Facts("single-path-nas", "spnas_pixel1_runtime_model.json", 88, 42),
    Facts("proxylessnas", "proxylessnas_mobile_trim.yaml", 72, 72),
    Facts("once-for-all", "ofa_note10_160.yaml", 96, 96),
    Facts("once-for-all", "ofa_note10_224.yaml", 96, 96),
    Facts("hw-nas-bench", "hwnasbench_fbnet_cifar100_relative.csv", 109, 96, 4),
)
every_file = pytest.mark.parametrize("facts", FACTS, ids=lambda facts: facts.file.split(".")[0])


def import_file(
    form: str, path: Path, output: Path, device: str | None = None, unit: str | None = None
) -> tuple[Table, ...]:
    """Import with what the file does not say: of the bench's files, the runtime alone."""
    name = None if form == "hw-nas-bench" else "A phone"
    stated = Stated(device_name=name, runtime="tflite")
    return import_as_stated(form, path, output, device=device, unit=unit, stated=stated)


@pytest.fixture
def folder(shared: Path) -> Path:
    return shared / "facts" / "latency_tables"


@pytest.fixture
def single_path() -> str:
    """A made-up file of the Single-Path NAS format, at 4 billion multiply-adds a second."""
    draw = random.Random(1)
    return json.dumps(
        {
            str(block): {str(n): round(draw.uniform(2, 8), 4) for n in range(4)}
            for block in range(22)
        }
    )


def _read(facts: Facts, text: str) -> object:
    return find_format(facts.form).read(text, "the file")


@every_file
def test_every_row_is_read_and_the_way_back_is_exact(
    folder: Path, tmp_path: Path, facts: Facts
) -> None:
    tables = import_file(facts.form, folder / facts.file, tmp_path)
    assert len(tables) == facts.devices
    for table in tables:
        assert table.manifest.origin is not None
        assert table.manifest.origin.rows == facts.rows == len(table.samples())
        assert len(table.entries) == facts.operators
    again = [read_table(table.path) for table in tables if table.path]
    assert export_tables(facts.form, again) == (folder / facts.file).read_text()


@every_file
def test_an_imported_table_says_so_and_has_no_exam(
    folder: Path, tmp_path: Path, facts: Facts
) -> None:
    for table in import_file(facts.form, folder / facts.file, tmp_path):
        assert table.manifest.source == "imported"
        assert "[imported]" in table.label
        assert table.manifest.exam is None
        assert any("no exam" in problem for problem in table_problems(table))


@every_file
@pytest.mark.parametrize("factor", [1000, 0.001])
def test_a_file_in_another_unit_is_refused(
    folder: Path, tmp_path: Path, facts: Facts, factor: float
) -> None:
    path = tmp_path / facts.file
    path.write_text(_scaled(facts, (folder / facts.file).read_text(), factor))
    with pytest.raises(TableError, match="not in ms"):
        import_file(facts.form, path, tmp_path)
    assert not list(tmp_path.glob("*/*/manifest.json"))


@every_file
@pytest.mark.parametrize("factor", [1000, 0.001])
def test_a_single_row_in_another_unit_is_refused(
    folder: Path, tmp_path: Path, facts: Facts, factor: float
) -> None:
    text = (folder / facts.file).read_text()
    for number in range(0, facts.rows - 2, 7):
        path = tmp_path / facts.file
        path.write_text(_scaled(facts, text, factor, only=number))
        if path.read_text() == text:
            continue  # a row without a number of its own (the zero that others count from)
        with pytest.raises(TableError, match="times off the others"):
            import_file(facts.form, path, tmp_path)


def _scaled(facts: Facts, text: str, factor: float, only: int | None = None) -> str:
    patterns = {
        ".json": r"(?<=: )(\d+\.\d+)",
        ".yaml": r"(?<=expand:[0-9])(?s:.{0,100}?mean: )([\d.]+)",
        ".csv": r"(?m)(?<=,)(\d\S*)$",
    }
    numbers = iter(range(10**6))

    def scale(match: re.Match[str]) -> str:
        wanted = only is None or next(numbers) == only
        if not wanted:
            return match[0]
        return match[0][: match.start(1) - match.start()] + repr(float(match[1]) * factor)

    return re.sub(patterns[Path(facts.file).suffix], scale, text)


@every_file
def test_a_file_that_is_cut_off_anywhere_is_refused(folder: Path, facts: Facts) -> None:
    text = (folder / facts.file).read_text()
    draw = random.Random(2)
    lines = text.splitlines(keepends=True)
    cuts = [len("".join(lines[:n])) for n in draw.sample(range(len(lines)), min(20, len(lines)))]
    cuts += [draw.randrange(len(text) - 2) for _ in range(20)]
    for cut in cuts:
        try:
            found = find_format(facts.form).read(text[:cut], "the file")
        except TableError:
            continue
        # A number that lost its last digits, or whole devices, cannot be told.
        assert all(len(table.rows) == facts.rows for table in found)


@every_file
def test_a_changed_word_is_refused(folder: Path, facts: Facts) -> None:
    text = (folder / facts.file).read_text()
    draw = random.Random(3)
    for _ in range(40):
        place = draw.choice([m.start() for m in re.finditer(r"[a-zA-Z{:]", text[:8000])])
        damaged = text[:place] + "?" + text[place + 1 :]
        if damaged != text:
            with pytest.raises(TableError, match="cannot be imported"):
                _read(facts, damaged)


@every_file
def test_a_row_that_is_named_twice_is_refused(folder: Path, facts: Facts) -> None:
    text = (folder / facts.file).read_text()
    if facts.form == "single-path-nas":
        twice = text.replace('"0": {"1"', '"1": {"1"', 1)
    elif facts.form == "hw-nas-bench":
        lines = text.splitlines(keepends=True)
        twice = "".join([*lines, lines[5]])
    else:
        twice = text + text[text.rindex("expanded_conv") :]
    assert twice != text
    with pytest.raises(TableError):
        _read(facts, twice)


@pytest.mark.parametrize("value", ["-1.0", "0.0", "NaN", "Infinity", "1e999", "null", '"3"', "[]"])
def test_an_impossible_time_is_refused(single_path: str, value: str) -> None:
    broken = re.sub(r"\d+\.\d+", value, single_path, count=1)
    with pytest.raises(TableError):
        find_format("single-path-nas").read(broken, "the file")


@pytest.mark.parametrize("text", ["", "[]", "{}", "\0", "key: value", "a,b\n1,2\n", "&a [*a]"])
@pytest.mark.parametrize("form", published_names())
def test_what_is_of_no_published_format_is_refused(form: str, text: str) -> None:
    with pytest.raises(TableError, match="cannot be imported"):
        find_format(form).read(text, "the file")


def test_a_unit_that_is_named_is_taken(single_path: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    swapped = {
        block: {n: 1000 * ms for n, ms in row.items()}
        for block, row in json.loads(single_path).items()
    }
    path.write_text(json.dumps(swapped))
    (table,) = import_file("single-path-nas", path, tmp_path, unit="us")
    path.write_text(single_path)
    (plain,) = import_file("single-path-nas", path, tmp_path)
    assert [row.known_time.centre_us for row in table.entries] == pytest.approx(
        [row.known_time.centre_us for row in plain.entries]
    )
    with pytest.raises(UsageError, match="--unit"):
        import_file("single-path-nas", path, tmp_path, unit="minutes")


def test_no_table_is_overwritten(single_path: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(single_path)
    (first,) = import_file("single-path-nas", path, tmp_path)
    (second,) = import_file("single-path-nas", path, tmp_path)
    assert first.path != second.path
    assert second.manifest.parent_id == first.manifest.table_id


def test_a_search_takes_an_imported_table_only_when_told_to(folder: Path, tmp_path: Path) -> None:
    file = folder / "hwnasbench_fbnet_cifar100_relative.csv"
    (table,) = import_file("hw-nas-bench", file, tmp_path, device="pixel3")
    assert table.path is not None
    with pytest.raises(GateFailed, match="--allow-imported"):
        load_problem(table.path, None, Waivers(unexamined=True, simulated=True))
    task = load_problem(table.path, None, Waivers(unexamined=True, imported=True))
    assert task.waivers.as_flags() == ("--allow-unexamined", "--allow-imported")
    assert task.matrix.costs.shape == (22, 9)


def test_the_constant_is_paid_once_and_skips_are_free(folder: Path, tmp_path: Path) -> None:
    file = folder / "hwnasbench_fbnet_cifar100_relative.csv"
    (table,) = import_file("hw-nas-bench", file, tmp_path, device="raspi4")
    space = make_space("fbnet-cifar", classes=100, always_pointwise=True)
    model = LatencyModel(table)
    assert model.cost_matrix().fixed == pytest.approx(7798.226000159052)
    words = [layer.choices[-1].name for layer in space.layers]
    network = space.architecture(words)
    blocks = [table.lookup(o).known_time.centre_us for o in network.operators if o.kind == "ir"]
    assert model.estimate(network).value_us == pytest.approx(7798.226000159052 + sum(blocks))


@given(st.data())
def test_every_operator_of_the_fbnet_space_comes_back_from_once_for_alls_style(
    data: st.DataObject,
) -> None:
    keep = data.draw(st.booleans())
    operator = data.draw(st.sampled_from(make_space("fbnet", always_pointwise=keep).operators))
    again = parse_mobile_key(once_for_all_key(operator), ONCE_FOR_ALL)
    if operator.kind == "conv":  # that style's frame is always h-swish
        assert (again.kernel, again.stride, again.out_channels) == (
            operator.kernel,
            operator.stride,
            operator.out_channels,
        )
    else:
        assert again == operator


def test_two_depthwise_convolutions_in_a_row_come_back_from_once_for_alls_style() -> None:
    blocks = [o for o in zoo_architecture("FBNet-C").operators if o.depthwise > 1]
    assert blocks
    assert [parse_mobile_key(once_for_all_key(o), ONCE_FOR_ALL) for o in blocks] == blocks


def test_a_measured_table_becomes_once_for_alls_style_but_no_other(measured: Table) -> None:
    text = export_tables("once-for-all", [measured])
    assert text.count("mean:") == len(measured.entries)
    with pytest.raises(TableError, match="did not come from"):
        export_tables("proxylessnas", [measured])
    with pytest.raises(UsageError, match="one table a file"):
        export_tables("csv", [measured, measured])


@pytest.mark.parametrize("form", ["proxylessnas", "once-for-all"])
def test_yaml_far_longer_than_any_published_table_is_refused_unread(form: str) -> None:
    with pytest.raises(TableError, match="longer than 262144 characters"):
        find_format(form).read("- [" * 2**17, "the file")
