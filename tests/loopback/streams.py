"""Streams over one connection: many at once, one message each way under way in each.

A WRTE is answered by an OKAY only when its payload has been taken, so a slow
service slows the host down, as on a phone.
"""

import queue
import threading
from collections.abc import Callable

from .messages import Command, Message, ProtocolError


class StreamClosed(Exception):
    """The other side closed the stream, or the connection ended."""


class Stream:
    """One open stream, the device's end.

    Args:
        send: Puts a message on the wire; raises `Disconnected`.
        local: This side's number of the stream.
        remote: The host's.
        most_bytes: The largest payload that was agreed on.
    """

    def __init__(
        self, send: Callable[[Message], None], *, local: int, remote: int, most_bytes: int
    ) -> None:
        self.local = local
        self.remote = remote
        self._send = send
        self._most_bytes = most_bytes
        self._arrived: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._buffer = bytearray()
        self._unanswered = 0
        self._writable = threading.Semaphore(1)
        self._one_writer = threading.Lock()
        self._ending = threading.Lock()
        self._closed = threading.Event()
        self._on_close: Callable[[], None] = lambda: None

    # What the connection's reader calls.

    def arrived(self, payload: bytes) -> None:
        """Keep a payload until the service takes it.

        Raises:
            ProtocolError: The one before has not been answered yet.
        """
        if self._unanswered:
            raise ProtocolError(f"Stream {self.remote} sent WRTE before OKAY.")
        self._unanswered += 1
        self._arrived.put(payload)

    def acknowledged(self) -> None:
        """The host took the last payload: the next may go."""
        self._writable.release()

    def hang_up(self) -> None:
        """The stream is over: wake whoever waits."""
        self._closed.set()
        self._arrived.put(None)
        self._writable.release()
        self._on_close()

    # What services call.

    @property
    def closed(self) -> bool:
        """Whether the stream is over."""
        return self._closed.is_set()

    def when_closed(self, action: Callable[[], None]) -> None:
        """Call this as soon as the stream is over; at once if it is already."""
        self._on_close = action
        if self.closed:
            action()

    def read(self) -> bytes:
        """Return what came next, as it came.

        Raises:
            StreamClosed: Nothing more will come.
        """
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            return data
        return self._take()

    def read_exactly(self, size: int) -> bytes:
        """Return the next `size` bytes.

        Raises:
            StreamClosed: The stream ended before them.
        """
        while len(self._buffer) < size:
            self._buffer += self._take()
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    def _take(self) -> bytes:
        payload = self._arrived.get()
        if payload is None:
            self._arrived.put(None)
            raise StreamClosed
        self._unanswered -= 1
        self._send(Message(command=Command.OKAY, arg0=self.local, arg1=self.remote))
        return payload

    def write(self, data: bytes) -> None:
        """Send all of it, waiting for the host's OKAY after each piece but the last.

        Raises:
            StreamClosed: The host does not want more.
            Disconnected: The connection ended.
        """
        with self._one_writer:
            for start in range(0, len(data), self._most_bytes):
                self._writable.acquire()
                if self.closed:
                    self._writable.release()
                    raise StreamClosed
                piece = data[start : start + self._most_bytes]
                self._send(
                    Message(command=Command.WRTE, arg0=self.local, arg1=self.remote, payload=piece)
                )

    def finish(self) -> None:
        """Close once the host has taken the last payload."""
        with self._one_writer:
            self._writable.acquire()
            self._writable.release()
        self.close()

    def close(self) -> None:
        """Say that nothing more comes; safe to call twice, and after the host did."""
        with self._ending:
            if self.closed:
                return
            self._closed.set()
        try:
            self._send(Message(command=Command.CLSE, arg0=self.local, arg1=self.remote))
        finally:
            self.hang_up()
