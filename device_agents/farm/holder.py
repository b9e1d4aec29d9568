"""The holder's side of a lease: it renews by itself, and knows when to stop."""

import threading
from collections.abc import Callable

from device_agents.farm.model import Lease, LeaseLost
from search.errors import Transient

# A holder's clock may run slower than the registry's by up to this share.
CLOCK_MARGIN = 0.05
_RENEWALS = 3


class HeldLease:
    """When to renew a lease and when to take it for lost, on the holder's own clock.

    Time counts from when a request was *sent*: the registry cannot have counted from earlier,
    so the holder stops before the registry gives the phone away.

    Args:
        lease: As granted.
        sent_at_s: When the granted request was sent, on the holder's clock.
    """

    def __init__(self, lease: Lease, sent_at_s: float) -> None:
        self.lease = lease
        self._from_s = sent_at_s

    def renewed(self, sent_at_s: float) -> None:
        """Note that the renewal sent at this time was granted."""
        self._from_s = max(self._from_s, sent_at_s)

    def is_over(self, now_s: float) -> bool:
        """Whether somebody else may hold the phone by now."""
        return now_s >= self._from_s + self.lease.ttl_s * (1 - CLOCK_MARGIN)

    @property
    def interval_s(self) -> float:
        """Time between renewals: two of them may be lost without harm."""
        return self.lease.ttl_s * (1 - CLOCK_MARGIN) / _RENEWALS


def keep_renewed(
    held: HeldLease,
    renew: Callable[[str], object],
    *,
    clock: Callable[[], float],
    stop: threading.Event,
) -> None:
    """Renew until `stop` is set, however silent the run is; meant for a thread of its own.

    Raises:
        LeaseLost: The registry has ended the lease, or could not be reached for too long.
    """
    while not stop.wait(held.interval_s):
        sent_at_s = clock()
        try:
            renew(held.lease.key)
            held.renewed(sent_at_s)
        except LeaseLost:
            raise
        except Transient as error:
            if held.is_over(clock()):
                raise LeaseLost(
                    f"The lease of {held.lease.phone} could not be renewed in time: {error}",
                    "Look whether the registry runs; then start again with --resume.",
                ) from error
