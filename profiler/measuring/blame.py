"""Decides, after a launch that broke off, which item is to blame and what to do next."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from search.errors import ConnectionLost, DeviceLost, DeviceTimeout

_TRIES = 2
# Connections that break one after another without a sample in between.
_CONNECTION_TRIES = 5


@dataclass
class LaunchProgress:
    """How far one launch of a runner came.

    `loading` names the item being loaded or warmed up, None between items.
    """

    greeted: bool = False
    loading: str | None = None
    sampled: bool = False


class Action(Enum):
    """What to do with a batch whose launch broke off."""

    RETRY = auto()
    SPLIT = auto()
    FAIL = auto()
    GIVE_UP = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action; with `Action.FAIL` the item that is not tried again."""

    action: Action
    culprit: str | None = None


@dataclass
class Blame:
    """The launches of one batch that broke off, and the verdicts on its items.

    * A lost connection is not an item's fault. It is tried again, until it breaks
      five times in a row without a sample.
    * An item that the runner died on twice, while loading it or alone with it, has failed.
    * Deaths that name no item and timeouts are counted together. At the second one a
      batch whose runner died in the middle is split; a device that does not
      answer at all is given up.
    """

    _launches: int = 0
    _broken_connections: int = 0
    _unnamed: int = 0
    _deaths: Counter[str] = field(default_factory=Counter)

    def may_launch(self, items: int) -> bool:
        """Count another launch; False if there were already two for each item, and two more.

        Launches that ended with the connection are not counted.
        """
        if self._launches >= items * _TRIES + _TRIES:
            return False
        self._launches += 1
        return True

    def judge(
        self, error: DeviceLost | DeviceTimeout, launch: LaunchProgress, batch: Sequence[str]
    ) -> Verdict:
        """The consequence of a launch with this batch that ended with `error`."""
        if isinstance(error, ConnectionLost):
            return self._connection_lost(launch)
        if isinstance(error, DeviceTimeout) or not launch.greeted:
            return self._unnamed_loss(Action.GIVE_UP)
        culprit = launch.loading or (batch[0] if len(batch) == 1 else None)
        return self._unnamed_loss(Action.SPLIT) if culprit is None else self._death(culprit)

    def _connection_lost(self, launch: LaunchProgress) -> Verdict:
        self._launches -= 1
        self._broken_connections = 0 if launch.sampled else self._broken_connections + 1
        hopeless = self._broken_connections >= _CONNECTION_TRIES
        return Verdict(Action.GIVE_UP if hopeless else Action.RETRY)

    def _unnamed_loss(self, last: Action) -> Verdict:
        self._unnamed += 1
        return Verdict(last if self._unnamed >= _TRIES else Action.RETRY)

    def _death(self, culprit: str) -> Verdict:
        self._deaths[culprit] += 1
        if self._deaths[culprit] < _TRIES:
            return Verdict(Action.RETRY)
        return Verdict(Action.FAIL, culprit)
