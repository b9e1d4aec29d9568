"""The agent of one host: reports the phones that it sees, opens them for leases, runs plans.

It does what the holder of a lease asks, and nobody else: the registry confirms each lease before
its phone is opened, and again while it is open. A phone whose lease has ended is closed.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from device_agents.base import DeviceAgent, HasRemarks, KeepsFiles
from device_agents.farm.model import LeaseLost, Purpose, Sighting
from device_agents.farm_hosts.phones import (
    OpenPhone,
    OpensPhones,
    RunnerSettings,
    RunPart,
    agent_settings,
    state_to_json,
)
from device_agents.farm_hosts.running import Running
from device_agents.protocol import load_plan
from search.errors import ConnectionLost, DeviceError, KitError, UsageError
from search.files import sha256_file

# What a holder may call.
METHODS = frozenset(
    (
        *("open", "close", "state", "remarks", "lacking", "missing", "put", "deliver"),
        *("run", "records", "stop"),
    )
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UPLOAD = re.compile(r"[0-9a-f]{32}")
# A registry that cannot be asked for so long may have given the phone away.
_PATIENCE_S = 300.0

Look = Callable[[Collection[str]], list[Sighting]]


class KeepsLeases(Protocol):
    """What a host asks of the registry."""

    def see(self, host: str, sightings: list[Sighting]) -> list[str]: ...
    def confirm(self, key: str, phone: str, token: int) -> Purpose: ...


@dataclass(eq=False)
class _Opened:
    key: str
    phone: str
    token: int
    address: str
    agent: DeviceAgent
    context: contextlib.ExitStack
    said: list[str]
    confirmed_s: float
    runs: dict[str, Running] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def heard(self) -> tuple[str, ...]:
        said, self.said[:] = tuple(self.said), []
        return said


class HostAgent:
    """Phones of one host.

    Args:
        host: Its name in the farm.
        registry: Keeps the leases.
        look: Finds phones; those at the given addresses are in use and left in peace.
        opens: Opens a phone for a lease.
        files: Folder for programs that are sent here.
        clock: Seconds.
    """

    def __init__(
        self,
        host: str,
        registry: KeepsLeases,
        look: Look,
        opens: OpensPhones,
        files: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self._registry = registry
        self._look = look
        self._opens = opens
        self._files = files
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: dict[str, _Opened] = {}
        self._opening = threading.Lock()
        for part in files.glob("*.part"):  # of an agent that was killed
            part.unlink(missing_ok=True)

    # --- by itself, every few seconds

    def watch(self) -> None:
        """Report what is seen, and close the phones whose leases have ended.

        Raises:
            KitError: The registry cannot be reached; what is open stays so for some minutes.
        """
        with self._lock:
            opened = list(self._opened.values())
        for one in opened:
            try:
                self._registry.confirm(one.key, one.phone, one.token)
                one.confirmed_s = self._clock()
            except LeaseLost:
                self.close(one.key)
            except KitError:
                if self._clock() - one.confirmed_s > _PATIENCE_S:
                    self.close(one.key)
        busy = {one.address for one in opened}
        self._registry.see(self.host, self._look(busy))

    def leave(self) -> None:
        """Close every phone."""
        with self._lock:
            keys = list(self._opened)
        for key in keys:
            self.close(key)

    # --- for holders

    def open(
        self, key: str, phone: str, token: int, address: str, settings: RunnerSettings
    ) -> OpenPhone:
        """Claim a phone for a lease and open it; earlier leases of it end here.

        Raises:
            LeaseLost: It is no lease of this phone.
            FencedOff: The phone has seen a later lease.
            DeviceError, DeviceLost, DeviceTimeout, UsageError: As its agent.
        """
        with self._opening:
            with self._lock:
                known = self._opened.get(key)
                others = [
                    one
                    for one in self._opened.values()
                    if one.key != key and address == one.address
                ]
            if known is not None:
                return OpenPhone(info=known.agent.info(), source=known.agent.source)
            self._registry.confirm(key, phone, token)
            for other in others:
                self.close(other.key)
            said: list[str] = []
            with contextlib.ExitStack() as stack:
                given = agent_settings(settings, said.append)
                agent = stack.enter_context(self._opens(address, given, token))
                opened = _Opened(
                    key=key,
                    phone=phone,
                    token=token,
                    address=address,
                    agent=agent,
                    context=stack.pop_all(),
                    said=said,
                    confirmed_s=self._clock(),
                )
            with self._lock:
                self._opened[key] = opened
        return OpenPhone(info=agent.info(), source=agent.source, said=opened.heard())

    def close(self, key: str) -> None:
        """End what runs on a lease's phone and close it; nothing where it is not open."""
        with self._lock:
            opened = self._opened.pop(key, None)
        if opened is None:
            return
        for running in opened.runs.values():
            running.stop()
        # Whether a phone that went away takes its settings back is told at its next opening.
        with opened.lock, contextlib.suppress(KitError):
            opened.context.close()

    def state(self, key: str) -> dict[str, Any]:
        """The state of the phone now."""
        with self._held(key) as opened:
            return state_to_json(opened.agent.state())

    def remarks(self, key: str) -> tuple[str, ...]:
        """What was told about the phone that its measurements depend on."""
        with self._held(key) as opened:
            return opened.agent.remarks() if isinstance(opened.agent, HasRemarks) else ()

    def lacking(self, key: str, sizes: dict[str, int]) -> list[str]:
        """The contents that the phone does not have yet."""
        with self._held(key) as opened:
            if not isinstance(opened.agent, KeepsFiles):
                return sorted(sizes)
            return sorted(opened.agent.lacking(sizes))

    def missing(self, hashes: list[str]) -> list[str]:
        """The files, of these, that this host does not have."""
        return [sha256 for sha256 in hashes if not self._path(sha256).exists()]

    def put(
        self, sha256: str, upload: str, offset: int, is_last: bool, content: bytes = b""
    ) -> None:
        """Keep a part of a file; with the last one it is checked.

        Two phones of a host may want one file at once: each upload has a name of its own.

        Raises:
            DeviceError: The file differs from its name.
        """
        path = self._path(sha256)
        if not _UPLOAD.fullmatch(upload):
            raise UsageError(f"{upload[:80]!r} names no upload.", "Send 32 digits.")
        part = path.with_suffix(f".{upload}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if part.exists() else "wb") as stream:
            stream.seek(offset)
            stream.write(content)
            stream.truncate()
        if not is_last:
            return
        if sha256_file(part) != sha256:
            part.unlink()
            raise DeviceError(f"A program arrived damaged at {self.host}.", "Send it again.")
        part.replace(path)

    def deliver(self, key: str, hashes: list[str]) -> list[str]:
        """Copy files of this host to the phone, unless that has them; their names there."""
        with self._held(key) as opened:
            agent, files = opened.agent, {sha256: self._path(sha256) for sha256 in hashes}
            if not isinstance(agent, KeepsFiles):
                return [agent.deliver(path, sha256) for sha256, path in files.items()]
            names = agent.deliver_all(files)
            return [names[sha256] for sha256 in hashes]

    def run(self, key: str, run: str, plan: str) -> None:
        """Begin to run a plan; asked again under the same name, it goes on."""
        with self._held(key) as opened:
            if run in opened.runs:
                return
            for earlier in opened.runs.values():
                earlier.stop()
            opened.runs = {run: Running(opened.agent, load_plan(plan))}

    def records(self, key: str, run: str, start: int, wait_s: float) -> RunPart:
        """Records of a run from number `start` on; waits for the first of them."""
        with self._lock:
            opened = self._opened.get(key)
        running = opened.runs.get(run) if opened else None
        if opened is None or running is None:
            raise self._closed()
        return running.part(start, min(wait_s, 30.0), opened.heard)

    def stop(self, key: str, run: str) -> None:
        """End a run; nothing where there is none of this name."""
        with self._lock:
            opened = self._opened.get(key)
        if opened is not None and run in opened.runs:
            opened.runs[run].stop()

    @contextlib.contextmanager
    def _held(self, key: str) -> Iterator[_Opened]:
        """A lease's phone, to be used by one thread at a time.

        Raises:
            ConnectionLost: It is not open here.
        """
        with self._lock:
            opened = self._opened.get(key)
        if opened is None:
            raise self._closed()
        with opened.lock:
            yield opened

    def _closed(self) -> ConnectionLost:
        return ConnectionLost(
            f"This lease's phone is not open at {self.host} (any more).",
            "Ask for a phone again; what was kept is not measured twice.",
        )

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise UsageError(f"{sha256[:80]!r} names no file of a farm.", "Send a sha256.")
        return self._files / sha256
