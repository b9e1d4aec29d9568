"""Who may call a farm's services: whoever shows that it knows the farm's secret.

The secret never travels: a service draws a challenge, and the caller answers with its HMAC.
A ticket is known to the one service that gave it, until that ends.
"""

import hashlib
import hmac
import os
import secrets
import stat
import threading
from pathlib import Path

from device_agents.farm_hosts.messages import NotAdmitted
from search.cache import cache_root
from search.errors import UsageError

_LEAST = 32
_MOST_OPEN = 1000


def default_secret() -> Path:
    """Where this user's secret of a farm lies."""
    return cache_root() / "farm" / "secret"


def make_secret(path: Path) -> None:
    """Draw a new secret, for its owner's eyes alone; one that is there stays."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(32))


def read_secret(path: Path) -> bytes:
    """The secret in a file.

    Raises:
        UsageError: There is none, it is short, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        content = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(
            f"The farm's secret cannot be read from {path}: {error.strerror}.",
            "farm start writes it on the first host; copy it to this one (mode 600), or name it "
            "by --secret.",
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(
            f"Others than its owner may read the farm's secret {path}.", f"chmod 600 {path}"
        )
    if len(content) < _LEAST:
        raise UsageError(
            f"{path} holds {len(content)} characters: too short for a secret.",
            f"Write at least {_LEAST} random ones, or let farm start draw them.",
        )
    return content


def prove(secret: bytes, challenge: str) -> str:
    """The answer to a challenge."""
    text = f"fbnet-kit farm {challenge}".encode()
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


class Admission:
    """The challenges and tickets of one service."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._lock = threading.Lock()
        self._challenges: dict[str, None] = {}
        self._tickets: set[str] = set()

    def challenge(self) -> str:
        """A challenge that is answered once; of many that are open, the oldest are dropped."""
        drawn = secrets.token_hex(32)
        with self._lock:
            self._challenges[drawn] = None
            while len(self._challenges) > _MOST_OPEN:
                self._challenges.pop(next(iter(self._challenges)))
        return drawn

    def admit(self, challenge: str, answer: str) -> str:
        """A ticket for who knows the secret.

        Raises:
            NotAdmitted: The challenge is not open, or the answer is wrong.
        """
        with self._lock:
            is_open = self._challenges.pop(challenge, self) is None
        expected = prove(self._secret, challenge).encode()
        if not hmac.compare_digest(expected, answer.encode("utf-8", "replace")) or not is_open:
            raise NotAdmitted(
                "This farm has another secret.",
                "Copy the secret of its first host to this one (mode 600), or name it by --secret.",
            )
        ticket = secrets.token_hex(32)
        with self._lock:
            self._tickets.add(ticket)
        return ticket

    def check(self, ticket: str) -> None:
        """Let nobody call without a ticket.

        Raises:
            NotAdmitted: It is not one of this service.
        """
        with self._lock:
            known = ticket in self._tickets
        if not known:
            raise NotAdmitted("The caller has no ticket of this service.", "Answer its challenge.")
