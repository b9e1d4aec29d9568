"""The loopback device: listens, accepts, and finds services for streams."""

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from .auth import Gatekeeper
from .connection import MODERN, Connection, Service, Wire
from .faults import Faults
from .files import RootFolder
from .ground import Ground, end_processes, find_ground, tag_of
from .phone import Phone, this_host
from .shell import Shell, ShellSettings
from .sync import Sync, Traffic
from .tools import Settings, write_phone

LOCALHOST = "127.0.0.1"


class LoopbackDevice:
    """An ADB daemon on 127.0.0.1 in threads of this process; a context manager.

        with LoopbackDevice(tmp_path) as device:
            connect_to("127.0.0.1", device.port)
            device.faults.drop_after_lines = 3

    Args:
        root: Folder that holds the device's files; the kit's own state on it stays
            from one device to the next, its settings do not.
        phone: What it says of itself; by default a phone with this machine's CPUs.
        wire: `MODERN` or `OLD` protocol, or another mixture.
        port: Where to listen; 0 picks a free one, which `restart` keeps.
        keys: Public keys (content of `adbkey.pub`) that may come in; None opens the
            door to everybody.
        accept_offers: With keys: whether a new key is accepted when it is offered.
        ground: `auto`, `namespace` or `prefix`; see `ground`.
        keep: The settings of an earlier device at this root stay too, as when a daemon
            that was killed comes back.

    Attributes:
        faults: What goes wrong, to be changed at any time.
        traffic: Bytes and files moved by sync.
        settings: What commands changed.
        commands: Every command that was run, in order.
        connections: How many were accepted so far.
    """

    def __init__(
        self,
        root: Path,
        *,
        phone: Phone | None = None,
        wire: Wire = MODERN,
        port: int = 0,
        keys: Iterable[bytes | str] | None = None,
        accept_offers: bool = True,
        faults: Faults | None = None,
        ground: str = "auto",
        keep: bool = False,
    ) -> None:
        self.files = RootFolder(root)
        self.phone = phone or this_host()
        self.port = port
        self.faults = faults or Faults()
        self.traffic = Traffic()
        self.commands: list[str] = []
        self.connections = 0
        self.settings: Settings = write_phone(self.phone, self.files, keep=keep)
        self._gatekeeper = Gatekeeper(
            known=keys or (), accept_offers=accept_offers, open_door=keys is None
        )
        self._wire = wire
        self._wanted_ground = ground
        self._ground: Ground | None = None
        self._tag = tag_of(root)
        self._listening: socket.socket | None = None
        self._open: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._changing = threading.RLock()

    def __enter__(self) -> Self:
        self._ground = find_ground(self.files.root, self._wanted_ground)
        try:
            self.start()
        except BaseException:
            self._ground.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """HOST:PORT, which is also its serial number to adb."""
        return f"{LOCALHOST}:{self.port}"

    @property
    def ground(self) -> str:
        """Which ground commands run on: `namespace` or `prefix`."""
        assert self._ground is not None
        return self._ground.name

    def start(self) -> None:
        """Listen; on the same port as before if there was one.

        Raises:
            OSError: The port is taken.
        """
        listening = socket.create_server((LOCALHOST, self.port))
        self.port = listening.getsockname()[1]
        self._listening = listening
        self._begin(self._accept, listening)

    def stop(self) -> None:
        """Cut all connections and refuse new ones, as if adbd had been killed."""
        with self._changing:
            if self._listening is not None:
                # Closing alone would leave the accepting thread asleep.
                with contextlib.suppress(OSError):
                    self._listening.shutdown(socket.SHUT_RDWR)
                self._listening.close()
                self._listening = None
            opened = list(self._open)
        for connection in opened:
            connection.cut()
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(timeout=60)

    def restart(self) -> None:
        """`stop`, then `start` on the same port; files and settings stay."""
        self.stop()
        self.start()

    def drop_connections(self) -> None:
        """Cut what is connected now; new connections are welcome."""
        with self._changing:
            opened = list(self._open)
        for connection in opened:
            connection.cut()

    def close(self) -> None:
        """Stop for good and end every process that a command left behind."""
        self.stop()
        end_processes(self.files.root)
        if self._ground is not None:
            self._ground.close()

    def _begin(self, work: Callable[[socket.socket], None], on: socket.socket) -> None:
        def run() -> None:
            try:
                work(on)
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="loopback device", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                opened, _ = listening.accept()
            except OSError:
                return  # stopped
            self._begin(self._serve, opened)

    def _serve(self, opened: socket.socket) -> None:
        connection = Connection(
            opened,
            wire=self._wire,
            banner=self.phone.banner(),
            gatekeeper=self._gatekeeper,
            faults=self.faults,
            find_service=self._find_service,
        )
        with self._changing:
            if self._listening is None:
                connection.cut()
            self.connections += 1
            self._open.add(connection)
        try:
            connection.serve()
        finally:
            with self._changing:
                self._open.discard(connection)

    def _find_service(self, name: str, features: frozenset[str]) -> Service | None:
        kind, _, rest = name.partition(":")
        if kind == "sync" and not rest:
            return Sync(self.files, self.faults, self.traffic)
        if kind == "exec":
            return self._shell(rest, packets=False)
        words = kind.split(",")
        if words[0] == "shell":
            packets = "v2" in words[1:]
            if packets and "shell_v2" not in features:
                return None
            return self._shell(rest, packets=packets)
        return None

    def _shell(self, command: str, packets: bool) -> Shell:
        assert self._ground is not None
        self.commands.append(command)
        environment = self._ground.environment() | {
            "ANDROID_ROOT": "/system",
            "LOOPBACK_TAG": self._tag,
            "TASKSET": shutil.which("taskset") or "",
            "USER": "shell",
        }
        settings = ShellSettings(
            ground=self._ground,
            root=self.files.root,
            environment=environment,
            faults=self.faults,
            room_bytes=self._room_bytes,
            old_terminal=self.phone.old_terminal,
        )
        return Shell(settings, command, packets)

    def _room_bytes(self) -> int | None:
        """What the quota leaves; told to `df` too."""
        quota, told = self.faults.quota_bytes, self.settings.folder / "quota_kb"
        if quota is None:
            told.unlink(missing_ok=True)
            return None
        told.write_text(f"{quota // 1024}\n", encoding="utf-8")
        return max(0, quota - self.files.used_bytes())
