"""The operators behind a difference add up to it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.comparison.operators import layer_differences, relative_costs
from search.architecture import Architecture
from search.latency.model import LatencyModel
from search.operators.words import short_name
from search.spaces.registry import make_space
from search.table.entries import Entry, Interval
from search.table.store import Table
from search.zoo import network_names, zoo_architecture

SPACE = make_space("fbnet-mini")


def drawn(seed: int) -> Architecture:
    return SPACE.random_architecture(random.Random(seed), f"net {seed}")


@given(st.integers(0, 999), st.integers(0, 999))
def test_what_networks_pay_in_different_places_is_all_they_differ_by(
    measured: Table, first: int, second: int
) -> None:
    one, other = drawn(first), drawn(second)
    model = LatencyModel(measured)
    found = layer_differences(measured, 0, one, other)
    total = sum(difference.difference_us for difference in found)
    expected = model.estimate(other).value_us - model.estimate(one).value_us
    assert total == pytest.approx(expected, abs=1e-6)
    sizes = [abs(difference.difference_us) for difference in found]
    assert sizes == sorted(sizes, reverse=True)


def test_layers_of_one_shape_may_stand_in_any_order(measured: Table) -> None:
    fbnet = make_space("fbnet")
    first = ["k3_e1"] * 22
    second = list(first)
    first[2], second[3] = "k5_e6", "k5_e6"
    pair = [fbnet.architecture(choices) for choices in (first, second)]
    assert pair[0] != pair[1]
    assert layer_differences(measured, 0, pair[0], pair[1]) == []


def test_a_place_that_one_network_lacks_is_empty_on_its_side(measured: Table) -> None:
    whole = drawn(1)
    operators = [operator for operator in whole.operators if operator.kind != "skip"]
    head = operators[-2]
    shorter = replace(whole, name="cut", operators=tuple(operators[:-2]))
    found = {d.slower_key: d for d in layer_differences(measured, 0, shorter, whole)}
    assert found[head.key].faster_key == ""
    assert found[head.key].faster_us == 0


def faster_at(table: Table, key: str, factor: float, common: float) -> Table:
    """The table of a device that is `common` times as slow, but for one operator."""

    def scaled(time: Interval | None, by: float) -> Interval | None:
        return None if time is None else time.scaled(by)

    def slower(entry: Entry) -> Entry:
        by = factor if entry.key == key else common
        return replace(entry, time=scaled(entry.time, by), first_call=scaled(entry.first_call, by))

    entries = tuple(slower(entry) for entry in table.entries)
    manifest = table.manifest.model_copy(update={"calibration": None})
    return replace(table, manifest=manifest, entries=entries)


def test_the_operator_that_one_device_is_bad_at_comes_first(measured: Table) -> None:
    network = SPACE.architecture(["k3_e6", "k5_e3", "k3_e6", "k5_e6", "k3_e3", "k5_e6"])
    key = network.operators[2].key
    plain, odd = faster_at(measured, "", 1, 1), faster_at(measured, key, 6, 2)
    found = relative_costs(plain, odd, 0, 1, [network])
    assert found[0].key == key
    assert found[0].relative == pytest.approx(3)
    assert all(shift.relative == pytest.approx(1) for shift in found[1:])
    assert (found[0].first, found[0].second) == (0, 1)


def test_operators_of_small_share_and_those_that_a_table_lacks_are_left_out(
    measured: Table,
) -> None:
    network = drawn(3)
    key = network.operators[0].key
    lacking = replace(
        measured, entries=tuple(entry for entry in measured.entries if entry.key != key)
    )
    assert key not in {shift.key for shift in relative_costs(measured, lacking, 0, 1, [network])}
    light = faster_at(measured, key, 1e-4, 1)
    assert key not in {shift.key for shift in relative_costs(light, light, 0, 1, [network])}
    nothing = replace(measured, entries=())
    assert relative_costs(measured, nothing, 0, 1, [network]) == []


@pytest.mark.parametrize("name", network_names())
def test_operators_of_published_networks_are_told_apart_in_few_words(name: str) -> None:
    operators = set(zoo_architecture(name).operators)
    words = {short_name(operator.key) for operator in operators}
    assert len(words) == len(operators)
    assert max(map(len, words)) <= 34


def test_nothing_is_described_as_nothing() -> None:
    assert short_name("") == "-"
