"""A table of a steady simulated device, and the options that slow the device down."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from device_agents.simulated.truth import Truth
from search.table.store import Table
from tests.profiler.conftest import Bench

STATE = Truth()


def slowed(factor: float, **options: Any) -> dict[str, Any]:
    """A device on which everything takes `factor` times as long."""
    return {
        "dispatch_us": STATE.dispatch_us * factor,
        "gmacs_per_s": STATE.gmacs_per_s / factor,
        "gb_per_s": STATE.gb_per_s / factor,
        "boundary_us_per_mb": STATE.boundary_us_per_mb * factor,
        **options,
    }


@pytest.fixture(scope="session")
def steady(
    tmp_path_factory: pytest.TempPathFactory,
    bench_at: Callable[[Path], AbstractContextManager[Bench]],
) -> Table:
    """A table of a simulated device with little noise, that knows its clock."""
    with bench_at(tmp_path_factory.mktemp("steady")) as bench:
        return bench.measure(Truth(noise=0.005, clock_khz=2_000_000))
