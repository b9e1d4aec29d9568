"""What wide rows leave open: in networks, and between candidates of a layer."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.latency.model import LatencyModel
from search.latency.trust import (
    NETWORK_BOUND,
    network_uncertainty,
    open_choices,
    random_networks,
    typical_us,
    uncertainty_problems,
    wide_rows,
)
from search.spaces.registry import make_space
from search.table.entries import Interval
from search.table.store import Table

MakeTable = Callable[..., Table]

SPACE = make_space("fbnet-mini")
NETWORKS = random_networks(SPACE)
LAYER = SPACE.layers[-1]


@pytest.fixture(scope="module")
def example_table(make_table: MakeTable) -> Table:
    return make_table()


def rows(half: float) -> dict[str, Interval]:
    """All operators at 100 us, known to this share."""
    return {operator.key: around(100.0, half) for operator in SPACE.operators}


def around(us: float, half: float) -> Interval:
    return Interval(centre_us=us, low_us=us * (1 - half), high_us=us * (1 + half))


def test_errors_of_rows_average_over_a_network() -> None:
    network = [layer.choices[0].operator for layer in SPACE.layers[:1]]
    alone = network_uncertainty([network], rows(0.05))
    assert alone is not None
    assert alone.largest == pytest.approx(0.05)
    distinct = [*SPACE.before, *network, *SPACE.after]
    several = network_uncertainty([distinct], rows(0.05))
    assert several is not None
    assert several.largest == pytest.approx(0.05 / math.sqrt(len(distinct)))


def test_what_a_call_costs_beside_its_rows_counts_to_the_network() -> None:
    """Slopes over chains do not hold the dispatch, which every network pays."""
    network = [layer.choices[0].operator for layer in SPACE.layers[:1]]
    (us,) = [rows(0.05)[operator.key].centre_us for operator in network]
    half = network_uncertainty([network], rows(0.05), fixed_us=us)
    assert half is not None
    assert half.largest == pytest.approx(0.025)
    assert typical_us([network], rows(0.05), fixed_us=us) == pytest.approx(2 * us)


def test_a_row_used_twice_does_not_average_with_itself() -> None:
    operator = LAYER.choices[0].operator
    twice = network_uncertainty([[operator, operator]], rows(0.05))
    assert twice is not None
    assert twice.largest == pytest.approx(0.05)


def test_networks_without_all_rows_are_passed_over() -> None:
    some = dict(list(rows(0.05).items())[:1])
    assert network_uncertainty(NETWORKS, some) is None
    assert typical_us(NETWORKS, some) == 0


@given(st.floats(0.001, 0.5))
def test_uncertainty_grows_with_the_rows_own(half: float) -> None:
    less, more = (network_uncertainty(NETWORKS, rows(h)) for h in (half, half * 1.5))
    assert less is not None
    assert more is not None
    assert more.median == pytest.approx(1.5 * less.median)
    assert less.median <= less.largest <= half


def test_a_choice_is_open_where_a_dear_row_is_wide() -> None:
    typical = typical_us(NETWORKS, rows(0.01))
    dear = {**rows(0.01), LAYER.choices[0].operator.key: around(130.0, 0.8)}
    found = open_choices(SPACE, dear, typical)
    assert {LAYER.choices[0].operator.key} <= {found[0].faster, found[0].slower}
    assert LAYER.name in {choice.layer for choice in found}
    assert all(choice.half_width_us > NETWORK_BOUND * typical for choice in found)


def test_candidates_that_are_as_good_as_equal_are_no_open_choice() -> None:
    assert open_choices(SPACE, rows(0.01), typical_us(NETWORKS, rows(0.01))) == []


def with_half_widths(table: Table, half: float, status: str = "unstable") -> Table:
    return replace(
        table,
        entries=tuple(
            replace(
                entry,
                status=status,
                reason="wide",
                time=around(entry.known_time.centre_us, half),
            )
            for entry in table.entries
        ),
    )


def test_wide_rows_alone_are_no_problem_and_too_wide_ones_are(example_table: Table) -> None:
    assert uncertainty_problems(with_half_widths(example_table, 0.001)) == []
    problem = uncertainty_problems(with_half_widths(example_table, 0.3))[0]
    assert "open in a network's latency, more than 2%" in problem


def test_what_was_predicted_is_judged_by_the_exam_and_not_by_its_interval(
    example_table: Table,
) -> None:
    assert uncertainty_problems(with_half_widths(example_table, 0.3, "predicted")) == []


def test_wide_rows_are_listed_from_the_widest(example_table: Table) -> None:
    wide = with_half_widths(example_table, 0.1)
    first = replace(wide.entries[3], time=around(50.0, 0.4))
    listed = wide_rows(replace(wide, entries=(*wide.entries[:3], first, *wide.entries[4:])))
    assert listed[0] == first
    assert len(listed) == len(wide.entries)
    assert wide_rows(example_table) == []


def test_a_network_with_wide_rows_has_a_wider_interval(example_table: Table) -> None:
    network = SPACE.architecture([layer.choices[0].name for layer in SPACE.layers], "first")
    sure = LatencyModel(example_table).estimate(network)
    unsure = LatencyModel(with_half_widths(example_table, 0.2)).estimate(network)
    assert unsure.value_us == sure.value_us
    assert unsure.high_us - unsure.low_us > 1.5 * (sure.high_us - sure.low_us)
