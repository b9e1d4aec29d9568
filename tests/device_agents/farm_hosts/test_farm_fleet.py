"""A plan on all phones of a farm: every item once, whatever becomes of a phone."""

from collections import Counter
from collections.abc import Iterable

import pytest

from device_agents.farm.model import LeaseLost
from device_agents.farm_hosts.fleet import FarmFleet
from device_agents.protocol import CLOCK_STEP_NS, Bye, Hello, Record, Sample, Sentinel
from search.errors import ConnectionLost, UsageError
from search.table.phones import AGREEMENT
from tests.device_agents.farm_hosts.shelves import KEYS, Farm

ROUNDS = 3


def blocks(records: Iterable[Record]) -> Counter[int]:
    return Counter(one.item for one in records if isinstance(one, Sample))


def every_item_once(records: list[Record]) -> bool:
    assert isinstance(records[0], Hello)
    assert isinstance(records[-1], Bye)
    counts = blocks(records)
    # The sentinel, item 3, is run by all of them as an item too.
    return {item: n for item, n in counts.items() if item != 3} == {
        item: ROUNDS for item in range(len(KEYS)) if item != 3
    }


def phones_of(records: Iterable[Record]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for one in records:
        if isinstance(one, Sample) and one.item != 3:
            found.setdefault(one.item, set()).add(one.at_ns // CLOCK_STEP_NS)
    return found


def test_all_free_phones_share_a_plan_and_each_item_stays_with_one(farm: Farm) -> None:
    with farm.fleet() as fleet:
        plan = farm.plan(fleet)
        first, second = (list(fleet.run(plan)) for _ in range(2))
        assert {one.owner is not None for one in farm.registry.phones()} == {True}
        siblings = fleet.siblings()
        assert fleet.remarks() == ()
    assert every_item_once(first)
    assert every_item_once(second)
    assert phones_of(first) == phones_of(second)
    assert set.union(*phones_of(first).values()) == {0, 1, 2, 3}
    assert {one.at_ns // CLOCK_STEP_NS for one in first if isinstance(one, Sentinel)} == {
        0,
        1,
        2,
        3,
    }
    assert siblings.hashes == {0: "aa", 1: "bb", 2: "cc", 3: "dd"}
    assert siblings.shared_items == 3
    assert siblings.most_apart is not None
    assert siblings.most_apart < AGREEMENT
    assert {one.owner for one in farm.registry.phones()} == {None}
    assert farm.registry.campaigns() == []


def test_the_items_of_a_phone_that_is_lost_are_measured_by_the_others(farm: Farm) -> None:
    farm.phones["bb"].breaks_at = 9
    with farm.fleet() as fleet:
        records = list(fleet.run(farm.plan(fleet)))
        remarks = " ".join(fleet.remarks())
    assert every_item_once(records)
    assert "the phone bb was lost: The cable broke." in remarks
    assert "items moved from a phone that was lost" in remarks


def test_a_phone_that_cannot_be_opened_is_tried_once_while_others_measure(farm: Farm) -> None:
    farm.phones["aa"].opens = False
    with farm.fleet() as fleet:
        assert sorted(fleet._members.hashes.values()) == ["bb", "cc", "dd"]
        assert farm.phones["aa"].tries <= 2  # the first may be asked for before any other is held
        records = list(fleet.run(farm.plan(fleet)))
        notes = " ".join(fleet.remarks())
    assert every_item_once(records)
    assert "the phone aa could not be used: The cable is broken." in notes


def test_a_phone_that_comes_back_has_its_own_items_in_the_next_pass(farm: Farm) -> None:
    with farm.fleet() as fleet:
        plan = farm.plan(fleet)
        farm.phones["bb"].breaks_at = 9
        lost = list(fleet.run(plan))
        back = list(fleet.run(plan))
    assert every_item_once(lost)
    assert every_item_once(back)
    assert {1} not in phones_of(lost).values()
    items = [item for item, phones in phones_of(back).items() if phones == {1}]
    assert items == [item for item in range(len(KEYS)) if item % 4 == 1]


def test_the_items_of_a_host_that_is_switched_off_for_good_are_measured_by_the_others(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_agents.farm_hosts.remote._HOST_PATIENCE", 0.0)
    with farm.fleet() as fleet:
        plan = farm.plan(fleet)
        del farm.services["host-shelf-1"]
        records = list(fleet.run(plan))
        hosts = {phone.lease.phone for phone in fleet._members.phones.values()}
    assert every_item_once(records)
    assert hosts == {"cc", "dd"}


def test_a_fleet_that_lost_every_phone_waits_for_one(farm: Farm) -> None:
    for phone in farm.phones.values():
        phone.breaks_at = 6
    with farm.fleet() as fleet:
        records = list(fleet.run(farm.plan(fleet)))
    assert every_item_once(records)


def test_what_a_phone_measured_after_its_lease_ended_counts_for_nothing(farm: Farm) -> None:
    with farm.fleet() as fleet:
        plan = farm.plan(fleet)
        phone = fleet._members.phones[0]
        stream = fleet._run_on(phone, plan.model_copy(update={"sentinel": None}))
        assert isinstance(next(stream), Hello)
        farm.now_s += 61.0  # nobody renewed in time
        with pytest.raises(LeaseLost):
            assert blocks(stream) == {}


def test_a_later_lease_ends_the_run_of_an_earlier_one(farm: Farm) -> None:
    with farm.fleet() as fleet:
        plan = farm.plan(fleet, rounds=10**6)
        stream = fleet._run_on(fleet._members.phones[0], plan)
        next(stream)
        farm.phones["aa"].fence.raise_to(10**6)
        with pytest.raises(LeaseLost):
            list(stream)


def test_a_lease_opens_its_own_phone_and_no_other(farm: Farm) -> None:
    with farm.fleet() as fleet:
        mine = fleet._members.phones[0]
        for phone, token in (("bb", mine.lease.token), ("aa", mine.lease.token - 1)):
            with pytest.raises(LeaseLost):
                farm.hosts["shelf-1"].open("other", phone, token, phone, mine._settings)
        with pytest.raises(ConnectionLost, match="not open"):
            farm.hosts["shelf-1"].state("guessed")


def test_a_host_closes_a_phone_whose_lease_has_ended(farm: Farm) -> None:
    fleet = farm.fleet()
    with fleet:
        held = fleet._members.phones[0]
        farm.registry.release(held.lease.key)
        farm.watch()
        with pytest.raises(ConnectionLost, match="not open"):
            held.state()


def test_phones_can_be_left_out_and_models_must_be_there(farm: Farm) -> None:
    with farm.fleet(left_out=("a", "d")) as fleet:
        assert sorted(fleet._members.hashes.values()) == ["bb", "cc"]
    with (
        pytest.raises(UsageError, match="no phone of the model 'Galaxy"),
        farm.fleet(models="Galaxy*"),
    ):
        pass


def test_a_phone_in_quarantine_comes_back_by_a_probe_that_agrees(farm: Farm) -> None:
    farm.registry.quarantine("aa", "by hand")
    farm.registry.quarantine("dd", "by hand")
    farm.phones["dd"].slower = 40.0
    with farm.fleet() as fleet:
        list(fleet.run(farm.plan(fleet)))
        assert sorted(fleet._members.hashes.values()) == ["bb", "cc"]
    health = {one.phone: one.health for one in farm.registry.phones()}
    assert health == {"aa": "ready", "bb": "ready", "cc": "ready", "dd": "quarantined"}


def test_a_phone_that_disagrees_is_apart_from_the_others_and_they_are_not(farm: Farm) -> None:
    farm.phones["cc"].slower = 3.0
    with farm.fleet() as fleet:
        list(fleet.run(farm.plan(fleet)))
        siblings = fleet.siblings()
    apart = {siblings.hashes[number]: share for number, share in siblings.apart.items()}
    assert apart.pop("cc") > AGREEMENT
    assert all(abs(share) < AGREEMENT for share in apart.values())


def test_others_see_how_far_a_campaign_is_and_what_each_phone_did(farm: Farm) -> None:
    with farm.fleet(campaign="c") as fleet:
        assert [one.stage for one in farm.registry.campaigns()] == ["getting ready"]
        fleet.hear_stage("pass 2 of 6")
        list(fleet.run(farm.plan(fleet)))
        (seen,) = farm.registry.campaigns()
    assert (seen.stage, seen.done, seen.owner) == ("pass 2 of 6", 4, fleet._members.owner)
    assert seen.phones == (("aa", 1), ("bb", 1), ("cc", 1), ("dd", 1))


def test_a_phone_that_is_lost_is_compared_by_the_passes_that_it_measured(farm: Farm) -> None:
    with farm.fleet() as fleet:
        plan = farm.plan(fleet)
        list(fleet.run(plan))
        farm.phones["bb"].breaks_at = 9
        list(fleet.run(plan))
        siblings = fleet.siblings()
    assert set(siblings.apart) == {0, 1, 2, 3}


def test_a_resumed_campaign_knows_its_phones_by_the_same_numbers(farm: Farm) -> None:
    def begun(fleet: FarmFleet) -> dict[int, str]:
        with fleet:
            list(fleet.run(farm.plan(fleet)))
            found = dict(fleet._members.hashes)
            raise ConnectionError(found)

    farm.phones["aa"].is_there = False
    farm.watch()
    with pytest.raises(ConnectionError) as told:
        begun(farm.fleet(campaign="c"))
    assert told.value.args[0] == {0: "bb", 1: "cc", 2: "dd"}
    farm.phones["aa"].is_there = True
    farm.watch()
    with farm.fleet(campaign="c") as fleet:
        assert fleet._members.hashes == {0: "bb", 1: "cc", 2: "dd", 3: "aa"}


def test_a_resumed_campaign_knows_the_phones_that_take_part_no_more(farm: Farm) -> None:
    with pytest.raises(RuntimeError), farm.fleet(campaign="c") as fleet:
        raise RuntimeError
    farm.phones["aa"].is_there = False
    farm.watch()
    with farm.fleet(campaign="c") as fleet:
        assert list(fleet._members.phones) == [1, 2, 3]
        assert fleet.siblings().hashes == {0: "aa", 1: "bb", 2: "cc", 3: "dd"}
