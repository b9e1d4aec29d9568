"""One leased phone at another host, as a device agent: renews its lease, hands results in."""

import contextlib
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.base import DeviceState
from device_agents.farm.model import Result, Task
from device_agents.farm_hosts.clients import HostClient, RegistryClient
from device_agents.farm_hosts.keeping import KeptLease
from device_agents.farm_hosts.messages import Reply, read_reply, write
from device_agents.farm_hosts.phones import OpenPhone, RunnerSettings, RunPart, state_of_json
from device_agents.farm_hosts.transport import Unreachable
from device_agents.protocol import (
    Begin,
    Hello,
    Loaded,
    Plan,
    Record,
    check_records,
    dump_plan,
    dump_record,
)
from search.errors import KitError, UsageError
from search.table.manifest import DeviceInfo, Source

_POLL_S = 2.0
_PIECE = 4 * 2**20
# Files that one call has copied to a phone.
_AT_ONCE = 20
# A host that is silent for so many times to live is given up, and its phone with it: the lease
# alone would be renewed for ever.
_HOST_PATIENCE = 2.0


class FetchesNothing:
    """What an agent of a farm refuses."""

    def reserve(self) -> str:
        """Refused: a farm measures, it fetches no outputs."""
        raise UsageError(
            "A farm measures tables; it fetches no outputs.", "Name a phone of this host: --serial."
        )

    def collect(self, name: str) -> bytes:
        """Refused: a farm measures, it fetches no outputs."""
        raise UsageError(f"A farm has no output {name!r}.", "Name a phone of this host: --serial.")


