"""The user's adb key, ~/.android/adbkey as adb itself keeps it, and the keys of vendors."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_cryptography import CryptographySigner
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from search.errors import UsageError


def key_path() -> Path:
    """Where adb keeps the key: $ANDROID_USER_HOME, or ~/.android."""
    chosen = os.environ.get("ANDROID_USER_HOME")
    return (Path(chosen) if chosen else Path.home() / ".android") / "adbkey"


class VendorSigner(CryptographySigner):  # type: ignore[misc]  # adb-shell has no types
    """A private key that signs and is never offered: its public half lies on devices already."""

    def __init__(self, path: Path) -> None:
        self.public_key = b""
        self.rsa_key = load_pem_private_key(path.read_bytes(), None)


def load_signers() -> list[CryptographySigner]:
    """The user's key, created when there is none, then those that ADB_VENDOR_KEYS names.

    Devices that ask are offered the first.

    Raises:
        UsageError: A key cannot be read, or the user's cannot be created.
    """
    return [_user_signer(), *map(_vendor_signer, _vendor_files())]


def _vendor_files() -> Iterator[Path]:
    """Files as adb finds them: each name is one, or a folder of `*.adb_key`."""
    for name in filter(None, os.environ.get("ADB_VENDOR_KEYS", "").split(os.pathsep)):
        path = Path(name).expanduser()
        yield from sorted(path.glob("*.adb_key")) if path.is_dir() else [path]


def _vendor_signer(path: Path) -> CryptographySigner:
    try:
        return VendorSigner(path)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"The adb key {path} cannot be used: {error}.", "Correct ADB_VENDOR_KEYS."
        ) from error


def _user_signer() -> CryptographySigner:
    path = key_path()
    try:
        if not path.exists():
            _create(path)
        if not path.with_name("adbkey.pub").exists():
            _publish(path)
        return CryptographySigner(str(path))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"The adb key {path} cannot be used: {error}.",
            "Make it readable, or move it away: a new one is made then.",
        ) from error


def _create(path: Path) -> None:
    """Create a key pair; the private key appears last, whole and readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".adbkey-") as folder:
        private = Path(folder) / "adbkey"
        keygen(str(private))
        private.chmod(0o600)
        private.with_name("adbkey.pub").replace(path.with_name("adbkey.pub"))
        private.replace(path)


def _publish(path: Path) -> None:
    from adb_shell.auth.keygen import write_public_keyfile

    write_public_keyfile(str(path), str(path.with_name("adbkey.pub")))
