"""The two services as objects: calls with types, over any transport."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter

from device_agents.farm.model import (
    CampaignStatus,
    HostStatus,
    Lease,
    PhoneStatus,
    Purpose,
    Result,
    Sighting,
    Task,
    Waiting,
    Way,
)
from device_agents.farm_hosts.admission import prove
from device_agents.farm_hosts.messages import NotAdmitted, Request, read_reply, write
from device_agents.farm_hosts.phones import OpenPhone, RunnerSettings, RunPart
from device_agents.farm_hosts.transport import REGISTRY, FarmTransport, host_service

Value = TypeVar("Value")
_ASK_S = 30.0
# Opening a phone copies a runtime to it; delivering copies a program of many megabytes.
_LONG_S = 600.0


class Caller:
    """Calls one service; shows once that it knows the secret, and again after a restart."""

    def __init__(self, transport: FarmTransport, service: str, secret: bytes) -> None:
        self._transport = transport
        self._service = service
        self._secret = secret
        self._ticket = ""
        self._admitting = threading.Lock()

    def __call__(
        self,
        method: str,
        arguments: Mapping[str, Any],
        content: bytes = b"",
        timeout_s: float = _ASK_S,
    ) -> Any:
        """The value of a call.

        Raises:
            KitError: What the service raised; `ConnectionLost` where it cannot be reached.
        """
        ticket = self._ticket
        if ticket:
            try:
                return self._ask(ticket, method, arguments, content, timeout_s)
            except NotAdmitted:  # it was started again
                pass
        return self._ask(self._admit(ticket), method, arguments, content, timeout_s)

    def _admit(self, old: str) -> str:
        with self._admitting:
            if self._ticket == old:
                challenge = self._ask("", "challenge", {})
                answer = prove(self._secret, str(challenge))
                words = {"challenge": challenge, "answer": answer}
                self._ticket = str(self._ask("", "admit", words))
            return self._ticket

    def _ask(
        self,
        ticket: str,
        method: str,
        arguments: Mapping[str, Any],
        content: bytes = b"",
        timeout_s: float = _ASK_S,
    ) -> Any:
        request = write(Request(ticket=ticket, method=method, arguments=dict(arguments)), content)
        value, _ = read_reply(self._transport.ask(self._service, request, timeout_s))
        return value


def _typed(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


def _plain(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).dump_python(value, mode="json")


class RegistryClient:
    """The registry of a farm (`device_agents.farm.registry.Registry`), called from elsewhere."""

    def __init__(self, transport: FarmTransport, secret: bytes) -> None:
        self._call = Caller(transport, REGISTRY, secret)

    def see(self, host: str, sightings: Sequence[Sighting]) -> list[str]:
        """Report what a host sees; ids of the phones."""
        seen = _plain(list[Sighting], list(sightings))
        return list(self._call("see", {"host": host, "sightings": seen}))

    def drain(self, host: str, is_drained: bool) -> None:
        """Give no phone of a host to anybody anew, or do so again."""
        self._call("drain", {"host": host, "is_drained": is_drained})

    def quarantine(self, phone: str, reason: str) -> None:
        """Take a phone out of use until a probe has measured what was expected."""
        self._call("quarantine", {"phone": phone, "reason": reason})

    def acquire(
        self,
        owner: str,
        model: str,
        request: str,
        *,
        purpose: Purpose = "measure",
        waits: bool = False,
        left_out: Sequence[str] = (),
    ) -> Lease | None:
        """Lease a free phone; None where none is free."""
        words = {"owner": owner, "model": model, "request": request, "purpose": purpose}
        more = {"waits": waits, "left_out": list(left_out)}
        value = self._call("acquire", {**words, **more})
        lease: Lease | None = _typed(Lease | None, value)
        return lease

    def confirm(self, key: str, phone: str, token: int) -> Purpose:
        """What a lease is for, if it is this phone's."""
        purpose: Purpose = self._call("confirm", {"key": key, "phone": phone, "token": token})
        return purpose

    def way(self, key: str) -> Way:
        """The way to a lease's phone."""
        way: Way = _typed(Way, self._call("way", {"key": key}))
        return way

    def renew(self, key: str) -> None:
        """Let a lease live one time to live from now."""
        self._call("renew", {"key": key})

    def release(self, key: str) -> None:
        """Give a phone back."""
        self._call("release", {"key": key})

    def queue(self, tasks: Iterable[Task]) -> int:
        """Add tasks; how many are new."""
        return int(self._call("queue", {"wanted": _plain(list[Task], list(tasks))}))

    def claim(self, key: str, campaign: str) -> Task | None:
        """The next task of a lease's phone."""
        value = self._call("claim", {"key": key, "campaign": campaign})
        task: Task | None = _typed(Task | None, value)
        return task

    def submit(self, key: str, result: Result) -> bool:
        """Keep a result; refused where the lease has ended."""
        return bool(self._call("submit", {"key": key, "result": _plain(Result, result)}))

    def fail(self, key: str, reason: str) -> None:
        """Count a failed task."""
        self._call("fail", {"key": key, "reason": reason})

    def submit_probe(self, key: str, token: int, *, measured_us: float, expected_us: float) -> bool:
        """End a quarantine if a probe measured what was expected."""
        words = {"measured_us": measured_us, "expected_us": expected_us}
        return bool(self._call("submit_probe", {"key": key, "token": token, **words}))

    def number_of(self, campaign: str, phone: str) -> int:
        """A phone's number within a campaign."""
        return int(self._call("number_of", {"campaign": campaign, "phone": phone}))

    def note_stage(self, campaign: str, owner: str, stage: str) -> None:
        """Say how far a campaign is."""
        self._call("note_stage", {"campaign": campaign, "owner": owner, "stage": stage})

    def members(self, campaign: str) -> list[tuple[int, str]]:
        """The phones of a campaign, by number."""
        return list(_typed(list[tuple[int, str]], self._call("members", {"campaign": campaign})))

    def forget(self, campaign: str, *, only_open: bool = False, phone: str = "") -> None:
        """Drop what is kept of a campaign, or the open tasks alone (with a phone: its own)."""
        self._call("forget", {"campaign": campaign, "only_open": only_open, "phone": phone})

    def phones(self) -> list[PhoneStatus]:
        """Whatever phones were ever seen, by id."""
        return list(_typed(list[PhoneStatus], self._call("phones", {})))

    def hosts(self) -> list[HostStatus]:
        """Whatever hosts were ever heard of, by name."""
        return list(_typed(list[HostStatus], self._call("hosts", {})))

    def waiting(self) -> list[Waiting]:
        """Who waits."""
        return list(_typed(list[Waiting], self._call("waiting", {})))

    def campaigns(self) -> list[CampaignStatus]:
        """Progress of campaigns."""
        return list(_typed(list[CampaignStatus], self._call("campaigns", {})))


