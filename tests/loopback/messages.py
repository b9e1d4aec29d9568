"""The messages of the ADB wire protocol, as bytes and back.

Six little-endian 32-bit words (command, two arguments, payload length, payload
checksum, magic) and the payload. Source: AOSP, packages/modules/adb,
docs/dev/protocol.md.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct("<6I")
VERSION_CHECKSUM = 0x01000000
VERSION_SKIP_CHECKSUM = 0x01000001
_WORD = 0xFFFFFFFF


class Command(IntEnum):
    """What a message asks for."""

    CNXN = int.from_bytes(b"CNXN", "little")
    AUTH = int.from_bytes(b"AUTH", "little")
    OPEN = int.from_bytes(b"OPEN", "little")
    OKAY = int.from_bytes(b"OKAY", "little")
    WRTE = int.from_bytes(b"WRTE", "little")
    CLSE = int.from_bytes(b"CLSE", "little")


class ProtocolError(Exception):
    """The other side sent what the protocol does not allow; the connection ends."""


class Disconnected(Exception):
    """The other side went away, or a fault cut the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message.

    Args:
        command: A word of `Command`; others are kept as they are.
        arg0: The sender's stream, or the version, or the kind of AUTH.
        arg1: The receiver's stream, or the largest payload.
    """

    command: int
    arg0: int = 0
    arg1: int = 0
    payload: bytes = b""

    def encode(self, checksum: bool = True) -> bytes:
        """The bytes on the wire; new peers (version 0x01000001) need no checksum."""
        total = sum(self.payload) & _WORD if checksum else 0
        header = HEADER.pack(
            self.command, self.arg0, self.arg1, len(self.payload), total, self.command ^ _WORD
        )
        return header + self.payload


def read_message(
    read: Callable[[int], bytes], *, most_bytes: int, checksum: bool = True
) -> Message:
    """Read one message.

    Args:
        read: Returns exactly as many bytes as it is asked for.
        most_bytes: The largest payload that was agreed on.
        checksum: Whether a wrong checksum is refused.

    Raises:
        ProtocolError: Wrong magic, length or checksum.
    """
    command, arg0, arg1, length, total, magic = HEADER.unpack(read(HEADER.size))
    if magic != command ^ _WORD:
        raise ProtocolError(f"The magic {magic:#x} does not belong to the command {command:#x}.")
    if length > most_bytes:
        raise ProtocolError(f"A payload of {length} bytes; at most {most_bytes} were agreed on.")
    payload = read(length) if length else b""
    if checksum and total != sum(payload) & _WORD:
        raise ProtocolError(f"The payload adds up to {sum(payload)}, announced was {total}.")
    return Message(command=command, arg0=arg0, arg1=arg1, payload=payload)
