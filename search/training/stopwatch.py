"""How long a run took, over all its parts."""

import time


class Stopwatch:
    """Counts from its making; a resumed run adds what its earlier parts had counted."""

    def __init__(self) -> None:
        self._started, self._before_s = time.monotonic(), 0.0

    def go_on_from(self, seconds: float) -> None:
        """Earlier parts took so long, up to the state that is gone on from."""
        self._before_s = max(self._before_s, seconds)

    def seconds(self) -> float:
        """Of all parts until now; what a part did after its last saved state is not counted."""
        return self._before_s + time.monotonic() - self._started
