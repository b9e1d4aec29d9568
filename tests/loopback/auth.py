"""RSA authentication, the device's side.

The host signs a random token; a signature by a known key lets it in, otherwise
it offers its public key, which the owner accepts or does not answer. Source:
AOSP, packages/modules/adb, protocol.md (AUTH) and libcrypto_utils
(android_pubkey); PKCS #1 v1.5 signatures: RFC 8017, section 8.2.2.
"""

import base64
import binascii
import hmac
import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

TOKEN_BYTES = 20
_MODULUS_BYTES = 256
_LAYOUT = struct.Struct(f"<II{_MODULUS_BYTES}s{_MODULUS_BYTES}sI")
_SHA1_PREFIX = bytes.fromhex("3021300906052b0e03021a05000414")


class AuthKind(IntEnum):
    """First argument of an AUTH message."""

    TOKEN = 1
    SIGNATURE = 2
    PUBLIC_KEY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An RSA public key of 2048 bits."""

    modulus: int
    exponent: int

    @classmethod
    def parse(cls, text: bytes | str) -> "PublicKey":
        """Read the content of an `adbkey.pub`: base64 of Android's structure, then a comment.

        Raises:
            ValueError: It is something else.
        """
        words = (text.encode() if isinstance(text, str) else text).rstrip(b"\0").split()
        try:
            raw = base64.b64decode(words[0], validate=True)
            size, _, modulus, _, exponent = _LAYOUT.unpack(raw)
        except (IndexError, binascii.Error, struct.error) as error:
            raise ValueError("This is no public key of adb (adbkey.pub).") from error
        if size * 4 != _MODULUS_BYTES:
            raise ValueError(f"A key of {size * 32} bits; adb uses 2048.")
        return cls(modulus=int.from_bytes(modulus, "little"), exponent=exponent)

    def verifies(self, token: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the token (which stands for a SHA-1 hash)."""
        if len(signature) != _MODULUS_BYTES:
            return False
        opened = pow(int.from_bytes(signature, "big"), self.exponent, self.modulus)
        digest = _SHA1_PREFIX + token
        padding = b"\xff" * (_MODULUS_BYTES - len(digest) - 3)
        expected = b"\x00\x01" + padding + b"\x00" + digest
        return hmac.compare_digest(opened.to_bytes(_MODULUS_BYTES, "big"), expected)


class Gatekeeper:
    """Which hosts may come in; shared by all connections of a device.

    Args:
        known: Public keys allowed from the start, each as in `adbkey.pub`.
        accept_offers: Whether the owner says yes to a new key; else nobody answers.
        open_door: Nobody is asked for a key at all.
    """

    def __init__(
        self,
        *,
        known: Iterable[bytes | str] = (),
        accept_offers: bool = True,
        open_door: bool = False,
    ) -> None:
        self.keys = {PublicKey.parse(key) for key in known}
        self.accept_offers = accept_offers
        self.open_door = open_door

    def token(self) -> bytes:
        """A new challenge."""
        return secrets.token_bytes(TOKEN_BYTES)

    def signed(self, token: bytes, signature: bytes) -> bool:
        """Whether one of the known keys signed the token."""
        return any(key.verifies(token, signature) for key in tuple(self.keys))

    def offered(self, text: bytes) -> bool:
        """Whether this new key may come in; remembers it if so."""
        try:
            key = PublicKey.parse(text)
        except ValueError:
            return False
        if self.accept_offers:
            self.keys.add(key)
        return self.accept_offers
