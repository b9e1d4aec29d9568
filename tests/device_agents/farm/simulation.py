"""One random history of a farm: its faults, and what must hold whatever they are.

The registry, the gate and the holder's lease are the product's own; phones, hosts, users and the
network between them are simulated. A history is a function of its seed and its plan.
"""

import contextlib
import functools
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from device_agents.farm.fence import Gate
from device_agents.farm.holder import HeldLease
from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import Lease, LeaseLost, Limits, Result, Sighting, Task
from device_agents.farm.registry import Registry
from search.errors import DeviceError, DeviceLost, KitError, StorageError
from tests.device_agents.farm.network import TIMED_OUT, Crash, Network, Node, Steps

Bug = Literal[
    "",
    "token not checked",
    "late results kept",
    "renewal by traffic",
    "torn journal",
    "endless leases",
    "equal tokens",
]
BUGS: tuple[Bug, ...] = get_args(Bug)[1:]
TTL_S = 60.0
SEEN_EVERY_S = 15.0
# Clocks that differ by 2 %, messages of up to 20 s, one round of sightings.
SLACK_S = 45.0
LONGEST_S = 9000.0
CAMPAIGN = "campaign"
# Statements after which it hurts most to die.
STEPS = (
    "UPDATE tasks SET done",
    "UPDATE tasks SET holder",
    "UPDATE phones SET token",
    "INSERT INTO leases",
    "DELETE FROM leases",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large a history is; `bug` plants an error that must be found."""

    phones: int = 50
    hosts: int = 8
    users: int = 20
    tasks: int = 100
    faults: int = 12
    faults_s: float = 400.0
    bug: Bug = ""


class CrashingJournal(FarmJournal):
    """In memory, and dies at a chosen statement; what was not committed is gone."""

    def __init__(self, is_torn: bool) -> None:
        super().__init__(":memory:")
        self.statements_left: int | None = None
        self.dies_after = ""
        self._is_torn = is_torn

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        if self._is_torn:  # planted: every statement is a transaction of its own
            yield _Counting(self._database, self)
            return
        with super().transaction() as database:
            yield _Counting(database, self)
            self.count()  # just before the commit

    @property
    def is_doomed(self) -> bool:
        return self.statements_left is not None or bool(self.dies_after)

    def spare(self) -> None:
        self.statements_left, self.dies_after = None, ""

    def executed(self, statement: str) -> None:
        if self.dies_after and statement.startswith(self.dies_after):
            self.statements_left, self.dies_after = 0, ""

    def count(self) -> None:
        if self.statements_left is not None:
            self.statements_left -= 1
            if self.statements_left < 0:
                self.statements_left = None
                raise Crash


class _Counting:
    def __init__(self, database: Any, journal: CrashingJournal) -> None:
        self._database = database
        self._journal = journal

    def execute(self, statement: str, *arguments: Any) -> Any:
        self._journal.count()
        answer = self._database.execute(statement, *arguments)
        self._journal.executed(statement)
        return answer

    def executemany(self, *arguments: Any) -> Any:
        self._journal.count()
        return self._database.executemany(*arguments)


@dataclass(eq=False)
class Run:
    """A measurement that runs on a phone."""

    token: int
    task: Task
    start_s: float
    is_disturbed: bool = False


@dataclass(eq=False)
class Phone:
    """A phone; its fence outlives everything else on it."""

    name: str
    homes: list[Node]
    token: int = 0
    is_reachable: bool = True
    runs: list[Run] = field(default_factory=list)
    written: set[tuple[Task, int]] = field(default_factory=set)
    temperature_c: float = 30.0
    # Until then its second way shows no mark in common with the first: it looks like two phones.
    is_one_from_s: float = 0.0
    kills_host: bool = False

    def marks(self, way: int, now_s: float) -> frozenset[str]:
        own = f"{self.name}/serial-{way}"
        return frozenset({own} if way and now_s < self.is_one_from_s else {own, self.name})

    def fence(self) -> int:
        self.answer()
        return self.token

    def raise_fence(self, token: int) -> int:
        self.answer()
        self.token = max(self.token, token)
        return self.token

    def stop_runs(self) -> None:
        self.answer()
        if self.kills_host:  # after the fence was raised
            self.kills_host = False
            raise Crash
        self.runs.clear()

    def answer(self) -> None:
        if not self.is_reachable:
            raise DeviceLost(f"{self.name} does not answer.")


class CarelessGate(Gate):
    """Planted: the token is not looked at."""

    def open(self, token: int) -> None:
        pass

    def check(self, token: int) -> None:
        pass


class CarelessRegistry(Registry):
    """Planted: a result is kept whoever's the phone is by now."""

    def submit(self, key: str, result: Result) -> bool:
        with self._journal.transaction() as database:
            task = result.task
            database.execute(
                "INSERT OR IGNORE INTO results (campaign, item, pass, wanted, phone, token, "
                "content) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(task.campaign, task.item, task.pass_number, task.phone),
                    *(result.phone, result.token, result.content),
                ),
            )
            database.execute(
                "UPDATE tasks SET done = 1, holder = NULL WHERE campaign = ? AND item = ? "
                "AND pass = ?",
                (task.campaign, task.item, task.pass_number),
            )
        return True


