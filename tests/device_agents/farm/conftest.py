"""A registry with a clock that stands still until it is told to go."""

from collections.abc import Iterator

import pytest

from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import Limits
from device_agents.farm.registry import Registry
from tests.device_agents.farm.shelf import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal() -> Iterator[FarmJournal]:
    opened = FarmJournal(":memory:")
    yield opened
    opened.close()


@pytest.fixture
def registry(journal: FarmJournal, clock: Clock) -> Registry:
    return Registry(journal, Limits(ttl_s=60.0), clock=clock)
