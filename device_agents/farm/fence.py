"""The token kept on a phone: who lost its lease cannot write a sample any more.

Leases end by clocks, and clocks err: a holder that was stopped for an hour may believe that it
still holds its phone. So the phone itself keeps the largest token that it has seen. Opening it
with a larger one ends whatever ran there; before a sample is written, the token is compared again.
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol

from device_agents.farm.model import FencedOff
from search.errors import DeviceError


class PhoneSide(Protocol):
    """What is done on the phone itself."""

    def fence(self) -> int:
        """The largest token that this phone has seen; 0 if none."""

    def raise_fence(self, token: int) -> int:
        """Keep the larger of both, durably and in one step, and return it.

        Two hosts may reach one phone; reading and writing apart would let the smaller win.
        """

    def stop_runs(self) -> None:
        """End everything of the kit that runs there; nothing does when this returns."""


class Gate:
    """The only way for a host to use a phone."""

    def __init__(self, side: PhoneSide) -> None:
        self._side = side

    def open(self, token: int) -> None:
        """Claim the phone for this token; whatever runs there is ended.

        Also at the token that it keeps already: a host may have died after it raised the
        fence and before it ended the earlier run.

        Raises:
            FencedOff: The phone has seen a larger token.
        """
        if (kept := self._side.raise_fence(token)) > token:
            raise _fenced(token, kept)
        self._side.stop_runs()

    def check(self, token: int) -> None:
        """Let a sample be written only while the phone is this token's.

        Raises:
            FencedOff: It is another's by now, or was never opened with this token.
        """
        if (kept := self._side.fence()) != token:
            raise _fenced(token, kept)


def _fenced(token: int, kept: int) -> FencedOff:
    return FencedOff(
        f"The phone belongs to lease {kept}; lease {token} may not use it.",
        "Ask for a phone again: this lease ended while its holder was away.",
    )


class FenceFile:
    """A fence in a file, changed under a lock: two writers leave the larger token.

    Raises:
        DeviceError: The file holds no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        """The token kept, 0 if there is no file."""
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return 0
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise DeviceError(
                f"{self._path} holds no token.",
                "Remove it once nothing uses this phone; the next lease writes it anew.",
            )
        return int(text)

    def raise_to(self, token: int) -> int:
        """Keep the larger of both on disk before this returns; return it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (kept := self.read()) >= token:
                return kept
            new = self._path.with_suffix(".new")
            with new.open("w", encoding="ascii") as file:
                file.write(f"{token}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        return token
