"""Which tables and networks a comparison takes."""

from pathlib import Path

import pytest

from profiler.comparison.compare import compare
from profiler.comparison.sources import choose_tables, find_networks
from profiler.tables.predict import predict_network
from profiler.tables.versions import newest_tables
from search.architecture import write_architecture
from search.console.progress import Silent
from search.errors import MissingOperator, TableError, UsageError
from search.spaces.registry import make_space
from search.table.store import Table
from search.zoo.resolve import NamedNetwork, find_network
from tests.profiler.conftest import Bench

MINI = make_space("fbnet-mini")
SMALL = ["k3_e1"] * len(MINI.layers)
LARGE = ["k5_e6"] * len(MINI.layers)


def mini(name: str, choices: list[str]) -> NamedNetwork:
    return NamedNetwork(name=name, architecture=MINI.architecture(choices, name))


NETWORKS = (mini("small", SMALL), mini("large", LARGE))


# --- choosing tables


def test_the_newest_version_of_every_table_is_found_and_partial_ones_are_not(
    bench: Bench, measured: Table
) -> None:
    bench.measure()
    bench.measure(settings=bench.settings(seed=3))
    bench.measure(settings=bench.settings(filter="k3_e1"))
    names = [path.name for path in newest_tables(bench.output)]
    assert names == [f"{MINI.spec}-simulated-t1-v2"]
    assert newest_tables(bench.folder / "nothing") == ()


def test_tables_are_chosen_that_can_price_every_network(bench: Bench) -> None:
    table = bench.measure()
    bench.measure(settings=bench.settings(space=make_space("fbnet-mini", classes=7).spec))
    chosen = choose_tables(bench.output, NETWORKS, Silent())
    assert [one.manifest.table_id for one in chosen] == [table.manifest.table_id]
    with pytest.raises(UsageError, match="224 pixels"):
        choose_tables(bench.output, [find_network("FBNet-B")], Silent())


def test_if_operators_are_missing_everywhere_that_is_the_reason(bench: Bench) -> None:
    bench.measure()
    other = make_space("fbnet-mini", head_channels=128).architecture(SMALL)
    with pytest.raises(MissingOperator, match="conv_k1"):
        choose_tables(bench.output, [NamedNetwork(name="x", architecture=other)], Silent())


def test_a_network_of_other_classes_is_priced_with_the_tables_classifier_and_that_is_said(
    bench: Bench,
) -> None:
    ten = bench.measure()
    seven = make_space("fbnet-mini", classes=7).architecture(SMALL, "seven")
    named = NamedNetwork(name="seven", architecture=seven)
    (lent,) = choose_tables(bench.output, [named], Silent())
    assert lent.manifest.table_id == ten.manifest.table_id
    found = predict_network(ten, named)
    assert found.architecture.classes == 10
    assert found.lends_classifier
    assert "classifier of 10 classes, as it has none of 7" in found.note
    (cell,) = compare([named], [ten]).cells
    assert cell.note == found.note
    usual = NamedNetwork(name="ten", architecture=make_space("fbnet-mini").architecture(SMALL))
    assert cell.latency_us == predict_network(ten, usual).estimate.value_us
    own = bench.measure(settings=bench.settings(space=make_space("fbnet-mini", classes=7).spec))
    chosen = choose_tables(bench.output, [named], Silent())
    assert [one.manifest.table_id for one in chosen] == [own.manifest.table_id]


def test_without_any_table_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no table") as raised:
        choose_tables(tmp_path, NETWORKS, Silent())
    assert "--device" in raised.value.remedy


def test_a_broken_table_is_said_and_left_out(bench: Bench) -> None:
    class Ear(Silent):
        heard = ""

        def say(self, text: str) -> None:
            self.heard += text

    good = bench.measure()
    other = bench.measure(settings=bench.settings(threads=2))
    assert other.path is not None
    entries = other.path / "entries.csv"
    entries.write_text(entries.read_text() + " ")
    ear = Ear()
    chosen = choose_tables(bench.output, NETWORKS, ear)
    assert [one.manifest.table_id for one in chosen] == [good.manifest.table_id]
    assert "edited or truncated" in ear.heard
    assert good.path is not None
    (good.path / "exam.csv").unlink()
    with pytest.raises(TableError):
        choose_tables(bench.output, NETWORKS, Silent())


# --- names


def test_files_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    for folder, choices in (("a", SMALL), ("b", LARGE)):
        write_architecture(MINI.architecture(choices, "best"), tmp_path / folder / "net.json")
    texts = [str(tmp_path / folder / "net.json") for folder in "ab"]
    names = [network.name for network in find_networks(texts)]
    assert names == [str(tmp_path / folder / "net") for folder in "ab"]
    assert find_networks(texts[:1])[0].name == "best"


def test_one_network_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="named twice"):
        find_networks(["FBNet-A", "fbnet-a"])


def test_an_unknown_network_is_refused_with_those_known() -> None:
    with pytest.raises(UsageError, match="Unknown network 'FBNet-Z'") as raised:
        find_network("FBNet-Z")
    assert "FBNet-iPhoneX" in raised.value.remedy
    assert "architecture file" in raised.value.remedy


def test_a_file_that_is_no_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    with pytest.raises(UsageError, match="Cannot read"):
        find_network(str(path))
    path.write_text("{}")
    with pytest.raises(UsageError, match="not an architecture file"):
        find_network(str(path))
