"""A farm of two hosts with two phones each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device_agents.farm_hosts.shelves import Farm


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path, {"shelf-1": ["aa", "bb"], "shelf-2": ["cc", "dd"]})
    yield made
    made.journal.close()
