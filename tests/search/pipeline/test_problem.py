"""What a search is asked for is checked before any work."""

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.augment import Shift
from search.data.base import IMAGENET, Data
from search.data.in_memory import InMemoryImages
from search.errors import GateFailed, MissingOperator, TableError, UsageError
from search.latency.model import LatencyModel
from search.pipeline.images import RunImages
from search.pipeline.networks.class_counts import settle_classes
from search.pipeline.options import DataOptions
from search.pipeline.problem import Waivers, load_problem, untimed_problem
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.search.cli.runner import CALIBRATION, SPACE, exam, write

NONE = Waivers()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tables") / "table")


# --- trust -------------------------------------------------------------------


def test_a_measured_and_examined_table_needs_no_flag(table: Path) -> None:
    problem = load_problem(table, None, NONE)
    assert problem.waivers.as_flags() == ()
    assert problem.target_us is None


def test_the_space_is_the_tables_with_its_resolution_and_classes(tmp_path: Path) -> None:
    space = make_space("fbnet-mini", resolution=24, classes=7)
    problem = load_problem(write(tmp_path / "table", space=space), 9.0, NONE)
    assert problem.space == space
    assert problem.target_us == 9000.0
    assert problem.matrix.costs.shape == (len(space.layers), 9)


def test_a_table_without_an_exam_is_refused_unless_the_flag_is_given(tmp_path: Path) -> None:
    folder = write(tmp_path / "table", exam=None)
    with pytest.raises(GateFailed, match=r"no exam.*--allow-unexamined") as refused:
        load_problem(folder, None, NONE)
    assert "python -m profiler" in refused.value.remedy
    given = Waivers(unexamined=True)
    assert load_problem(folder, None, given).waivers.as_flags() == ("--allow-unexamined",)


def test_a_table_below_the_bar_is_refused_with_its_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path / "table", exam=exam(0.123, passed=False))
    with pytest.raises(GateFailed, match=r"12\.30%.*at most 5%.*0\.875.*at least 0\.9"):
        load_problem(folder, None, NONE)
    load_problem(folder, None, Waivers(unexamined=True))


@pytest.mark.parametrize("source", ["simulated", "imported", "predicted"])
def test_a_table_that_was_not_measured_is_refused_unless_the_flag_is_given(
    tmp_path: Path, source: str
) -> None:
    folder = write(tmp_path / "table", source=source)
    others = {name: name != source for name in ("simulated", "imported", "predicted")}
    with pytest.raises(GateFailed, match=rf"{source}, not measured.*--allow-{source}"):
        load_problem(folder, None, Waivers(**others))
    problem = load_problem(folder, None, Waivers(**{source: True}))
    assert problem.waivers.as_flags() == (f"--allow-{source}",)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_is_a_target_between_the_fastest_and_the_slowest_network(
    tmp_path: Path, share: float
) -> None:
    problem = load_problem(write(tmp_path / "table"), None, NONE, target_share=share)
    low, high = problem.costs.cheapest(), problem.costs.dearest()
    assert problem.target is not None
    assert problem.target.value == pytest.approx(low + share * (high - low), rel=0.005)
    assert problem.target.value >= low


def test_one_flag_does_not_cover_the_other_doubt(tmp_path: Path) -> None:
    folder = write(tmp_path / "table", source="simulated", exam=None)
    with pytest.raises(GateFailed, match="--allow-simulated"):
        load_problem(folder, None, Waivers(unexamined=True))
    with pytest.raises(GateFailed, match="--allow-unexamined"):
        load_problem(folder, None, Waivers(simulated=True))
    both = Waivers(unexamined=True, simulated=True)
    assert len(load_problem(folder, None, both).waivers.as_flags()) == 2


def test_a_table_of_another_definition_of_the_space_is_refused(tmp_path: Path) -> None:
    changed = write(tmp_path / "table", sha256="0" * 64)
    with pytest.raises(TableError, match="another definition"):
        load_problem(changed, None, NONE)


@pytest.mark.parametrize(("missing", "failed"), [(1, 0), (0, 1)])
def test_a_missing_or_failed_operator_is_named_with_the_command_that_adds_it(
    tmp_path: Path, missing: int, failed: int
) -> None:
    folder = write(tmp_path / "table", missing=missing, failed=failed)
    with pytest.raises(MissingOperator, match=re.escape(SPACE.operators[-1].key)) as refused:
        load_problem(folder, 9.0, NONE)
    assert f"--space {SPACE.spec}" in refused.value.remedy


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="not a table"):
        load_problem(tmp_path / "nothing", 9.0, NONE)


# --- the target --------------------------------------------------------------


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_a_target_below_the_fastest_network_is_refused_and_the_one_named_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = write(tmp_path_factory.mktemp("any") / "table", seed=seed)
    fastest_us = LatencyModel(read_table(folder)).cost_matrix(SPACE).cheapest()
    with pytest.raises(UsageError, match="as fast as") as refused:
        load_problem(folder, math.nextafter(fastest_us, 0) / 1000, NONE)
    named = re.search(r"takes (\S+) ms", refused.value.remedy)
    assert named is not None
    assert float(named[1]) == pytest.approx(fastest_us / 1000, abs=1e-4)
    load_problem(folder, float(named[1]), NONE)


@pytest.mark.parametrize("target_ms", [0.0, -3.0, math.nan, math.inf])
def test_a_target_that_means_nothing_is_refused(table: Path, target_ms: float) -> None:
    with pytest.raises(UsageError, match="means nothing"):
        load_problem(table, target_ms, NONE)


def test_a_probability_without_a_target_is_refused(table: Path) -> None:
    with pytest.raises(UsageError, match="Give --target-ms"):
        load_problem(table, None, NONE, 0.9)


