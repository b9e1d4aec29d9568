"""Simulated hosts: each runs the agents of its phones."""

from typing import TYPE_CHECKING, Any

from device_agents.farm.model import Sighting, Task
from search.errors import DeviceError
from tests.device_agents.farm.network import Steps
from tests.device_agents.farm.phones import Phone
from tests.device_agents.farm.plan import SEEN_EVERY_S

if TYPE_CHECKING:
    from tests.device_agents.farm.simulation import Farm


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
