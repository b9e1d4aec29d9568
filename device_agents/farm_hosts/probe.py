"""Phones in quarantine: only a measurement that agrees with their siblings' lets one back."""

import contextlib
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

from device_agents.farm_hosts.membership import Membership
from device_agents.farm_hosts.remote import RemotePhone
from device_agents.protocol import Plan, PlanItem, Record, Sample
from search.errors import KitError

_ROUNDS = 5

Runs = Callable[[RemotePhone, Plan], Iterator[Record]]


class Probes:
    """Measures the sentinel on each phone in quarantine, once a campaign."""

    def __init__(self, membership: Membership, runs: Runs, say: Callable[[str], None]) -> None:
        self._membership = membership
        self._runs = runs
        self._say = say
        self._tried: set[str] = set()

    def probe(self, plan: Plan, expected_us: Sequence[float]) -> None:
        """Measure those that are free now; `expected_us` are the siblings' times."""
        sentinel = next((item for item in plan.items if item.id == plan.sentinel), None)
        if sentinel is None or not expected_us:
            return
        members = self._membership
        barred = {
            one.phone
            for one in members.registry.phones()
            if (one.model, one.health, one.owner) == (members.model, "quarantined", None)
        }
        for _ in barred - self._tried:
            self._probe_one(plan, sentinel, statistics.median(expected_us))

    def _probe_one(self, plan: Plan, sentinel: PlanItem, expected_us: float) -> None:
        members, sent_at_s = self._membership, time.monotonic()
        lease = members.registry.acquire(
            members.owner,
            members.model,
            uuid.uuid4().hex,
            purpose="probe",
            left_out=sorted(self._tried),
        )
        if lease is None:
            return
        self._tried.add(lease.phone)
        asked = plan.model_copy(update={"items": (sentinel,), "sentinel": None, "rounds": _ROUNDS})
        try:
            with members.remote(lease, sent_at_s) as phone:
                samples = [one for one in self._runs(phone, asked) if isinstance(one, Sample)]
                is_back = members.registry.submit_probe(
                    lease.key,
                    lease.token,
                    measured_us=statistics.median(one.ns / one.loops / 1e3 for one in samples),
                    expected_us=expected_us,
                )
            verdict = "agrees with the others and is free again" if is_back else "differs still"
            self._say(f"Probe of the phone {lease.phone}: it {verdict}.")
        except (KitError, statistics.StatisticsError) as error:
            self._say(f"Probe of the phone {lease.phone}: {error}")
            with contextlib.suppress(KitError):
                members.registry.release(lease.key)
