"""The service `sync:`: files to and from the device, versions 1 and 2 of stat and list.

Source: AOSP, packages/modules/adb, file_sync_protocol.h and docs/dev/sync.md.
"""

import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .faults import Faults
from .files import RootFolder
from .messages import ProtocolError
from .streams import Stream

REQUEST = struct.Struct("<4sI")
STAT_V1 = struct.Struct("<4s3I")
STAT_V2 = struct.Struct("<4sI2Q4IQ3q")
MOST_CHUNK_BYTES = 1 << 16
MOST_PATH_BYTES = 1024
NO_SPACE = "No space left on device"


@dataclass(slots=True)
class Traffic:
    """What was moved since the device was made."""

    bytes_pushed: int = 0
    bytes_pulled: int = 0
    files_pushed: int = 0
    files_pulled: int = 0


class Sync:
    """Answers one stream's requests until QUIT.

    Args:
        files: The device's file system.
        faults: For the quota.
        traffic: Where bytes and files are counted.
    """

    def __init__(self, files: RootFolder, faults: Faults, traffic: Traffic) -> None:
        self._files = files
        self._faults = faults
        self._traffic = traffic

    def __call__(self, stream: Stream) -> None:
        """Serve the stream.

        Raises:
            ProtocolError: An unknown request, or a chunk that is too large.
        """
        answers: dict[bytes, Callable[[Stream, str], None]] = {
            b"STAT": self._stat_v1,
            b"STA2": lambda stream, path: self._stat_v2(stream, path, b"STA2"),
            b"LST2": lambda stream, path: self._stat_v2(stream, path, b"LST2"),
            b"LIST": lambda stream, path: self._list(stream, path, _entry_v1, STAT_V1.size + 4),
            b"LIS2": lambda stream, path: self._list(stream, path, _entry_v2, STAT_V2.size + 4),
            b"SEND": self._receive_file,
            b"RECV": self._send_file,
        }
        while True:
            word, size = REQUEST.unpack(stream.read_exactly(REQUEST.size))
            if word == b"QUIT":
                return
            if word not in answers or size > MOST_PATH_BYTES:
                _fail(stream, f"unknown command {word!r}")
                raise ProtocolError(f"sync does not know {word!r}.")
            answers[word](stream, os.fsdecode(stream.read_exactly(size)))

    def _look(self, path: str, follow: bool) -> os.stat_result:
        return os.lstat(self._files.resolve(path, follow_last=follow))

    def _stat_v1(self, stream: Stream, path: str) -> None:
        try:
            found = self._look(path, follow=False)
        except OSError:
            stream.write(STAT_V1.pack(b"STAT", 0, 0, 0))
            return
        stream.write(_entry_v1(b"STAT", found))

    def _stat_v2(self, stream: Stream, path: str, word: bytes) -> None:
        try:
            stream.write(_entry_v2(word, self._look(path, follow=word == b"STA2")))
        except OSError as error:
            stream.write(STAT_V2.pack(word, error.errno or 1, *(0,) * 10))

    def _list(
        self,
        stream: Stream,
        path: str,
        entry: Callable[[bytes, os.stat_result], bytes],
        done_bytes: int,
    ) -> None:
        word = b"DENT" if entry is _entry_v1 else b"DNT2"
        with suppress(OSError):  # a folder that cannot be read is empty, as on a phone
            folder = self._files.resolve(path)
            out = bytearray()
            inside = {path.name: path for path in sorted(folder.iterdir())}
            for name, place in {".": folder, "..": folder, **inside}.items():
                with suppress(FileNotFoundError):
                    raw = os.fsencode(name)
                    out += entry(word, place.lstat()) + struct.pack("<I", len(raw)) + raw
            stream.write(bytes(out))
        stream.write(b"DONE" + b"\0" * (done_bytes - 4))

    def _send_file(self, stream: Stream, path: str) -> None:
        try:
            with self._files.resolve(path).open("rb") as file:
                while data := file.read(MOST_CHUNK_BYTES):
                    self._traffic.bytes_pulled += len(data)
                    stream.write(REQUEST.pack(b"DATA", len(data)) + data)
        except OSError as error:
            _fail(stream, f"open failed: {error.strerror}")
            return
        self._traffic.files_pulled += 1
        stream.write(REQUEST.pack(b"DONE", 0))

    def _receive_file(self, stream: Stream, path_and_mode: str) -> None:
        path, _, mode_text = path_and_mode.rpartition(",")
        mode = int(mode_text) if mode_text.isascii() and mode_text.isdigit() else 0
        chunks = _Chunks(stream)
        try:
            self._store(path, mode, chunks)
        except OSError as error:
            _fail(stream, error.strerror or "failed")
            for _ in chunks:  # the host goes on until it reads the answer
                pass
            return
        self._traffic.files_pushed += 1
        stream.write(REQUEST.pack(b"OKAY", 0))

    def _store(self, path: str, mode: int, chunks: "_Chunks") -> None:
        with _explained("couldn't create file: "):
            place = self._files.resolve(path, follow_last=False)
            self._files.check_writable(path, place)
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                place.unlink()
        if stat.S_ISLNK(mode):
            place.symlink_to(os.fsdecode(b"".join(chunks).rstrip(b"\0")))
            return
        with _explained("couldn't create file: "):
            file = place.open("xb", buffering=0)
        with file:
            try:
                self._write(file.write, chunks)
            except OSError:
                place.unlink()
                raise
        place.chmod(mode & 0o777)
        os.utime(place, (chunks.modified_s, chunks.modified_s))

    def _write(self, write: Callable[[bytes], int | None], chunks: "_Chunks") -> None:
        quota = self._faults.quota_bytes
        room = None if quota is None else quota - self._files.used_bytes()
        for data in chunks:
            if room is not None:
                room -= len(data)
                if room < 0:
                    raise OSError(28, f"write failed: {NO_SPACE}")
            self._traffic.bytes_pushed += len(data)
            view = memoryview(data)
            while view:
                view = view[write(bytes(view)) or 0 :]


class _Chunks:
    """The DATA of one SEND, up to its DONE; `modified_s` is known after that."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._over = False
        self.modified_s = 0

    def __iter__(self) -> Iterator[bytes]:
        while not self._over:
            word, size = REQUEST.unpack(self._stream.read_exactly(REQUEST.size))
            if word == b"DONE":
                self._over = True
                self.modified_s = size
            elif word != b"DATA" or size > MOST_CHUNK_BYTES:
                raise ProtocolError(f"{word!r} of {size} bytes inside a SEND.")
            else:
                yield self._stream.read_exactly(size)


@contextmanager
def _explained(prefix: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{prefix}{error.strerror}") from error


def _entry_v1(word: bytes, found: os.stat_result) -> bytes:
    most = 0xFFFFFFFF
    return STAT_V1.pack(word, found.st_mode, found.st_size & most, int(found.st_mtime) & most)


def _entry_v2(word: bytes, found: os.stat_result) -> bytes:
    owner = (found.st_mode, found.st_nlink, found.st_uid, found.st_gid)
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    return STAT_V2.pack(word, 0, found.st_dev, found.st_ino, *owner, found.st_size, *times)


def _fail(stream: Stream, message: str) -> None:
    raw = message.encode("utf-8", "replace")
    stream.write(REQUEST.pack(b"FAIL", len(raw)) + raw)
