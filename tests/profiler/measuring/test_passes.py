"""Passes: the usual ones, extra ones while they are worth it, none past the deadline."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.artefact import Artefact
from profiler.measuring.items import TimedItem
from profiler.measuring.passes import batches, due, passes
from profiler.settings import PRESETS
from search.errors import UsageError

EFFORT = replace(PRESETS["fast"], passes=2, extra_passes=3)
FOREVER = float("inf")


class Clock:
    """A clock that goes only when it is set forward."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def answers(*answer: str) -> Callable[[], str]:
    """Why another pass is worth its time, one answer after another."""
    return iter(answer).__next__


def made(unsettled: Callable[[], str], lasting_s: Sequence[float], ends: float) -> list[int]:
    """Numbers of the passes, each of which takes so long."""
    clock, numbers = Clock(), []
    for one in passes(EFFORT, unsettled, ends, clock):
        clock.now_s += lasting_s[one.number]
        numbers.append(one.number)
    return numbers


def items(*megabytes: int, networks: bool = False) -> list[TimedItem]:
    return [
        TimedItem(
            name=f"item{number}",
            artefact=Artefact(
                path=Path(f"{number}.pte"),
                sha256=f"{number:064}",
                exporter="none",
                relative_error=0.0,
                size_bytes=size * 2**20,
                build_seconds=0.0,
            ),
            is_network=networks,
        )
        for number, size in enumerate(megabytes)
    ]


def test_without_a_reason_there_is_no_extra_pass() -> None:
    titles = [one.title for one in passes(EFFORT, answers(""), FOREVER)]
    assert titles == ["pass 1 of 2", "pass 2 of 2"]


def test_extra_passes_follow_until_there_is_no_reason_and_state_it() -> None:
    found = list(passes(EFFORT, answers("2 not yet stable", "networks +-1.2%", ""), FOREVER))
    assert [one.number for one in found] == [0, 1, 2, 3]
    assert [one.title for one in found[2:]] == [
        "extra 1 (2 not yet stable)",
        "extra 2 (networks +-1.2%)",
    ]


def test_extra_passes_end_though_the_reason_remains() -> None:
    assert made(lambda: "a", [0.0] * 5, FOREVER) == [0, 1, 2, 3, 4]


def test_the_usual_passes_are_made_whatever_the_deadline() -> None:
    assert made(lambda: "a", [10.0] * 5, ends=5.0) == [0, 1]


@pytest.mark.parametrize(("ends", "count"), [(29.0, 2), (31.0, 3), (41.0, 4), (1000.0, 5)])
def test_no_extra_pass_begins_that_would_not_end_in_time(ends: float, count: int) -> None:
    assert len(made(lambda: "a", [10.0] * 5, ends)) == count


def test_the_longest_of_the_usual_passes_says_how_long_an_extra_one_takes() -> None:
    assert made(lambda: "a", [15.0, 1.0, 1.0, 1.0, 1.0], ends=31.5) == [0, 1, 2]


def test_networks_take_turns_and_operators_are_in_every_pass() -> None:
    operators, networks = items(1, 1), items(1, 1, 1, 1, 1, networks=True)
    everything = [networks[0], *operators, *networks[1:]]
    visits = Counter(
        (item.is_network, networks.index(item) if item.is_network else operators.index(item))
        for number in range(6)
        for item in due(everything, 3, number)
    )
    assert set(visits.values()) == {2, 6}
    assert {visits[(True, number)] for number in range(5)} == {2}
    sizes = [sum(item.is_network for item in due(everything, 3, number)) for number in range(3)]
    assert sorted(sizes) == [1, 2, 2]
    assert due(everything, 1, 4) == everything


def test_turns_that_leave_networks_out_are_refused() -> None:
    with pytest.raises(UsageError, match="leave some out"):
        replace(EFFORT, passes=2, networks_every=3)


def test_every_item_is_in_one_batch_and_the_order_is_of_the_seed_and_the_pass() -> None:
    many = items(*[1] * 50)
    first, again = list(batches(many, 3, 0)), list(batches(many, 3, 0))
    assert first == again
    assert len(first) == 1
    assert sorted(first[0], key=many.index) == many
    assert first != list(batches(many, 3, 1))
    assert first != list(batches(many, 4, 0))


def test_what_does_not_fit_into_memory_together_is_split_into_fair_mixtures() -> None:
    found = list(batches(items(*[100] * 20), 0, 0))
    assert [len(batch) for batch in found] == [7, 7, 6]
    assert len({item.name for batch in found for item in batch}) == 20


def test_no_items_make_no_batch() -> None:
    assert list(batches([], 0, 0)) == []