@pytest.mark.parametrize("probability", [0.0, 0.49, 1.0, 95.0, -1.0, math.nan])
def test_a_probability_that_cannot_be_had_is_refused(table: Path, probability: float) -> None:
    with pytest.raises(UsageError, match="probability"):
        load_problem(table, 9.0, NONE, probability)


def test_a_target_that_no_network_meets_so_surely_is_refused_and_the_one_named_accepted(
    table: Path,
) -> None:
    fastest_ms = load_problem(table, None, NONE).costs.cheapest() / 1000
    load_problem(table, fastest_ms * 1.001, NONE)
    with pytest.raises(UsageError, match="with a probability") as refused:
        load_problem(table, fastest_ms * 1.001, NONE, 0.95)
    named = re.search(r"at least (\S+) ms", refused.value.remedy)
    assert named is not None
    assert load_problem(table, float(named[1]), NONE, 0.95).probability == 0.95


def test_a_network_keeps_to_the_target_on_average_or_as_surely_as_asked(table: Path) -> None:
    problem = load_problem(table, 6.0, NONE)
    sure = load_problem(table, 6.0, NONE, 0.95)
    for choices in ([0] * 6, [4] * 6, [1, 2, 0, 4, 1, 1]):
        network = SPACE.architecture(
            [layer.choices[c].name for layer, c in zip(SPACE.layers, choices, strict=True)], "any"
        )
        estimate = problem.model.estimate(network)
        price_us = float(problem.costs.cost_of([choices])[0])
        assert problem.met_by(price_us, estimate) == (price_us <= 6000)
        # 5 % of deviation: sure to 95 % is 1.645 deviations below the target.
        assert sure.met_by(price_us, estimate) == (price_us * (1 + 1.645 * 0.05) <= 6000)


# --- the data ----------------------------------------------------------------


class FourClasses(RunImages):
    """Images of four classes in all."""

    def classes_in_all(self) -> int:
        return 4


def images_of(classes: int) -> Data:
    """Data of so many classes; nothing else of them is looked at."""
    none = torch.zeros(0, dtype=torch.int64)
    empty = InMemoryImages(
        torch.zeros(0, 3, 1, 1), none, IMAGENET, Shift(pad=0, fill=(0, 0, 0), flip=False)
    )
    names = tuple(map(str, range(classes)))
    return Data(
        name="images", classes=names, resolution=1, train=empty, test=empty, normalisation=IMAGENET
    )


IMAGES = FourClasses(DataOptions(source="images"), 0)


def test_networks_get_the_classes_of_the_images_and_the_table_keeps_its_own_prices(
    table: Path,
) -> None:
    problem = load_problem(table, 6.0, NONE)
    same, silent = settle_classes(problem, images_of(10), IMAGES)
    assert (same, silent) == (problem, "")
    other, said = settle_classes(problem, images_of(3), IMAGES)
    network, usual = other.network([0] * 6, "net"), problem.network([0] * 6, "net")
    assert (network.classes, usual.classes) == (3, 10)
    assert network.space == make_space("fbnet-mini", resolution=16, classes=3).spec
    assert other.estimate(network) == problem.estimate(usual)
    assert other.prices_other_classes
    assert not problem.prices_other_classes
    assert "The images have 3 classes, and the table no classifier of as many" in said
    assert f"--space {network.space}" in said


def test_a_row_of_the_classifier_prices_networks_of_the_images_classes(
    table: Path, tmp_path: Path
) -> None:
    three = make_space("fbnet-mini", resolution=16, classes=3)
    refined = write(tmp_path / "refined", more=[three.after[-1]])
    problem = load_problem(refined, 6.0, NONE)
    other, said = settle_classes(problem, images_of(3), IMAGES)
    assert said == ""
    assert not other.prices_other_classes
    network, usual = other.network([0] * 6, "net"), problem.network([0] * 6, "net")
    own, old = other.estimate(network), problem.estimate(usual)
    assert own is not None
    assert old is not None
    assert own == problem.model.estimate(network)
    assert own.value_us != pytest.approx(old.value_us)
    costs = [float(each.costs.cost_of([[0] * 6])[0]) for each in (other, problem)]
    assert costs == pytest.approx([own.value_us, old.value_us])
    # The table beside it, without that row, gives the prices of its own classifier.
    plain, _ = settle_classes(load_problem(table, 6.0, NONE), images_of(3), IMAGES)
    assert plain.prices_other_classes


def test_a_search_on_some_classes_finds_a_network_for_all_where_the_table_is_for_all(
    tmp_path: Path,
) -> None:
    four = write(tmp_path / "four", space=make_space("fbnet-mini", resolution=16, classes=4))
    problem, said = settle_classes(load_problem(four, 6.0, NONE), images_of(3), IMAGES)
    assert problem.network([0] * 6, "net").classes == 4
    assert not problem.prices_other_classes
    assert "3 of 4 classes" in said


def test_what_is_counted_is_counted_with_the_classes_of_the_images() -> None:
    problem, said = settle_classes(
        untimed_problem("fbnet-mini", None, "params", NONE), images_of(3), IMAGES
    )
    network = problem.network([0] * 6, "net")
    assert network.classes == 3
    assert float(problem.costs.cost_of([[0] * 6])[0]) == network.params
    assert "3 classes" in said


def test_the_calibration_of_the_table_prices_the_networks(table: Path) -> None:
    problem = load_problem(table, None, NONE)
    rows = [
        problem.table.lookup(operator).known_time.centre_us
        for operator in SPACE.before + SPACE.after
    ]
    assert problem.costs.fixed == pytest.approx(sum(rows) + CALIBRATION.intercept_us)
