"""Who waits gets a phone in turn; hosts are emptied; a lease is confirmed and has one way."""

import pytest

from device_agents.farm.model import LeaseLost
from device_agents.farm.registry import Registry
from search.errors import UsageError
from tests.device_agents.farm.shelf import Clock, sighting


def test_phones_go_to_those_who_asked_first(registry: Registry, clock: Clock) -> None:
    registry.see("shelf", [sighting("a")])
    held = registry.acquire("ann", "pixel", "r1")
    assert registry.acquire("bob", "pixel", "r2", waits=True) is None
    assert registry.acquire("cyd", "pixel", "r3", waits=True) is None
    assert [(one.owner, one.model) for one in registry.waiting()] == [
        ("bob", "pixel"),
        ("cyd", "pixel"),
    ]
    registry.release(held.key)
    assert registry.acquire("cyd", "pixel", "r3", waits=True) is None
    assert registry.acquire("ann", "pixel", "r4") is None
    assert registry.acquire("bob", "pixel", "r2", waits=True).owner == "bob"
    assert [one.owner for one in registry.waiting()] == ["cyd"]


def test_who_stops_asking_loses_the_place(registry: Registry, clock: Clock) -> None:
    registry.see("shelf", [sighting("a")])
    held = registry.acquire("ann", "pixel", "r1")
    registry.acquire("bob", "pixel", "r2", waits=True)
    registry.release(held.key)
    clock.now_s += 61.0
    registry.see("shelf", [sighting("a")])
    assert registry.waiting() == []
    assert registry.acquire("cyd", "pixel", "r3") is not None


def test_a_drained_host_gives_no_phone_and_leases_go_on(registry: Registry) -> None:
    registry.see("shelf", [sighting("a"), sighting("b")])
    held = registry.acquire("ann", "pixel", "r1")
    registry.drain("shelf", True)
    registry.see("shelf", [sighting("a"), sighting("b")])
    assert registry.acquire("bob", "pixel", "r2") is None
    registry.renew(held.key)
    assert [one.is_drained for one in registry.hosts()] == [True]
    registry.drain("shelf", False)
    assert registry.acquire("bob", "pixel", "r2") is not None
    with pytest.raises(UsageError, match="No host nowhere"):
        registry.drain("nowhere", True)


def test_a_lease_is_confirmed_for_its_phone_and_token_alone(
    registry: Registry, clock: Clock
) -> None:
    registry.see("shelf", [sighting("a")])
    lease = registry.acquire("ann", "pixel", "r1")
    assert registry.confirm(lease.key, lease.phone, lease.token) == "measure"
    for wrong in (("k", "a", lease.token), (lease.key, "b", lease.token), (lease.key, "a", 0)):
        with pytest.raises(LeaseLost):
            registry.confirm(*wrong)
    clock.now_s += 61.0
    with pytest.raises(LeaseLost):
        registry.confirm(lease.key, lease.phone, lease.token)


def test_a_lease_goes_by_cable_and_by_a_host_that_is_heard_of(
    registry: Registry, clock: Clock
) -> None:
    registry.see("far", [sighting("a", host="far", address="wifi", connection="tcp")])
    registry.see("shelf", [sighting("a")])
    lease = registry.acquire("ann", "pixel", "r1")
    assert registry.way(lease.key).host == "shelf"
    clock.now_s += 50.0
    registry.renew(lease.key)
    registry.see("far", [sighting("a", host="far", address="wifi", connection="tcp")])
    clock.now_s += 20.0
    assert registry.way(lease.key).host == "far"
    registry.see("far", [])
    with pytest.raises(LeaseLost):
        registry.way(lease.key)


def test_phones_that_are_left_out_are_not_given(registry: Registry) -> None:
    registry.see("shelf", [sighting("a1"), sighting("b2")])
    lease = registry.acquire("ann", "pixel", "r1", left_out=["a"])
    assert lease.phone == "b2"
    assert registry.acquire("ann", "pixel", "r2", left_out=["a"]) is None


def test_a_phone_has_one_number_within_a_campaign_until_that_is_forgotten(
    registry: Registry,
) -> None:
    numbers = [registry.number_of("c", phone) for phone in ("x", "y", "x")]
    assert numbers == [0, 1, 0]
    assert registry.number_of("other", "y") == 0
    registry.forget("c", only_open=True)
    assert registry.number_of("c", "y") == 1
    registry.forget("c")
    assert registry.number_of("c", "y") == 0
