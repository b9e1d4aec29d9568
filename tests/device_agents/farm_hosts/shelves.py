"""A farm in one process: a registry, hosts, and simulated phones with fences of their own."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from device_agents.base import AgentSettings
from device_agents.farm.fence import FenceFolder, Gate
from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import Limits, Sighting
from device_agents.farm.registry import Registry
from device_agents.farm_hosts.clients import RegistryClient
from device_agents.farm_hosts.fleet import FarmFleet
from device_agents.farm_hosts.host import METHODS, HostAgent
from device_agents.farm_hosts.membership import Wish
from device_agents.farm_hosts.service import ObjectService
from device_agents.farm_hosts.transport import REGISTRY, InProcess, host_service
from device_agents.farm_ray.actors import REGISTRY_METHODS
from device_agents.protocol import Fence, Plan, PlanItem, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from search.errors import ConnectionLost
from search.files import sha256_file
from search.table.manifest import DeviceInfo

SECRET = b"s" * 64
KEYS = [f"conv_k3_g1_relu_i3_o{o}_h8_w8_s1_b1_fp32" for o in range(8, 80, 8)]
SETTINGS = AgentSettings(backend="simulated", threads=1, affinity=None, say=lambda _: None)


@dataclass(eq=False)
class Phone:
    """A simulated phone; its fence outlives every agent of it."""

    name: str
    folder: Path
    slower: float = 1.0
    # Number of a record at which the cable breaks, once.
    breaks_at: int | None = None
    is_there: bool = True
    # Whether an agent can open it; how often one tried.
    opens: bool = True
    tries: int = 0
    runs: list[int] = field(default_factory=list)

    @property
    def fence(self) -> FenceFolder:
        return FenceFolder(self.folder / self.name)


class PhoneAgent(SimulatedAgent):
    """An agent that claims its phone for a token, as the one of Android phones does."""

    def __init__(self, phone: Phone, settings: AgentSettings, token: int) -> None:
        super().__init__(settings, Truth(dispatch_us=4.0 * phone.slower))
        self.phone = phone
        self.token = token

    def __enter__(self) -> Self:
        self.phone.tries += 1
        if not self.phone.opens:
            raise ConnectionLost("The cable is broken.")
        Gate(self).open(self.token)
        return self

    def info(self) -> DeviceInfo:
        info = super().info()
        return info.model_copy(
            update={"id": f"sim-{self.phone.name}", "serial_hash": self.phone.name}
        )

    def fence(self) -> int:
        return self.phone.fence.read()

    def raise_fence(self, token: int) -> int:
        return self.phone.fence.raise_to(token)

    def stop_runs(self) -> None:
        """Its runs check the fence before each sample."""

    def run(self, plan: Plan) -> Iterator[Record]:
        self.phone.runs.append(self.token)
        folder = str(self.phone.folder / self.phone.name)
        fenced = plan.model_copy(update={"fence": Fence(folder=folder, token=self.token)})
        for number, record in enumerate(super().run(fenced)):
            if number == self.phone.breaks_at:
                self.phone.breaks_at = None
                raise ConnectionLost("The cable broke.")
            yield record


class Farm:
    """Everything of a farm; its clock is told to go."""

    def __init__(self, folder: Path, shelves: dict[str, list[str]]) -> None:
        self.folder = folder
        self.now_s = 0.0
        self.phones = {
            name: Phone(name, folder / "fences") for names in shelves.values() for name in names
        }
        journal = FarmJournal(folder / "farm.sqlite", any_thread=True)
        self.journal = journal
        self.registry = Registry(journal, Limits(ttl_s=60.0), clock=lambda: self.now_s)
        services: dict[str, Any] = {
            REGISTRY: ObjectService(self.registry, REGISTRY_METHODS, SECRET, one_at_a_time=True)
        }
        self.services = services
        self.transport = InProcess(services)
        self.hosts = {}
        for host, names in shelves.items():
            agent = HostAgent(
                host,
                RegistryClient(self.transport, SECRET),
                partial(self._look, host, names),
                lambda address, settings, token: PhoneAgent(self.phones[address], settings, token),
                folder / f"files-{host}",
            )
            self.hosts[host] = agent
            services[host_service(host)] = ObjectService(
                agent, METHODS, SECRET, one_at_a_time=False
            )
        self.watch()

    def _look(self, host: str, names: list[str], _: Collection[str]) -> list[Sighting]:
        return [
            Sighting(
                host=host,
                address=name,
                connection="usb",
                marks=frozenset({name}),
                model="Pixel 8",
                fence=self.phones[name].fence.read(),
            )
            for name in names
            if self.phones[name].is_there
        ]

    def watch(self) -> None:
        for host in self.hosts.values():
            host.watch()

    def fleet(self, **wish: Any) -> FarmFleet:
        return FarmFleet(self.transport, SECRET, Wish(**wish), SETTINGS)

    def plan(self, fleet: FarmFleet, rounds: int = 3) -> Plan:
        items = []
        for number, key in enumerate(KEYS):
            path = self.folder / f"{number}.json"
            path.write_text(json.dumps([key]))
            sha256 = sha256_file(path)
            items.append(PlanItem(id=number, file=fleet.deliver(path, sha256), sha256=sha256))
        return Plan(
            nonce="n",
            backend="simulated",
            threads=1,
            order_seed=1,
            rounds=rounds,
            sentinel=3,
            sentinel_every=2,
            items=tuple(items),
        )
