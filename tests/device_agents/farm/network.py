"""A virtual clock, nodes that crash and pause, and a network that loses, delays and doubles."""

import heapq
import itertools
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from search.errors import KitError

TIMED_OUT = "timed out"
Steps = Generator[tuple[str, Any, float], Any, None]


class Crash(BaseException):
    """The process that runs at this moment dies."""


@dataclass(slots=True, eq=False)
class Node:
    """A process on a machine with a clock of its own."""

    name: str
    rate: float
    offset_s: float
    life: int = 0
    is_up: bool = True
    paused_until_s: float = 0.0


class Network:
    """Runs events in order of virtual time; the same seed gives the same history."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_s = 0.0
        self.is_calm = False
        self.cut: set[frozenset[str]] = set()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Node | None, int, Callable[[], None]]] = []

    def node(self, name: str) -> Node:
        return Node(name, self.rng.uniform(0.98, 1.02), self.rng.uniform(0, 1e5))

    def clock(self, node: Node) -> float:
        return node.offset_s + node.rate * self.now_s

    def after(self, delay_s: float, node: Node | None, do: Callable[[], None]) -> None:
        """Do something later in the present life of a node, or whatever happens (None)."""
        life = node.life if node else 0
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), node, life, do))

    def run(self, until: Callable[[], bool], most_s: float) -> None:
        while self._events and not until():
            at_s, _, node, life, do = heapq.heappop(self._events)
            if at_s > most_s:
                return
            self.now_s = max(self.now_s, at_s)
            if node is None:
                do()
            elif not node.is_up or node.life != life:
                continue
            elif node.paused_until_s > self.now_s:
                heapq.heappush(
                    self._events, (node.paused_until_s, next(self._order), node, life, do)
                )
            else:
                try:
                    do()
                except Crash:
                    self.crash(node)

    def crash(self, node: Node) -> None:
        node.is_up = False
        node.life += 1

    def send(self, source: Node, target: Node, deliver: Callable[[], None]) -> None:
        """One message: lost, late or doubled while the network is not calm."""
        rng = self.rng
        copies = 1
        if not self.is_calm:
            if frozenset((source.name, target.name)) in self.cut or rng.random() < 0.02:
                return
            copies += rng.random() < 0.03
        for _ in range(copies):
            is_late = not self.is_calm and rng.random() < 0.03
            delay_s = rng.uniform(0, 20) if is_late else rng.expovariate(20)
            self.after(delay_s, None, lambda: self._arrive(target, deliver))

    def _arrive(self, target: Node, deliver: Callable[[], None]) -> None:
        if target.is_up:
            self.after(0, target, deliver)

    def ask(
        self,
        source: Node,
        target: Node,
        work: Callable[[Callable[[Any], None]], None],
        reply: Callable[[Any], None],
    ) -> None:
        """Let `target` work; `reply` gets, at `source`, what the work answers with."""
        life = source.life

        def answer(value: Any) -> None:
            def deliver() -> None:
                if source.life == life:
                    reply(value)

            self.send(target, source, deliver)

        def deliver() -> None:
            try:
                work(answer)
            except KitError as error:
                answer(error)

        self.send(source, target, deliver)

    def start(self, node: Node, steps: Steps) -> None:
        """Run a process: it yields what to ask whom (or to sleep), and how long to wait."""

        def go_on(value: Any) -> None:
            try:
                what, question, wait_s = steps.send(value)
            except StopIteration:
                return
            is_open = [True]

            def once(answer: Any) -> None:
                if is_open[0]:
                    is_open[0] = False
                    go_on(answer)

            if what == "ask":
                target, work = question
                self.ask(node, target, work, once)
            self.after(wait_s / node.rate, node, lambda: once(TIMED_OUT))

        self.after(0, node, lambda: go_on(None))
