"""Blame for a launch that broke off: the cable, the device, one item, or nobody knows."""

import pytest

from profiler.measuring.blame import Action, Blame, LaunchProgress, Verdict
from search.errors import ConnectionLost, DeviceLost, DeviceTimeout

DIED, SILENT, CUT = DeviceLost("It died."), DeviceTimeout("Nothing came."), ConnectionLost("Cut.")
BATCH = ("a", "b", "c")
RETRY, SPLIT, GIVE_UP = Verdict(Action.RETRY), Verdict(Action.SPLIT), Verdict(Action.GIVE_UP)


def unheard() -> LaunchProgress:
    return LaunchProgress()


def loading(item: str) -> LaunchProgress:
    return LaunchProgress(greeted=True, loading=item)


def between_items(sampled: bool = True) -> LaunchProgress:
    return LaunchProgress(greeted=True, sampled=sampled)


def test_a_runner_that_died_while_loading_an_item_is_tried_again() -> None:
    assert Blame().judge(DIED, loading("b"), BATCH) == RETRY


def test_an_item_that_the_runner_died_on_twice_has_failed() -> None:
    blame = Blame()
    blame.judge(DIED, loading("b"), BATCH)
    assert blame.judge(DIED, loading("b"), BATCH) == Verdict(Action.FAIL, "b")


def test_deaths_on_different_items_are_not_added_up() -> None:
    blame = Blame()
    assert [blame.judge(DIED, loading(item), BATCH) for item in BATCH] == [RETRY] * 3


def test_a_death_between_other_deaths_on_an_item_does_not_acquit_it() -> None:
    blame = Blame()
    blame.judge(DIED, loading("b"), BATCH)
    blame.judge(DIED, loading("c"), BATCH)
    assert blame.judge(DIED, loading("b"), BATCH) == Verdict(Action.FAIL, "b")


def test_an_item_alone_is_to_blame_for_a_death_in_the_middle() -> None:
    blame = Blame()
    assert blame.judge(DIED, between_items(), ["a"]) == RETRY
    assert blame.judge(DIED, between_items(), ["a"]) == Verdict(Action.FAIL, "a")


def test_a_batch_is_split_when_its_runner_died_twice_without_a_named_item() -> None:
    blame = Blame()
    assert blame.judge(DIED, between_items(), BATCH) == RETRY
    assert blame.judge(DIED, between_items(), BATCH) == SPLIT


def test_a_device_that_dies_twice_before_its_greeting_is_given_up() -> None:
    blame = Blame()
    assert blame.judge(DIED, unheard(), BATCH) == RETRY
    assert blame.judge(DIED, unheard(), BATCH) == GIVE_UP


def test_an_item_alone_is_not_to_blame_for_a_runner_that_never_greeted() -> None:
    blame = Blame()
    blame.judge(DIED, unheard(), ["a"])
    assert blame.judge(DIED, unheard(), ["a"]) == GIVE_UP


@pytest.mark.parametrize("launch", [unheard(), loading("b"), between_items()])
def test_the_second_timeout_is_the_last_whatever_was_being_done(launch: LaunchProgress) -> None:
    blame = Blame()
    assert blame.judge(SILENT, launch, BATCH) == RETRY
    assert blame.judge(SILENT, launch, BATCH) == GIVE_UP


def test_a_timeout_and_a_death_without_a_name_count_together() -> None:
    blame = Blame()
    blame.judge(SILENT, between_items(), BATCH)
    assert blame.judge(DIED, between_items(), BATCH) == SPLIT


def test_named_deaths_do_not_count_against_the_device() -> None:
    blame = Blame()
    blame.judge(DIED, loading("b"), BATCH)
    blame.judge(DIED, loading("c"), BATCH)
    assert blame.judge(SILENT, between_items(), BATCH) == RETRY


def test_a_lost_connection_blames_no_item_not_even_the_one_being_loaded() -> None:
    blame = Blame()
    assert {blame.judge(CUT, loading("b"), BATCH).action for _ in range(4)} == {Action.RETRY}
    assert blame.judge(DIED, loading("b"), BATCH) == RETRY


def test_a_connection_that_breaks_five_times_without_a_sample_is_given_up() -> None:
    blame = Blame()
    verdicts = [blame.judge(CUT, between_items(sampled=False), BATCH) for _ in range(5)]
    assert verdicts == [RETRY] * 4 + [GIVE_UP]


def test_a_sample_in_between_makes_a_bad_connection_good_again() -> None:
    blame = Blame()
    for _ in range(3):
        verdicts = [blame.judge(CUT, between_items(sampled=False), BATCH) for _ in range(4)]
        assert verdicts == [RETRY] * 4
        assert blame.judge(CUT, between_items(sampled=True), BATCH) == RETRY


def test_a_batch_is_launched_twice_for_each_item_and_twice_more() -> None:
    blame = Blame()
    assert [blame.may_launch(3) for _ in range(9)] == [True] * 8 + [False]


def test_launches_are_counted_against_the_items_that_are_left() -> None:
    blame = Blame()
    assert all(blame.may_launch(3) for _ in range(4))
    assert not blame.may_launch(1)


def test_a_launch_that_the_connection_ended_does_not_count() -> None:
    blame = Blame()
    for _ in range(20):
        assert blame.may_launch(1)
        blame.judge(CUT, between_items(), ["a"])
