"""One random history of a farm: its faults, and what must hold whatever they are.

The registry, the gate and the holder's lease are the product's own; phones, hosts, users and the
network between them are simulated. A history is a function of its seed and its plan.
"""

import functools
import random
from collections.abc import Generator
from typing import Any

from device_agents.farm.fence import Gate
from device_agents.farm.holder import HeldLease
from device_agents.farm.model import Lease, LeaseLost, Limits, Result, Task
from device_agents.farm.registry import Registry
from search.errors import KitError, StorageError
from tests.device_agents.farm.crashing import CrashingJournal
from tests.device_agents.farm.hosts import Host
from tests.device_agents.farm.network import TIMED_OUT, Network, Node, Steps
from tests.device_agents.farm.phones import Phone, Run
from tests.device_agents.farm.plan import CAMPAIGN, LONGEST_S, SLACK_S, STEPS, TTL_S, Plan
from tests.device_agents.farm.planted import (
    CarelessGate,
    CarelessRegistry,
    CountingRegistry,
    PatientRegistry,
)


class Farm:
    """One history, and what was found wrong in it."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.rng = random.Random(seed)
        self.plan = plan
        self.net = Network(self.rng)
        self.found: list[str] = []
        self.calm_from_s = 0.0
        self.newest: dict[str, int] = {}
        # Keys of leases in live hands, with their users.
        self.alive: dict[str, str] = {}
        self.given_back: set[str] = set()
        self.asking: set[str] = set()
        self.is_done = False
        self.is_over = False
        self._keys = 0
        self.journal = CrashingJournal(plan.bug == "torn journal")
        self.head = self.net.node("head")
        self.hosts = [Host(self, f"host-{number}") for number in range(plan.hosts)]
        self.users = [self.net.node(f"user-{number}") for number in range(plan.users)]
        nodes = [host.node for host in self.hosts]
        self.phones = {
            f"phone-{number}": Phone(
                f"phone-{number}",
                self.rng.sample(nodes, 2 if self.rng.random() < 0.3 else 1),
                is_one_from_s=self.rng.uniform(-1, 1) * plan.faults_s,
            )
            for number in range(plan.phones)
        }
        self.tasks = [
            Task(campaign=CAMPAIGN, item=f"op-{number // 2}", pass_number=number % 2)
            for number in range(plan.tasks)
        ]
        self.start_registry()
        self.registry.queue(self.tasks[: plan.tasks // 2])

    # --- what the parts are made of

    def start_registry(self) -> None:
        planted = {
            "late results kept": CarelessRegistry,
            "endless leases": PatientRegistry,
            "equal tokens": CountingRegistry,
        }
        self.registry = planted.get(self.plan.bug, Registry)(
            self.journal,
            Limits(ttl_s=TTL_S),
            clock=lambda: self.net.clock(self.head),
            new_key=self._key,
        )

    def _key(self) -> str:
        self._keys += 1
        return f"key-{self._keys}"

    def phone(self, id_in_registry: str) -> Phone:
        return self.phones[id_in_registry.split("/")[0]]

    def gate(self, phone: Phone) -> Gate:
        return (CarelessGate if self.plan.bug == "token not checked" else Gate)(phone)

    def registry_call(self, call: Any, wait_s: float) -> tuple[str, Any, float]:
        """Ask the registry, as a step of a process."""
        return ("ask", (self.head, lambda answer: answer(call(self.registry))), wait_s)

    # --- on the phones

    def begin_run(self, phone: Phone, token: int, task: Task, wait_s: float, ended: Any) -> None:
        run = Run(token, task, self.net.now_s, is_disturbed=bool(phone.runs))
        for other in phone.runs:
            other.is_disturbed = True
        phone.runs.append(run)

        def end() -> None:
            if run not in phone.runs:
                return  # it was stopped
            phone.runs.remove(run)
            if self.plan.bug != "token not checked" and phone.token != token:
                ended(None)  # the runner's own look at the fence: it stops, and says so
                return
            if run.is_disturbed:
                self.found.append(f"two measurements at once on {phone.name} were accepted")
            phone.written.add((task, token))
            ended((phone.name, token))

        self.net.after(wait_s, None, end)

    # --- the users

    def work(self, user: Node) -> Steps:
        number = 0
        while not self.is_done:
            number += 1
            request = f"{user.name}.{user.life}.{number}"
            self.asking.add(request)
            lease: Any = TIMED_OUT
            while lease is TIMED_OUT or isinstance(lease, StorageError):
                sent_s = self.net.clock(user)
                lease = yield self.registry_call(
                    lambda r, request=request: self._acquired(
                        r.acquire(user.name, "pixel", request)
                    ),
                    10.0,
                )
            self.asking.discard(request)
            if not isinstance(lease, Lease):
                yield ("sleep", None, 10.0)
                continue
            held = HeldLease(lease, sent_s)
            self.alive[lease.key] = user.name
            if self.plan.bug != "renewal by traffic":
                self.net.start(user, self._renew(user, held))
            yield from self._use(user, held)
            self.given_back.add(lease.key)
            yield self.registry_call(lambda r, key=lease.key: r.release(key), 10.0)
            self.alive.pop(lease.key, None)
            yield ("sleep", None, 15.0)

    def _acquired(self, lease: Lease | None) -> Lease | None:
        if lease is not None:
            if lease.token < self.newest.get(lease.phone, 0):
                self.found.append(f"{lease.phone} was leased with an old token")
            self.newest[lease.phone] = max(lease.token, self.newest.get(lease.phone, 0))
        return lease

    def _renew(self, user: Node, held: HeldLease) -> Steps:
        sent_s = self.net.clock(user)
        while held.lease.key in self.alive:
            yield ("sleep", None, held.interval_s)
            if held.lease.key not in self.alive:
                return
            sent_s = self.net.clock(user)
            reply = yield self.registry_call(lambda r: r.renew(held.lease.key), 5.0)
            if reply is None:
                held.renewed(sent_s)
            elif isinstance(reply, LeaseLost):
                self._lost(held)
                self.alive.pop(held.lease.key, None)

    def _lost(self, held: HeldLease) -> None:
        if held.lease.key in self.given_back:
            return
        if self.net.is_calm and self.net.now_s > self.calm_from_s + 2 * TTL_S + SLACK_S:
            self.found.append(f"a healthy holder lost {held.lease.phone}")

    def _use(self, user: Node, held: HeldLease) -> Steps:
        """Measure tasks until there are none, or something is wrong."""
        lease, rng = held.lease, self.rng
        phone = self.phone(lease.phone)
        home = rng.choice(phone.homes)
        host = next(host for host in self.hosts if host.node is home)

        def open_it(answer: Any) -> None:
            host.open(phone, lease.token)
            answer(None)

        opened = yield ("ask", (host.node, open_it), 10.0)
        while opened is None and not held.is_over(self.net.clock(user)):
            task = yield self.registry_call(lambda r: r.claim(lease.key, CAMPAIGN), 10.0)
            if isinstance(task, LeaseLost):
                self._lost(held)
                return
            if not isinstance(task, Task):
                return
            is_long = int(task.item.removeprefix("op-")) % 7 == 0
            takes_s = rng.uniform(2, 4) * TTL_S if is_long else rng.uniform(1, 20)
            work = functools.partial(host.measure, phone, lease.token, task, takes_s)
            reply = yield ("ask", (host.node, work), takes_s + 15.0)
            if not isinstance(reply, tuple):
                return
            if not (yield from self._submit(user, held, task)):
                return

    def _submit(
        self, user: Node, held: HeldLease, task: Task
    ) -> Generator[tuple[str, Any, float], Any, bool]:
        lease = held.lease
        result = Result(task=task, phone=lease.phone, token=lease.token, content="{}")
        while True:
            sent_s = self.net.clock(user)
            reply = yield self.registry_call(lambda r: self._submitted(r, held, result), 10.0)
            if reply is True or reply is False:
                if self.plan.bug == "renewal by traffic":
                    held.renewed(sent_s)
                return True
            if isinstance(reply, LeaseLost):
                self._lost(held)
            if isinstance(reply, KitError):
                return False

    def _submitted(self, registry: Registry, held: HeldLease, result: Result) -> bool:
        is_new = registry.submit(held.lease.key, result)
        if is_new and result.token < self.newest.get(result.phone, 0):
            self.found.append(f"a result of {result.phone} was kept after its lease")
        if self.plan.bug == "renewal by traffic":
            registry.renew(held.lease.key)
        return is_new

    # --- faults

    def fault(self) -> None:
        """Something breaks, and is whole again after a while."""
        rng, net = self.rng, self.net
        again_s = rng.uniform(1, 150)
        kind = rng.choice(
            ["head", "host", "user", "pause", "cut", "phone", "reboot", "open", "hot"]
        )
        phone = rng.choice(list(self.phones.values()))
        if kind == "head":
            if rng.random() < 0.5:
                self.journal.statements_left = rng.randrange(40)
            else:
                self.journal.dies_after = rng.choice(STEPS)
            net.after(again_s, None, self._restart_head)
        elif kind == "host":
            host = rng.choice(self.hosts)
            net.crash(host.node)
            net.after(again_s, None, lambda: self._restart_host(host))
        elif kind == "user":
            user = rng.choice(self.users)
            net.crash(user)
            self.alive = {key: name for key, name in self.alive.items() if name != user.name}
            self.asking = {name for name in self.asking if name.split(".")[0] != user.name}
            net.after(again_s, None, lambda: self._restart_user(user))
        elif kind == "pause":
            node = rng.choice([self.head, *self.users, *(host.node for host in self.hosts)])
            node.paused_until_s = max(node.paused_until_s, net.now_s + again_s)
        elif kind == "cut":
            side = rng.choice([*self.users, *(host.node for host in self.hosts)])
            others = [self.head, *(host.node for host in self.hosts)]
            pairs = {frozenset((side.name, other.name)) for other in others}
            net.cut |= pairs
            net.after(again_s, None, lambda: net.cut.difference_update(pairs))
        elif kind == "phone":
            phone.is_reachable = False
            net.after(again_s, None, lambda: setattr(phone, "is_reachable", True))
        elif kind == "reboot":
            phone.runs.clear()
        elif kind == "open":
            phone.kills_host = True
            net.after(again_s, None, lambda: self._end_of_open(phone))
        else:
            phone.temperature_c = 50.0
            net.after(again_s, None, lambda: setattr(phone, "temperature_c", 30.0))

    def _restart_head(self) -> None:
        if self.head.is_up:
            if not self.journal.is_doomed:
                return
            self.net.crash(self.head)
        self.journal.spare()
        self.head.is_up = True
        self.start_registry()

    def _restart_host(self, host: Host) -> None:
        if not host.node.is_up:
            host.node.is_up = True
            host.forget()
            self.net.start(host.node, host.watch())

    def _end_of_open(self, phone: Phone) -> None:
        phone.kills_host = False
        for host in self.hosts:
            self._restart_host(host)

    def _restart_user(self, user: Node) -> None:
        if not user.is_up:
            user.is_up = True
            self.net.start(user, self.work(user))

    # --- the whole history

    def play(self) -> list[str]:
        """Everything wrong in this history; empty when all held."""
        net, plan = self.net, self.plan
        for host in self.hosts:
            net.start(host.node, host.watch())
        for user in self.users:
            net.start(user, self.work(user))
        for _ in range(self.rng.randrange(plan.faults + 1)):
            net.after(self.rng.uniform(0, plan.faults_s), None, self.fault)
        net.after(plan.faults_s + 150, None, self._calm)
        net.after(plan.faults_s + 150 + TTL_S + SLACK_S, None, self._look_at_phones)
        self._look_around()
        net.run(lambda: self.is_over or bool(self.found), LONGEST_S)
        self._look_at_results()
        self.journal.close()
        return self.found

    def _calm(self) -> None:
        self.net.is_calm = True
        self.net.cut.clear()
        self.calm_from_s = self.net.now_s
        self.net.after(2 * TTL_S, None, self._queue_all)
        if not self.head.is_up:
            self.found.append("the simulation left the registry dead")

    def _queue_all(self) -> None:
        self.registry.queue(self.tasks)

    def _look_around(self) -> None:
        """Every ten seconds: whether all is done, and was calm for long enough."""
        if not self.is_done and self.net.is_calm:
            rows = self.journal._database.execute("SELECT sum(done) FROM tasks").fetchone()
            self.is_done = rows == (len(self.tasks),)
        past_s = self.net.now_s - self.calm_from_s
        self.is_over = self.is_done and self.net.is_calm and past_s > TTL_S + SLACK_S + 5
        self.net.after(10.0, None, self._look_around)

    def _look_at_phones(self) -> None:
        """One time to live after the last fault, every phone is free or in live hands."""
        for key, phone in self.journal._database.execute(
            "SELECT key, phone FROM leases WHERE request NOT IN (SELECT value FROM json_each(?))",
            ("[" + ",".join(f'"{request}"' for request in self.asking) + "]",),
        ):
            ends = "SELECT expires_at_s FROM leases WHERE key = ?"
            (ends_s,) = self.journal._database.execute(ends, (key,)).fetchone()
            is_held = self.plan.bug == "endless leases" or ends_s > self.net.clock(self.head)
            if key not in self.alive and is_held:
                self.found.append(f"{phone} is not back")
        for status in self.registry.phones():
            if status.health != "ready":
                self.found.append(f"{status.phone} is {status.health} though nothing ails it")
        if len(self.registry.phones()) != len(self.phones):
            self.found.append("a phone is missing, or counted twice")

    def _look_at_results(self) -> None:
        if self.found:
            return  # it ended early
        results = self.registry.results(CAMPAIGN)
        counts = dict.fromkeys(self.tasks, 0)
        for result in results:
            counts[result.task] += 1
            if (result.task, result.token) not in self.phone(result.phone).written:
                self.found.append(f"{result.task} was never measured by {result.phone}")
        self.found += [f"{task} is lost" for task, count in counts.items() if count == 0]
        self.found += [f"{task} was counted {n} times" for task, n in counts.items() if n > 1]


def play(seed: int, plan: Plan) -> list[str]:
    """What is wrong in the history of this seed."""
    return Farm(seed, plan).play()
