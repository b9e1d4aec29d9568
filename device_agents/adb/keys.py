"""The user's adb key: ~/.android/adbkey, as adb itself keeps it."""

import os
import tempfile
from pathlib import Path

from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_cryptography import CryptographySigner

from search.errors import UsageError


def key_path() -> Path:
    """Where adb keeps the key: $ANDROID_USER_HOME, or ~/.android."""
    chosen = os.environ.get("ANDROID_USER_HOME")
    return (Path(chosen) if chosen else Path.home() / ".android") / "adbkey"


def load_signers() -> list[CryptographySigner]:
    """The key in adb-shell's form; created when there is none.

    Raises:
        UsageError: The key cannot be read or created.
    """
    path = key_path()
    try:
        if not path.exists():
            _create(path)
        if not path.with_name("adbkey.pub").exists():
            _publish(path)
        return [CryptographySigner(str(path))]
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
