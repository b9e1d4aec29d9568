"""File transfer over a device's `sync:` service."""

import struct
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from device_agents.adb.transport import Stream
from search.errors import ConnectionLost, DeviceError

CHUNK_BYTES = 64 * 1024  # the largest that a daemon takes
_BUFFER_BYTES = 512 * 1024
_HEADER = struct.Struct("<4sI")
_FILE = 0o100000


def send_file(
    stream: Stream,
    source: BinaryIO,
    path: str,
    mode: int,
    timeout_s: float,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a file on the device; returns its size. `progress` gets each part's size.

    Raises:
        DeviceError: The device could not write it; its reason is in the message.
        ConnectionLost, DeviceTimeout: From the stream.
    """
    total = 0
    try:
        stream.send(_packet(b"SEND", f"{path},{_FILE | mode}".encode()), timeout_s)
        for part in _parts(source):
            stream.send(part, timeout_s)
            size = len(part) - _HEADER.size * -(-len(part) // (CHUNK_BYTES + _HEADER.size))
            total += size
            progress(size)
        stream.send(_HEADER.pack(b"DONE", int(time.time())), timeout_s)
    except ConnectionLost:
        # A device that refuses in the middle of a file sends the reason and closes.
        _raise_refusal(stream, path, timeout_s)
        raise
    reply = _Reader(stream, timeout_s)
    word, length = reply.header()
    if word == b"FAIL":
        raise _refused(path, reply.take(length))
    if word != b"OKAY":
        raise ConnectionLost("The device's answer to a file makes no sense.")
    return total


def receive_file(stream: Stream, path: str, timeout_s: float) -> Iterator[bytes]:
    """Yield the content of a file of the device.

    Raises:
        DeviceError: There is no such file, or it cannot be read.
        ConnectionLost, DeviceTimeout: From the stream, or the file was cut off.
    """
    stream.send(_packet(b"RECV", path.encode()), timeout_s)
    reply = _Reader(stream, timeout_s)
    while True:
        word, length = reply.header()
        if word == b"DONE":
            return
        if word == b"FAIL":
            raise _refused(path, reply.take(length))
        if word != b"DATA" or length > CHUNK_BYTES:
            raise ConnectionLost("The device's file makes no sense.")
        yield reply.take(length)


def _packet(word: bytes, content: bytes) -> bytes:
    return _HEADER.pack(word, len(content)) + content


def _parts(source: BinaryIO) -> Iterator[bytes]:
    """The file as DATA packets, several at a time."""
    while content := source.read(_BUFFER_BYTES):
        pieces = range(0, len(content), CHUNK_BYTES)
        yield b"".join(_packet(b"DATA", content[at : at + CHUNK_BYTES]) for at in pieces)


def _raise_refusal(stream: Stream, path: str, timeout_s: float) -> None:
    reply = _Reader(stream, min(timeout_s, 1.0))
    try:
        word, length = reply.header()
        reason = reply.take(length) if word == b"FAIL" else None
    except Exception:  # nothing readable: the connection itself is gone
        return
    if reason is not None:
        raise _refused(path, reason)


def _refused(path: str, reason: bytes) -> DeviceError:
    text = "".join(c if c.isprintable() else "?" for c in reason.decode(errors="replace"))[:200]
    if "no space" in text.lower():
        return DeviceError(
            f"The device is full: {text}.",
            "Make room on it, or remove the kit's files: python -m profiler devices clean.",
        )
    return DeviceError(f"The device refused the file {path}: {text}.")


class _Reader:
    """Reads exact numbers of bytes from a stream."""

    def __init__(self, stream: Stream, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._buffer = bytearray()

    def header(self) -> tuple[bytes, int]:
        word, length = _HEADER.unpack(self.take(_HEADER.size))
        return word, length

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            part = self._stream.recv(self._timeout_s)
            if not part:
                raise ConnectionLost("The device broke off in the middle of a file.")
            self._buffer += part
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
