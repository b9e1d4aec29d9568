"""The token kept on a phone: who lost its lease cannot write a sample any more.

Leases end by clocks, and clocks err: a holder that was stopped for an hour may believe that it
still holds its phone. So the phone itself keeps the largest token that it has seen. Opening it
with a larger one ends whatever ran there; before a sample is written, the token is compared again.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from device_agents.farm.model import FencedOff

# As the runner reads them: digits of ASCII, few enough for 64 bits.
_TOKEN = re.compile(r"[0-9]{1,18}")


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


class FenceFolder:
    """A fence in a folder of this machine: an empty file for each token, the largest counts.

    Nothing is read and written back, so no two writers can leave the smaller one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        """The token kept, 0 if there is none; other files there are none of it."""
        try:
            return largest_token(entry.name for entry in self._path.iterdir())
        except FileNotFoundError:
            return 0

    def raise_to(self, token: int) -> int:
        """Keep the larger of both on disk before this returns; return it."""
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / str(token)).touch()
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self.read()


def largest_token(names: Iterable[str]) -> int:
    """The largest token among the names of files; 0 if none is one."""
    return max((int(name) for name in names if _TOKEN.fullmatch(name)), default=0)
