"""Random histories of a farm: faults of all kinds, and errors planted to be found.

Seeds are fixed. `python -m tests.benchmarks.check_farm` plays thousands.
"""

from collections.abc import Callable

import pytest

from tests.device_agents.farm.plan import BUGS, Bug, Plan
from tests.device_agents.farm.simulation import play


def small(bug: Bug = "", faults: int = 8) -> Plan:
    return Plan(phones=8, hosts=3, users=4, tasks=24, faults=faults, faults_s=300.0, bug=bug)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_nothing_is_double_lost_or_kept_back_in_random_histories(first: int) -> None:
    wrong = {seed: play(seed, small()) for seed in range(first, first + 20)}
    assert not any(wrong.values()), wrong


def test_nothing_is_double_lost_or_kept_back_on_50_phones_and_8_hosts() -> None:
    assert play(1, Plan()) == []


def test_a_history_is_a_function_of_its_seed() -> None:
    plan = small("token not checked")
    assert play(2, plan) == play(2, plan) != play(3, plan)


WORDS = {
    "token not checked": "two measurements at once",
    "late results kept": "",
    "renewal by traffic": "a healthy holder lost",
    "torn journal": "is lost",
    "endless leases": "is not back",
    "equal tokens": "two measurements at once",
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_error_is_found(bug: Bug) -> None:
    found = first_fault(lambda seed: play(seed, small(bug, faults=16)))
    assert found
    assert WORDS[bug] in found[0]


def first_fault(history: Callable[[int], list[str]]) -> list[str]:
    return next(filter(None, map(history, range(150))), [])