class RemotePhone(FetchesNothing):
    """A leased phone as a `DeviceAgent`; its lease is renewed for as long as it is entered.

    `Begin` and `Loaded` are yielded as they come, whatever is measured only once the registry
    has kept it: a holder whose lease ended meanwhile yields nothing of it.

    Args:
        kept: Its lease.
        address: How its host calls it.
        registry, host: The services.
        settings: How its runner is started.
        campaign: What the results are kept under; empty: nothing is handed in.
        say: Told what the phone's agent tells.
    """

    def __init__(
        self,
        kept: KeptLease,
        address: str,
        registry: RegistryClient,
        host: HostClient,
        *,
        settings: RunnerSettings,
        campaign: str,
        say: Callable[[str], None],
    ) -> None:
        self.lease = kept.lease
        self._kept = kept
        self._address = address
        self._registry = registry
        self._host = host
        self._settings = settings
        self._campaign = campaign
        self._say = say
        self._opened: OpenPhone | None = None
        self._names: dict[str, str] = {}
        self._plans = 0

    def __enter__(self) -> Self:
        self._kept.__enter__()
        try:
            self._opened = self._host.open(self.lease, self._address, self._settings)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._tell(self._opened.said)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(KitError):  # a host that cannot be reached closes it by itself
            self._host.close(self.lease.key)
        self._kept.__exit__(kind, error, trace)

    # --- DeviceAgent protocol

    @property
    def source(self) -> Source:
        """What a table of this phone is marked as."""
        return self._open_phone.source

    @property
    def _open_phone(self) -> OpenPhone:
        assert self._opened is not None, "it is entered first"
        return self._opened

    def info(self) -> DeviceInfo:
        """Identity of the phone, as read when it was opened."""
        return self._open_phone.info

    def state(self) -> DeviceState:
        """State of the phone now."""
        return state_of_json(self._host.state(self.lease.key))

    def remarks(self) -> tuple[str, ...]:
        """What was told about the phone that its measurements depend on."""
        return tuple(self._host.remarks(self.lease.key))

    def deliver(self, path: Path, sha256: str) -> str:
        """Send a file to the host unless it has it, and have it copied to the phone."""
        return self.deliver_all({sha256: path})[sha256]

    def deliver_all(self, files: Mapping[str, Path]) -> Mapping[str, str]:
        """The same for many files, by hash, in few calls; their names on the phone."""
        new = [sha256 for sha256 in files if sha256 not in self._names]
        for sha256 in self._host.missing(new) if new else ():
            self._send(files[sha256], sha256)
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            self._names.update(zip(some, self._host.deliver(self.lease.key, some), strict=True))
        return self._names

    def _send(self, path: Path, sha256: str) -> None:
        size, offset, upload = path.stat().st_size, 0, uuid.uuid4().hex
        with path.open("rb") as stream:
            while True:
                content = stream.read(_PIECE)
                is_last = offset + len(content) >= size
                self._host.put(sha256, upload, offset, content, is_last)
                offset += len(content)
                if is_last:
                    return

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan; its measurements come at the end, if they count.

        Raises:
            LeaseLost: The phone is somebody else's by now; nothing of the plan counts.
            ConnectionLost, DeviceLost, DeviceTimeout, DeviceError: As the phone's agent.
        """
        self._plans += 1
        task = self._claim(
            Task(
                campaign=self._campaign,
                item=plan.nonce,
                pass_number=self._plans,
                phone=self.lease.phone,
            )
        )
        kept: list[Record] = []
        for record in check_records(self._lines(plan), plan):
            if isinstance(record, Hello | Begin | Loaded):
                yield record
            else:
                kept.append(record)
        self._kept.check()
        if task is not None:
            content = "\n".join(map(dump_record, kept))
            result = Result(
                task=task, phone=self.lease.phone, token=self.lease.token, content=content
            )
            self._until_answered(lambda: self._registry.submit(self.lease.key, result))
        yield from kept

    def _claim(self, task: Task) -> Task | None:
        """Queue a task and take it; a lease for a probe has none."""
        if self.lease.purpose == "probe":
            return None
        self._until_answered(lambda: self._registry.queue([task]))
        while True:
            claimed: list[Task | None] = []
            self._until_answered(
                lambda into=claimed: into.append(  # type: ignore[misc]
                    self._registry.claim(self.lease.key, self._campaign)
                )
            )
            if claimed[-1] == task:
                return task
            # One that this phone left behind when it was lost; another one takes its place.
            self._until_answered(
                lambda: self._registry.forget(
                    self._campaign, only_open=True, phone=self.lease.phone
                )
            )
            self._until_answered(lambda: self._registry.queue([task]))

    def _lines(self, plan: Plan) -> Iterator[str]:
        """The records of a run as they arrive, over breaks of the connection."""
        key, got = self.lease.key, 0
        patience_s = _HOST_PATIENCE * self.lease.ttl_s
        self._until_answered(lambda: self._host.run(key, plan.nonce, dump_plan(plan)), patience_s)
        try:
            while True:
                parts: list[RunPart] = []
                self._until_answered(
                    lambda: parts.append(  # noqa: B023 (called at once)
                        self._host.records(key, plan.nonce, got, _POLL_S)  # noqa: B023
                    ),
                    patience_s,
                )
                part = parts[-1]
                self._tell(part.said)
                got += len(part.lines)
                yield from part.lines
                if part.error is not None:
                    read_reply(write(Reply(error=part.error)))
                if part.has_ended:
                    return
        finally:
            # What cannot be told to stop is closed once its host hears of no lease.
            with contextlib.suppress(KitError):
                self._host.stop(key, plan.nonce)

    def _until_answered(self, ask: Callable[[], object], patience_s: float = math.inf) -> None:
        """Ask again while the service cannot be reached and the lease lives.

        Raises:
            LeaseLost: It ended meanwhile.
            Unreachable: The service cannot be reached for so long.
        """
        until_s = time.monotonic() + patience_s
        while True:
            self._kept.check()
            try:
                ask()
                return
            except Unreachable:
                if self._kept.wait(_POLL_S / 4) or time.monotonic() >= until_s:
                    raise

    def _tell(self, said: tuple[str, ...]) -> None:
        for text in said:
            self._say(text)
