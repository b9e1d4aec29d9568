"""One host's connection: handshake, then streams until one side ends it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .auth import AuthKind, Gatekeeper
from .faults import Cut, Faults
from .messages import (
    VERSION_CHECKSUM,
    VERSION_SKIP_CHECKSUM,
    Command,
    Disconnected,
    Message,
    ProtocolError,
    read_message,
)
from .streams import Stream, StreamClosed

Service = Callable[[Stream], None]
FindService = Callable[[str, frozenset[str]], Service | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What the device speaks at best; hosts may speak less."""

    version: int = VERSION_SKIP_CHECKSUM
    most_bytes: int = 1 << 20
    features: tuple[str, ...] = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir")


MODERN = Wire()
OLD = Wire(version=VERSION_CHECKSUM, most_bytes=4096, features=())


class Connection:
    """Serves one accepted socket; `serve` returns when it is over.

    Args:
        opened: The socket; owned from now on.
        wire: What the device speaks.
        banner: The device's answer to CNXN, without its features.
        gatekeeper: Who may come in.
        faults: What goes wrong.
        find_service: Name and the features in force to a service, or None.
    """

    def __init__(
        self,
        opened: socket.socket,
        *,
        wire: Wire,
        banner: bytes,
        gatekeeper: Gatekeeper,
        faults: Faults,
        find_service: FindService,
    ) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = opened
        self._wire = wire
        self._banner = banner
        self._gatekeeper = gatekeeper
        self._faults = faults
        self._find_service = find_service
        self._incoming = opened.makefile("rb", buffering=1 << 18)
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0
        self._over = threading.Event()
        self._version = wire.version
        self._most_bytes = wire.most_bytes
        self._features: frozenset[str] = frozenset()
        self._token = b""
        self._inside = False

    def serve(self) -> None:
        """Read and obey messages until the connection ends; raises nothing."""
        try:
            while True:
                self._obey(self._next_message())
        except (Disconnected, ProtocolError, OSError):
            self.cut()
        finally:
            self._hang_up_all()  # what was opened while `cut` was under way
            self._incoming.close()
            self._socket.close()

    def cut(self) -> None:
        """End the connection now, in the middle of whatever goes on."""
        if self._over.is_set():
            return
        self._over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader, which closes
        self._hang_up_all()

    def send(self, message: Message) -> None:
        """Put one message on the wire, subject to the faults.

        Raises:
            Disconnected: The connection is over.
        """
        data = message.encode(checksum=self._version < VERSION_SKIP_CHECKSUM)
        faults = self._faults
        with self._sending:
            faults.wait_while_frozen(self._over.is_set)
            if faults.delay_s:
                self._over.wait(faults.delay_s)
            passes, last = faults.allowance("drop_after_sent_bytes", len(data))
            self._send_bytes(data[:passes])
        if last:
            self.cut()
            raise Disconnected

    def _send_bytes(self, data: bytes) -> None:
        try:
            rate = self._faults.bytes_per_second
            if rate is None:
                self._socket.sendall(data)
                return
            step = max(1, int(rate / 20))
            for start in range(0, len(data), step):
                piece = data[start : start + step]
                self._socket.sendall(piece)
                time.sleep(len(piece) / rate)
        except OSError as error:
            raise Disconnected from error

    def _next_message(self) -> Message:
        self._faults.wait_while_frozen(self._over.is_set)
        # Before the handshake the host cannot know whether checksums are wanted: it sends them.
        checksum = not self._inside or self._version < VERSION_SKIP_CHECKSUM
        return read_message(self._read, most_bytes=self._most_bytes, checksum=checksum)

    def _read(self, size: int) -> bytes:
        _, last = self._faults.allowance("drop_after_received_bytes", size)
        data: bytes = self._incoming.read(size)
        if last or len(data) < size:
            raise Disconnected
        self._faults.wait_while_frozen(self._over.is_set)
        return data

    def _obey(self, message: Message) -> None:
        if message.command == Command.CNXN:
            self._greet(message)
        elif message.command == Command.AUTH:
            self._authenticate(message)
        elif not self._inside:
            raise ProtocolError("A stream was asked for before the handshake.")
        elif message.command == Command.OPEN:
            self._open(message)
        elif (stream := self._streams.get(message.arg1)) is None:
            return  # for a stream that has just ended
        elif message.command == Command.WRTE:
            stream.arrived(message.payload)
        elif message.command == Command.OKAY:
            stream.acknowledged()
        elif message.command == Command.CLSE:
            self._streams.pop(message.arg1, None)
            with contextlib.suppress(Disconnected):
                stream.close()

    def _greet(self, message: Message) -> None:
        if not message.payload.startswith(b"host:"):
            raise ProtocolError("Only hosts may connect.")
        self._hang_up_all()
        self._version = min(message.arg0, self._wire.version)
        self._most_bytes = min(message.arg1, self._wire.most_bytes)
        spoken = message.payload.rstrip(b"\0").decode(errors="replace").partition("features=")[2]
        wanted = {word for word in spoken.partition(";")[0].split(",") if word}
        self._features = frozenset(wanted) & frozenset(self._wire.features)
        if self._gatekeeper.open_door and not self._faults.refuse_authentication:
            self._let_in()
        else:
            self._challenge()

    def _challenge(self) -> None:
        self._token = self._gatekeeper.token()
        self.send(Message(command=Command.AUTH, arg0=AuthKind.TOKEN, payload=self._token))

    def _authenticate(self, message: Message) -> None:
        refuse = self._faults.refuse_authentication
        if message.arg0 == AuthKind.SIGNATURE:
            if not refuse and self._gatekeeper.signed(self._token, message.payload):
                self._let_in()
            else:
                self._challenge()
        elif message.arg0 == AuthKind.PUBLIC_KEY:
            # A refused key gets no answer at all: the dialogue on the screen stays unanswered.
            if not refuse and self._gatekeeper.offered(message.payload):
                self._let_in()
        else:
            raise ProtocolError(f"AUTH of the unknown kind {message.arg0}.")

    def _let_in(self) -> None:
        features = f"features={','.join(self._wire.features)}".encode()
        payload = self._banner + (features if self._wire.features else b"")
        self.send(
            Message(
                command=Command.CNXN,
                arg0=self._wire.version,
                arg1=self._wire.most_bytes,
                payload=payload,
            )
        )
        self._inside = True

    def _open(self, message: Message) -> None:
        name = message.payload.rstrip(b"\0").decode("utf-8", "surrogateescape")
        service = self._find_service(name, self._features)
        if service is None or message.arg0 == 0:
            self.send(Message(command=Command.CLSE, arg1=message.arg0))
            return
        self._last_stream += 1
        stream = Stream(
            self.send,
            local=self._last_stream,
            remote=message.arg0,
            most_bytes=self._most_bytes,
        )
        self._streams[stream.local] = stream
        self.send(Message(command=Command.OKAY, arg0=stream.local, arg1=stream.remote))
        threading.Thread(
            target=self._run, args=(service, stream), name=f"loopback {name[:30]}", daemon=True
        ).start()

    def _run(self, service: Service, stream: Stream) -> None:
        try:
            service(stream)
        except (StreamClosed, Disconnected):
            pass
        except (Cut, ProtocolError):
            self.cut()
        finally:
            with contextlib.suppress(Disconnected):
                stream.finish()
            self._streams.pop(stream.local, None)

    def _hang_up_all(self) -> None:
        while True:
            try:
                _, stream = self._streams.popitem()  # one may be opened meanwhile
            except KeyError:
                return
            stream.hang_up()
