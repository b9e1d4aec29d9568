"""Leases, health, tasks and results, one rule a test."""

import math
from dataclasses import replace

import pytest

from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import Lease, LeaseLost, Limits, Result, Sighting, Task
from device_agents.farm.registry import Registry
from search.errors import UsageError
from tests.device_agents.farm.shelf import Clock, sighting

TASK = Task(campaign="c", item="op", pass_number=0)


def leased(registry: Registry, owner: str = "ann", request: str = "r1") -> Lease:
    lease = registry.acquire(owner, "pixel", request)
    assert lease is not None
    return lease


def result_of(lease: Lease, task: Task = TASK) -> Result:
    return Result(task=task, phone=lease.phone, token=lease.token, content="[1]")


def health(registry: Registry) -> dict[str, str]:
    return {status.phone: status.health for status in registry.phones()}


# --- leases


def test_a_phone_has_one_holder_until_it_is_given_back(registry: Registry) -> None:
    registry.see("shelf", [sighting()])
    first = leased(registry)
    assert registry.acquire("bob", "pixel", "r2") is None
    registry.release(first.key)
    assert leased(registry, "bob", "r2").token > first.token


def test_a_lease_ends_a_time_to_live_after_its_last_renewal(
    registry: Registry, clock: Clock
) -> None:
    registry.see("shelf", [sighting()])
    lease = leased(registry)
    for _ in range(120):  # two silent hours
        clock.now_s += 59.9
        registry.renew(lease.key)
        registry.see("shelf", [sighting()])
    assert registry.acquire("bob", "pixel", "r2") is None
    clock.now_s += 60
    registry.see("shelf", [sighting()])
    assert leased(registry, "bob", "r2").phone == lease.phone
    with pytest.raises(LeaseLost):
        registry.renew(lease.key)


def test_a_request_asked_twice_gives_the_same_lease(registry: Registry) -> None:
    registry.see("shelf", [sighting("a"), sighting("b")])
    assert leased(registry) == leased(registry)
    with pytest.raises(UsageError, match="made by ann"):
        registry.acquire("bob", "pixel", "r1")


def test_a_key_is_needed_to_touch_a_lease(registry: Registry) -> None:
    registry.see("shelf", [sighting()])
    leased(registry)
    registry.release("guess")
    assert registry.acquire("bob", "pixel", "r2") is None
    with pytest.raises(LeaseLost):
        registry.claim("guess", "c")


def test_a_restart_keeps_everything_and_lets_leases_live_one_more_time(
    registry: Registry, journal: FarmJournal
) -> None:
    registry.see("shelf", [sighting()])
    registry.queue([TASK])
    lease = leased(registry)
    registry.claim(lease.key, "c")
    clock = Clock()
    clock.now_s = 3.0  # another boot
    again = Registry(journal, Limits(ttl_s=60.0), clock=clock)
    clock.now_s += 59
    assert again.acquire("bob", "pixel", "r2") is None
    assert again.submit(lease.key, result_of(lease))


def test_tokens_go_on_from_the_phone_where_the_journal_is_an_older_copy(
    registry: Registry,
) -> None:
    registry.see("shelf", [sighting(fence=0)])
    old = leased(registry)
    registry.see("shelf", [sighting(fence=41)])
    with pytest.raises(LeaseLost):
        registry.renew(old.key)
    assert leased(registry, "ann", "r2").token == 42


# --- which phone is which


def test_a_phone_on_usb_and_on_wifi_is_one(registry: Registry) -> None:
    wifi = sighting(host="other", address="10.0.0.2", connection="tcp")
    registry.see("shelf", [sighting()])
    registry.see("other", [wifi])
    (phone,) = registry.phones()
    assert phone.ways == ("shelf usb a-usb", "other tcp 10.0.0.2")
    leased(registry)
    assert registry.acquire("bob", "pixel", "r2") is None


def test_two_phones_that_turn_out_to_be_one_lose_their_leases_and_keep_their_results(
    registry: Registry,
) -> None:
    tasks = [replace(TASK, item=item) for item in ("op1", "op2")]
    registry.queue(tasks)
    wifi = sighting("w", connection="tcp")
    registry.see("shelf", [sighting("a"), wifi])
    leases = [leased(registry, "ann", "r1"), leased(registry, "bob", "r2")]
    for lease in leases:
        task = registry.claim(lease.key, "c")
        assert task is not None
        registry.submit(lease.key, result_of(lease, task))
    both = replace(wifi, marks=frozenset({"a", "w"}))
    registry.see("shelf", [sighting("a"), both])
    assert health(registry) == {"a": "ready"}
    assert {result.phone for result in registry.results("c")} == {"a"}
    for lease in leases:
        with pytest.raises(LeaseLost):
            registry.renew(lease.key)
    assert leased(registry, "ann", "r3").token > max(lease.token for lease in leases)


def test_a_host_reports_its_own_phones_alone(registry: Registry) -> None:
    with pytest.raises(UsageError, match="another host"):
        registry.see("shelf", [sighting(host="other")])


def test_a_phone_without_marks_is_refused() -> None:
    with pytest.raises(UsageError, match="told apart"):
        sighting(marks=frozenset())


# --- health


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (sighting(), "ready"),
        (sighting(temperature_c=40.1), "hot"),
        (sighting(battery_percent=29.0), "low_battery"),
    ],
)
def test_only_a_ready_phone_is_leased(registry: Registry, seen: Sighting, expected: str) -> None:
    registry.see("shelf", [seen])
    assert health(registry) == {"a": expected}
    assert (registry.acquire("ann", "pixel", "r") is not None) == (expected == "ready")


