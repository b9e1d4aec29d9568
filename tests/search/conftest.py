"""A made-up table of a small space, for tests that need one."""

import random
from collections.abc import Callable, Sequence

import pandas as pd
import pytest

from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.calibration import Calibration
from search.table.entries import Entry, Interval, OperatorCounts, Sampling
from search.table.manifest import (
    DeviceInfo,
    Kit,
    Manifest,
    Protocol,
    RuntimeInfo,
    SpaceInfo,
)
from search.table.store import EXAM_COLUMNS, Table

MakeManifest = Callable[..., Manifest]
MakeTable = Callable[..., Table]


@pytest.fixture(scope="session")
def mini() -> LayeredSpace:
    return make_space("fbnet-mini")


@pytest.fixture(scope="session")
def make_manifest(mini: LayeredSpace) -> MakeManifest:
    """A manifest of the small space whose counts agree with the entries."""

    def make(entries: Sequence[Entry], calibration: Calibration | None = None) -> Manifest:
        status = [entry.status for entry in entries]
        expected = len(mini.operators)
        space = SpaceInfo(
            spec=mini.spec,
            sha256=mini.sha256,
            layers=mini.size.layers,
            candidates=mini.size.candidates,
            operators_expected=expected,
            operators_measured=status.count("ok"),
            operators_unstable=status.count("unstable"),
            operators_failed=status.count("failed"),
            operators_missing=expected - len(status),
        )
        protocol = Protocol(
            dtype="fp32",
            threads=1,
            preset="fast",
            seed=0,
            passes=2,
            rounds_per_pass=3,
            warmup=1,
            min_block_us=1000.0,
            target_relative_ci=0.02,
        )
        return Manifest(
            table_id="11111111-2222-3333-4444-555555555555",
            created_utc="2026-01-02T03:04:05+00:00",
            source="simulated",
            title="fbnet-mini-made-up",
            kit=Kit(version="0.1.0"),
            space=space,
            device=DeviceInfo(id="simulated-1", kind="simulated"),
            runtime=RuntimeInfo(
                name="simulated", version="1", backend="simulated", runner="python"
            ),
            protocol=protocol,
            calibration=calibration,
            files_sha256={},
        )

    return make


@pytest.fixture(scope="session")
def make_table(mini: LayeredSpace, make_manifest: MakeManifest) -> MakeTable:
    """A complete table in memory with seeded times."""

    def make(seed: int = 0, calibration: Calibration | None = None) -> Table:
        generator = random.Random(seed)
        entries = []
        for operator in mini.operators:
            median = generator.uniform(5, 500)
            entry = Entry(
                key=operator.key,
                status="ok",
                time=Interval(centre_us=median, low_us=0.99 * median, high_us=1.01 * median),
                first_call=Interval(centre_us=median + generator.uniform(0, 20)),
                in_network_us=1.05 * median + 3,
                sampling=Sampling(blocks=10),
                counts=OperatorCounts.of(operator),
            )
            entries.append(entry)
        return Table(
            manifest=make_manifest(entries, calibration),
            entries=tuple(entries),
            exam=pd.DataFrame(columns=list(EXAM_COLUMNS)),
        )

    return make
