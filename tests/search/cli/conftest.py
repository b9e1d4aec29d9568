"""Desks to search on."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.search.cli.runner import Desk, Finished


@pytest.fixture
def desk(own_cache: Path, tmp_path: Path) -> Desk:
    """A desk with a table and an empty cache."""
    return Desk(tmp_path)


@dataclass(frozen=True)
class Searched:
    """A finished search with retraining, for tests that only read."""

    desk: Desk
    ended: Finished


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """One search, its network trained for two epochs, told as JSON."""
    desk = Desk(tmp_path_factory.mktemp("searched"))
    words = desk.words("--retrain", "--retrain-epochs", "2", "--format", "json")
    return Searched(desk, desk.call(*words))