def test_a_phone_that_no_host_sees_is_lost_until_one_does(registry: Registry, clock: Clock) -> None:
    registry.see("shelf", [sighting()])
    clock.now_s += 60  # the host is silent
    assert health(registry) == {"a": "lost"}
    assert registry.acquire("ann", "pixel", "r") is None
    registry.see("shelf", [sighting()])
    assert health(registry) == {"a": "ready"}
    registry.see("shelf", [])  # unplugged
    assert health(registry) == {"a": "lost"}


def test_failures_in_a_row_lead_to_quarantine_and_a_result_ends_the_row(
    registry: Registry,
) -> None:
    registry.see("shelf", [sighting()])
    registry.queue([TASK, replace(TASK, item="op2")])
    lease = leased(registry)
    for _ in range(2):
        registry.claim(lease.key, "c")
        registry.fail(lease.key, "crashed")
    task = registry.claim(lease.key, "c")
    assert task is not None
    registry.submit(lease.key, result_of(lease, task))
    for _ in range(2):
        registry.fail(lease.key, "crashed")
    assert health(registry) == {"a": "ready"}
    registry.fail(lease.key, "crashed")
    assert health(registry) == {"a": "quarantined"}


def test_quarantine_is_left_only_through_a_probe_that_measures(registry: Registry) -> None:
    registry.see("shelf", [sighting()])
    registry.quarantine("a", "disagrees with its siblings")
    registry.see("shelf", [])
    registry.see("shelf", [sighting()])  # plugging it in again is no cure
    assert registry.acquire("ann", "pixel", "r1") is None
    for request, measured_us, is_passed in (("r2", 106.0, False), ("r3", 104.0, True)):
        probe = registry.acquire("ann", "pixel", request, purpose="probe")
        assert probe is not None
        with pytest.raises(LeaseLost):
            registry.claim(probe.key, "c")
        passed = registry.submit_probe(
            probe.key, probe.token, measured_us=measured_us, expected_us=100.0
        )
        assert passed is is_passed
    assert health(registry) == {"a": "ready"}


@pytest.mark.parametrize("us", [0.0, -1.0, math.nan, math.inf])
def test_a_probe_that_measured_nothing_is_refused(registry: Registry, us: float) -> None:
    registry.see("shelf", [sighting()])
    registry.quarantine("a", "why")
    probe = registry.acquire("ann", "pixel", "r", purpose="probe")
    assert probe is not None
    with pytest.raises(UsageError, match="probe measured"):
        registry.submit_probe(probe.key, probe.token, measured_us=us, expected_us=100.0)
    assert health(registry) == {"a": "quarantined"}


def test_an_unknown_phone_cannot_be_put_in_quarantine(registry: Registry) -> None:
    with pytest.raises(UsageError, match="No phone nobody"):
        registry.quarantine("nobody", "why")


# --- tasks and results


def test_a_result_sent_twice_is_kept_once(registry: Registry) -> None:
    registry.see("shelf", [sighting()])
    assert registry.queue([TASK]) == 1
    assert registry.queue([TASK]) == 0
    lease = leased(registry)
    assert registry.claim(lease.key, "c") == registry.claim(lease.key, "c") == TASK
    assert registry.submit(lease.key, result_of(lease)) is True
    registry.release(lease.key)
    assert registry.submit(lease.key, result_of(lease)) is False
    assert registry.results("c") == [result_of(lease)]


@pytest.mark.parametrize("change", [{"token": 7}, {"phone": "b"}])
def test_a_result_of_another_token_or_phone_is_refused(
    registry: Registry, change: dict[str, object]
) -> None:
    registry.see("shelf", [sighting()])
    registry.queue([TASK])
    lease = leased(registry)
    registry.claim(lease.key, "c")
    with pytest.raises(LeaseLost):
        registry.submit(lease.key, replace(result_of(lease), **change))  # type: ignore[arg-type]
    assert registry.results("c") == []


def test_a_task_of_an_ended_lease_goes_to_the_next_phone(registry: Registry) -> None:
    registry.see("shelf", [sighting("a"), sighting("b")])
    registry.queue([TASK])
    first, second = leased(registry), leased(registry, "bob", "r2")
    registry.claim(first.key, "c")
    assert registry.claim(second.key, "c") is None
    registry.release(first.key)
    assert registry.claim(second.key, "c") == TASK
    with pytest.raises(LeaseLost):
        registry.submit(first.key, result_of(first))
    assert registry.campaigns()[0].running == 1


def test_a_task_for_one_phone_waits_for_it(registry: Registry) -> None:
    registry.see("shelf", [sighting("a"), sighting("b")])
    registry.queue([replace(TASK, phone="b")])
    leases = {lease.phone: lease for lease in (leased(registry), leased(registry, "bob", "r2"))}
    assert registry.claim(leases["a"].key, "c") is None
    assert registry.claim(leases["b"].key, "c") == replace(TASK, phone="b")


def test_a_task_that_another_lease_has_cannot_be_answered(registry: Registry) -> None:
    registry.see("shelf", [sighting()])
    registry.queue([TASK])
    lease = leased(registry)
    with pytest.raises(LeaseLost, match="not this lease's task"):
        registry.submit(lease.key, result_of(lease))


@pytest.mark.parametrize("change", [{"ttl_s": 0.0}, {"most_failures": 0}, {"ttl_s": math.nan}])
def test_limits_of_nothing_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="above zero"):
        Limits(**change)  # type: ignore[arg-type]
