"""The host's side of the protocol in its plainest form, to test the daemon with."""

import socket
import struct
from collections import deque

from tests.loopback.messages import (
    VERSION_SKIP_CHECKSUM,
    Command,
    Disconnected,
    Message,
    read_message,
)
from tests.waiting import PATIENCE_S

HOST_FEATURES = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir"
TIMEOUT_S = PATIENCE_S


class Host:
    """One connection; `connect` shakes hands where no key is asked for."""

    def __init__(
        self,
        port: int,
        *,
        version: int = VERSION_SKIP_CHECKSUM,
        most_bytes: int = 1 << 20,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.version = version
        self.most_bytes = most_bytes
        self.streams: dict[int, HostStream] = {}
        self.banner = ""

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def greet(self) -> Message:
        """Send CNXN and return the answer."""
        banner = f"host::features={HOST_FEATURES}".encode()
        self.send(Command.CNXN, self.version, self.most_bytes, banner, checksum=True)
        return self.receive()

    def connect(self) -> "Host":
        answer = self.greet()
        assert answer.command == Command.CNXN, answer
        self.agree(answer)
        return self

    def agree(self, answer: Message) -> None:
        """Take over what the device's CNXN says."""
        self.version = min(self.version, answer.arg0)
        self.most_bytes = min(self.most_bytes, answer.arg1)
        self.banner = answer.payload.decode("utf-8", "replace")

    def send(
        self, command: int, arg0: int, arg1: int, payload: bytes = b"", checksum: bool | None = None
    ) -> None:
        wanted = self.version < VERSION_SKIP_CHECKSUM if checksum is None else checksum
        message = Message(command=command, arg0=arg0, arg1=arg1, payload=payload)
        self.socket.sendall(message.encode(checksum=wanted))

    def receive(self) -> Message:
        old = self.version < VERSION_SKIP_CHECKSUM
        return read_message(self._exactly, most_bytes=self.most_bytes, checksum=old)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise Disconnected
            data += part
        return bytes(data)

    def open(self, service: str) -> "HostStream":
        stream = HostStream(self, len(self.streams) + 1)
        self.streams[stream.local] = stream
        self.send(Command.OPEN, stream.local, 0, service.encode() + b"\0")
        while not (stream.remote or stream.closed):
            self.pump()
        return stream

    def pump(self) -> None:
        """Read one message and give it to its stream."""
        message = self.receive()
        stream = self.streams[message.arg1]
        if message.command == Command.OKAY:
            stream.remote = message.arg0
            stream.answers += 1
        elif message.command == Command.WRTE:
            assert not stream.inbox, "the device sent WRTE before OKAY"
            stream.inbox.append(message.payload)
        elif message.command == Command.CLSE:
            stream.closed = True

    def v1(self, command: str) -> bytes:
        return self.open(f"shell:{command}").read_all()

    def v2(self, command: str, stdin: bytes = b"") -> tuple[int | None, bytes, bytes]:
        """Exit code (None if there came none), standard output and error."""
        stream = self.open(f"shell,v2,raw:{command}")
        if stdin:
            stream.write(struct.pack("<BI", 0, len(stdin)) + stdin)
        stream.write(struct.pack("<BI", 3 + 1, 0))
        return unpacked(stream.read_all())


class HostStream:
    """The host's end of a stream."""

    def __init__(self, host: Host, local: int) -> None:
        self.host = host
        self.local = local
        self.remote = 0
        self.answers = 0
        self.inbox: deque[bytes] = deque()
        self.closed = False
        self._rest = b""

    def read(self) -> bytes:
        """What came next; empty at the end."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        while not self.inbox:
            if self.closed:
                return b""
            self.host.pump()
        return self._take()

    def _take(self) -> bytes:
        payload = self.inbox.popleft()
        self.host.send(Command.OKAY, self.local, self.remote)
        return payload

    def read_exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            held, self._rest = self._rest, b""
            part = self.read()
            self._rest = held + part
            if not part:
                raise Disconnected
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def read_all(self) -> bytes:
        parts = []
        while part := self.read():
            parts.append(part)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.host.most_bytes):
            before = self.answers
            piece = data[start : start + self.host.most_bytes]
            self.host.send(Command.WRTE, self.local, self.remote, piece)
            while self.answers == before and not self.closed:
                if self.inbox:  # a command that answers while it is written to
                    self._rest += self.inbox[0]
                    self._take()
                else:
                    self.host.pump()

    def close(self) -> None:
        self.host.send(Command.CLSE, self.local, self.remote)


def unpacked(data: bytes) -> tuple[int | None, bytes, bytes]:
    """Packets of shell version 2 as exit code, standard output and error."""
    code, streams = None, {1: b"", 2: b""}
    while data:
        kind, size = struct.unpack_from("<BI", data)
        content, data = data[5 : 5 + size], data[5 + size :]
        if kind == 3:
            code = content[0]
        else:
            streams[kind] += content
    return code, streams[1], streams[2]
