"""A lease that its holder keeps: renewed by a thread of its own for as long as it is entered."""

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from device_agents.farm.holder import HeldLease, keep_renewed
from device_agents.farm.model import Lease, LeaseLost
from search.errors import KitError


class RenewsLeases(Protocol):
    """What a holder asks of the registry."""

    def renew(self, key: str) -> None: ...
    def release(self, key: str) -> None: ...


class KeptLease:
    """A lease from when it was granted until it is given back.

    Args:
        lease: As granted.
        sent_at_s: When the request was sent, by the clock.
        registry: Renews it.
        clock: Seconds.
    """

    def __init__(
        self,
        lease: Lease,
        sent_at_s: float,
        registry: RenewsLeases,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lease = lease
        self._registry = registry
        self._clock = clock
        self._held = HeldLease(lease, sent_at_s)
        self._over = threading.Event()
        self._lost: LeaseLost | None = None
        self._thread = threading.Thread(target=self._renew, name="farm lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(KitError):  # what cannot be reached lets it end by itself
            self._registry.release(self.lease.key)
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        try:
            keep_renewed(self._held, self._registry.renew, clock=self._clock, stop=self._over)
        except LeaseLost as error:
            self._lost = error
        except KitError as error:
            self._lost = LeaseLost(error.message, error.remedy)

    def check(self) -> None:
        """Refuse to go on without the lease.

        Raises:
            LeaseLost: It has ended, or may have.
        """
        if self._lost is not None:
            raise self._lost
        if self._held.is_over(self._clock()):
            raise LeaseLost(
                f"The lease of {self.lease.phone} could not be renewed in time.",
                "Look whether the registry runs: python -m profiler farm status.",
            )

    def wait(self, seconds: float) -> bool:
        """Wait; True where the lease was given back meanwhile."""
        return self._over.wait(seconds)
