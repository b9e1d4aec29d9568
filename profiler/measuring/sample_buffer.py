"""Buffers a runner's samples and writes them to the journal twice a second."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from device_agents.protocol import Sample, Sentinel
from profiler.journal import Journal

_FLUSH_S = 0.5


@dataclass
class SampleBuffer:
    """Samples of one launch in pass `number`; `done` counts the blocks that each item has."""

    journal: Journal
    number: int
    names: Mapping[int, str]
    done: dict[str, int]
    rounds: int
    samples: list[tuple[str, int, Sample]] = field(default_factory=list)
    sentinels: list[Sentinel] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    flushed: float = 0.0

    def add(self, sample: Sample) -> bool:
        """Store a sample; False for one that is not wanted (the sentinel's own, or surplus)."""
        name = self.names.get(sample.item)
        if name is None or self.done.get(name, 0) >= self.rounds:
            return False
        self.samples.append((name, self.done.get(name, 0), sample))
        self.done[name] = self.done.get(name, 0) + 1
        if self.clock() - self.flushed > _FLUSH_S:
            self.flush()
        return True

    def flush(self) -> None:
        """Write what is buffered."""
        samples, sentinels = self.samples, self.sentinels
        self.samples, self.sentinels = [], []
        self.flushed = self.clock()
        if samples or sentinels:
            self.journal.add(self.number, samples, sentinels)
