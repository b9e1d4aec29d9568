"""Simulated phones and what runs on them."""

from dataclasses import dataclass, field

from device_agents.farm.model import Task
from search.errors import DeviceLost
from tests.device_agents.farm.network import Crash, Node


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