class HostClient:
    """The agent of a host (`device_agents.farm_hosts.host.HostAgent`), called from elsewhere."""

    def __init__(self, transport: FarmTransport, host: str, secret: bytes) -> None:
        self.host = host
        self._call = Caller(transport, host_service(host), secret)

    def open(self, lease: Lease, address: str, settings: RunnerSettings) -> OpenPhone:
        """Open a lease's phone, which this host calls by this address."""
        words = {"key": lease.key, "phone": lease.phone, "token": lease.token}
        arguments = {**words, "address": address, "settings": settings.model_dump(mode="json")}
        value = self._call("open", arguments, timeout_s=_LONG_S)
        return OpenPhone.model_validate(value)

    def close(self, key: str) -> None:
        """Close a phone; its settings are restored."""
        self._call("close", {"key": key}, timeout_s=_LONG_S)

    def state(self, key: str) -> Any:
        """The state of a phone, as JSON."""
        return self._call("state", {"key": key})

    def remarks(self, key: str) -> list[str]:
        """What was told about a phone."""
        return [str(text) for text in self._call("remarks", {"key": key})]

    def lacking(self, key: str, sizes: Mapping[str, int]) -> set[str]:
        """The contents that a phone does not have."""
        return set(self._call("lacking", {"key": key, "sizes": dict(sizes)}))

    def put(self, sha256: str, upload: str, offset: int, content: bytes, is_last: bool) -> None:
        """Send a part of a file to the host."""
        words = {"sha256": sha256, "upload": upload, "offset": offset, "is_last": is_last}
        self._call("put", words, content, timeout_s=_LONG_S)

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """The files, of these, that the host does not have."""
        return [str(sha256) for sha256 in self._call("missing", {"hashes": list(hashes)})]

    def deliver(self, key: str, hashes: Sequence[str]) -> list[str]:
        """Copy files of the host to a phone; their names there."""
        words = {"key": key, "hashes": list(hashes)}
        return [str(name) for name in self._call("deliver", words, timeout_s=_LONG_S)]

    def run(self, key: str, run: str, plan: str) -> None:
        """Begin to run a plan under a name; one that runs already goes on."""
        self._call("run", {"key": key, "run": run, "plan": plan})

    def records(self, key: str, run: str, start: int, wait_s: float) -> RunPart:
        """Records from number `start` on; waits for some if there are none yet."""
        words = {"key": key, "run": run, "start": start, "wait_s": wait_s}
        value = self._call("records", words, timeout_s=wait_s + _ASK_S)
        return RunPart.model_validate(value)

    def stop(self, key: str, run: str) -> None:
        """End a run."""
        self._call("stop", {"key": key, "run": run}, timeout_s=_LONG_S)
