"""Waiting for events: as long as a slow and busy machine may need, and not a moment longer."""

import time
from collections.abc import Callable
from typing import TypeVar

# The longest that a test waits for what must come. It is no measure of speed: whoever waits
# goes on with the event, so only a fault takes so long.
PATIENCE_S = 120.0

Seen = TypeVar("Seen")


def wait_until(condition: Callable[[], Seen], wanted: str) -> Seen:
    """Return what a condition gives as soon as it holds.

    Raises:
        AssertionError: It did not in `PATIENCE_S`.
    """
    end = time.monotonic() + PATIENCE_S
    while not (seen := condition()):
        assert time.monotonic() < end, f"not in {PATIENCE_S:.0f} s: {wanted}"
        time.sleep(0.02)
    return seen
