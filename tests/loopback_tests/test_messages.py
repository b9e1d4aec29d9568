"""The codec of messages."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.loopback.messages import Command, Message, ProtocolError, read_message

WORDS = st.integers(0, 2**32 - 1)
MESSAGES = st.builds(
    Message, command=WORDS, arg0=WORDS, arg1=WORDS, payload=st.binary(max_size=5000)
)


def read(data: bytes, most_bytes: int = 1 << 20, checksum: bool = True) -> Message:
    return read_message(io.BytesIO(data).read, most_bytes=most_bytes, checksum=checksum)


@given(message=MESSAGES, checksum=st.booleans())
def test_what_is_encoded_reads_back_the_same(message: Message, checksum: bool) -> None:
    assert read(message.encode(checksum), checksum=checksum) == message


@given(message=MESSAGES, position=st.integers(0, 23), bit=st.integers(0, 7))
def test_one_wrong_bit_in_command_length_sum_or_magic_is_refused(
    message: Message, position: int, bit: int
) -> None:
    raw = bytearray(message.encode())
    raw[position] ^= 1 << bit
    if 4 <= position < 12:  # the arguments are not protected
        return
    with pytest.raises((ProtocolError, IndexError)):
        # A longer length than there are bytes never comes to an end on a socket.
        read_message(_strict(bytes(raw)), most_bytes=1 << 20, checksum=True)


def _strict(data: bytes):
    stream = io.BytesIO(data)

    def take(size: int) -> bytes:
        part = stream.read(size)
        if len(part) < size:
            raise IndexError("the end")
        return part

    return take


def test_a_changed_payload_is_refused_where_checksums_are_agreed_on_only() -> None:
    raw = Message(command=Command.WRTE, payload=b"abc").encode()[:-1] + b"d"
    with pytest.raises(ProtocolError, match="adds up"):
        read(raw)
    assert read(raw, checksum=False).payload == b"abd"


def test_a_payload_larger_than_agreed_is_refused_before_it_is_read() -> None:
    header = Message(command=Command.WRTE, payload=b"x" * 4097).encode()[:24]
    with pytest.raises(ProtocolError, match="4097 bytes; at most 4096"):
        read(header, most_bytes=4096)