class PatientRegistry(Registry):
    """Planted: a lease ends only when it is given back."""

    def _expire(self, database: Any, now_s: float) -> None:
        pass


class CountingRegistry(Registry):
    """Planted: tokens are counted phone by phone, also where one phone stands as two."""

    def _grant(self, database: Any, phone: str, *arguments: Any) -> Lease:
        before = "SELECT token FROM phones WHERE id = ?"
        token = database.execute(before, (phone,)).fetchone()[0] + 1
        lease = super()._grant(database, phone, *arguments)
        database.execute("UPDATE phones SET token = ? WHERE id = ?", (token, phone))
        database.execute("UPDATE leases SET token = ? WHERE key = ?", (token, lease.key))
        return replace(lease, token=token)


class Host:
    """The agent of one host: what it has opened and what it runs is lost when it dies."""

    def __init__(self, farm: "Farm", name: str) -> None:
        self.farm = farm
        self.node = farm.net.node(name)
        self.opened: dict[str, int] = {}
        self.busy: dict[str, int] = {}

    def forget(self) -> None:
        self.opened.clear()
        self.busy.clear()

    def open(self, phone: Phone, token: int) -> None:
        gate = self.farm.gate(phone)
        gate.open(token)
        self.opened[phone.name] = token
        self.busy.pop(phone.name, None)

    def measure(self, phone: Phone, token: int, task: Task, wait_s: float, answer: Any) -> None:
        phone.answer()
        if self.farm.plan.bug != "token not checked":
            if self.opened.get(phone.name) != token:
                raise DeviceError(f"{phone.name} is not open for {token}.")
            if phone.name in self.busy:
                raise DeviceError(f"{phone.name} is busy.")
        self.farm.gate(phone).check(token)
        self.busy[phone.name] = token
        life = self.node.life

        def ended(value: Any) -> None:
            if self.node.life == life and self.node.is_up:
                self.busy.pop(phone.name, None)
                answer(value)

        self.farm.begin_run(phone, token, task, wait_s, ended)

    def watch(self) -> Steps:
        while True:
            seen = [
                Sighting(
                    host=self.node.name,
                    address=f"{phone.name}:{number}",
                    connection="tcp" if number else "usb",
                    marks=phone.marks(number, self.farm.net.now_s),
                    model="pixel",
                    fence=phone.token,
                    temperature_c=phone.temperature_c,
                )
                for phone in self.farm.phones.values()
                for number, home in enumerate(phone.homes)
                if home is self.node and phone.is_reachable
            ]
            yield self.farm.registry_call(lambda r, seen=seen: r.see(self.node.name, seen), 10.0)
            yield ("sleep", None, SEEN_EVERY_S)


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
            try:
                if self.plan.bug != "token not checked" and phone.token != token:
                    return  # the runner's own look at the fence
                if run.is_disturbed:
                    self.found.append(f"two measurements at once on {phone.name} were accepted")
                phone.written.add((task, token))
            finally:
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
