"""Who is let in."""

from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="makes signatures; comes with adb-shell")

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tests.loopback.auth import AuthKind, PublicKey
from tests.loopback.messages import Command
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host


class Key:
    """A key pair as a host has it; its public half is written by an independent program."""

    def __init__(self, folder: Path) -> None:
        keygen = pytest.importorskip("adb_shell.auth.keygen", reason="needs adb-shell")
        keygen.keygen(str(folder / "adbkey"))
        self.public = (folder / "adbkey.pub").read_bytes()
        private = (folder / "adbkey").read_bytes()
        loaded = serialization.load_pem_private_key(private, None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        self.private = loaded

    def sign(self, token: bytes) -> bytes:
        return self.private.sign(token, padding.PKCS1v15(), Prehashed(hashes.SHA1()))  # noqa: S303


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    return Key(tmp_path_factory.mktemp("one")), Key(tmp_path_factory.mktemp("two"))


def sign_in(host: Host, key: Key) -> int:
    """Answer the challenge by a signature; return what the device says to it."""
    challenge = host.greet()
    assert (challenge.command, challenge.arg0) == (Command.AUTH, AuthKind.TOKEN)
    host.send(Command.AUTH, AuthKind.SIGNATURE, 0, key.sign(challenge.payload), checksum=True)
    return host.receive().command


def offer(host: Host, key: Key) -> None:
    host.send(Command.AUTH, AuthKind.PUBLIC_KEY, 0, key.public + b"\0", checksum=True)


def test_a_public_key_reads_as_the_numbers_it_was_made_of(keys: tuple[Key, Key]) -> None:
    numbers = keys[0].private.public_key().public_numbers()
    assert PublicKey.parse(keys[0].public) == PublicKey(modulus=numbers.n, exponent=numbers.e)


@pytest.mark.parametrize("text", ["", "AAAA me@host", "no base64!", b"\0\0"])
def test_what_is_no_public_key_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"adbkey\.pub"):
        PublicKey.parse(text)


def test_a_signature_by_a_known_key_lets_in(make_device: MakeDevice, keys: tuple[Key, Key]) -> None:
    device = make_device(keys=[keys[0].public])
    with Host(device.port) as host:
        assert sign_in(host, keys[0]) == Command.CNXN


def test_an_unknown_key_gets_another_challenge_and_its_offer_is_accepted_and_remembered(
    make_device: MakeDevice, keys: tuple[Key, Key]
) -> None:
    device = make_device(keys=[keys[0].public])
    with Host(device.port) as host:
        assert sign_in(host, keys[1]) == Command.AUTH
        offer(host, keys[1])
        assert host.receive().command == Command.CNXN
    with Host(device.port) as host:
        assert sign_in(host, keys[1]) == Command.CNXN


@pytest.mark.parametrize("by_fault", [False, True])
def test_a_refused_offer_gets_no_answer_and_no_stream(
    make_device: MakeDevice, keys: tuple[Key, Key], by_fault: bool
) -> None:
    device = make_device(keys=[], accept_offers=by_fault)
    device.faults.refuse_authentication = by_fault
    with Host(device.port) as host:
        assert sign_in(host, keys[0]) == Command.AUTH
        offer(host, keys[0])
        host.socket.settimeout(1.0)  # silence is waited for
        with pytest.raises(TimeoutError):
            host.receive()
    assert device.commands == []


def test_a_signature_of_another_token_is_worth_nothing(
    make_device: MakeDevice, keys: tuple[Key, Key]
) -> None:
    device = make_device(keys=[keys[0].public])
    with Host(device.port) as host:
        host.greet()
        host.send(Command.AUTH, AuthKind.SIGNATURE, 0, keys[0].sign(b"x" * 20), checksum=True)
        assert host.receive().command == Command.AUTH


def test_a_stream_before_the_handshake_ends_the_connection(make_device: MakeDevice) -> None:
    device = make_device(keys=[])
    with Host(device.port) as host:
        host.greet()
        host.send(Command.OPEN, 1, 0, b"shell:echo hi\0", checksum=True)
        assert host.socket.recv(1) == b""
