"""Tables at different clocks: restated on one kind of core, left alone otherwise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.cli.diff import show_difference
from profiler.tables.diff import compare_tables
from search.table.manifest import CpuCluster, CpuIdentity
from search.table.store import Table


def at_clock(bench_at, folder: Path, seed: int, **clock: object) -> Table:
    with bench_at(folder) as bench:
        settings = bench.settings(seed=seed, calibration=0, exam=0, passes=8)
        agent = SimulatedAgent(bench.agent_settings(), Truth(**clock))  # type: ignore[arg-type]
        return bench.measure(settings=settings, agent=agent)


def test_a_machine_that_only_ran_at_another_clock_has_not_changed(tmp_path: Path, bench_at) -> None:
    fast = at_clock(bench_at, tmp_path / "fast", 1, clock_khz=2_000_000, clock_swing=0.04)
    slow = at_clock(bench_at, tmp_path / "slow", 2, clock_khz=1_500_000, clock_swing=0.04)
    difference = compare_tables(fast, slow)
    assert difference.clocks is not None
    assert difference.clocks.speed == pytest.approx(0.75, abs=0.02)
    assert difference.median_absolute <= 0.02
    assert difference.p95_absolute <= 0.06
    assert not difference.regressions
    assert not difference.improvements


@pytest.fixture(scope="module")
def clocked(tmp_path_factory: pytest.TempPathFactory, bench_at) -> tuple[Table, Table]:
    """One truth at 2 and at 1.5 GHz."""
    folder = tmp_path_factory.mktemp("clocked")
    fast = at_clock(bench_at, folder / "fast", 1, clock_khz=2_000_000)
    return fast, at_clock(bench_at, folder / "slow", 2, clock_khz=1_500_000)


def on(table: Table, cores: tuple[int, ...] | None = None, **device: Any) -> Table:
    """The same times, as if they had been taken on another device or other cores."""
    manifest = table.manifest
    changed = manifest.model_copy(
        update={
            "device": manifest.device.model_copy(update=device),
            "protocol": manifest.protocol.model_copy(update={"affinity_observed": cores}),
        }
    )
    return replace(table, manifest=changed)


LITTLE, BIG = (
    CpuCluster(cpus=(0, 1), capacity=400, max_khz=1_800_000),
    CpuCluster(cpus=(2, 3), capacity=1024, max_khz=2_800_000),
)
PHONE = {"kind": "android", "soc": "Tensor G3", "clusters": (LITTLE, BIG)}
HOST = {"kind": "host", "id": "host-epyc", "soc": "EPYC 9", "cpu": "EPYC 9"}
# A table of the time when devices did not yet name their processor apart from the chip.
OLD_HOST = {"kind": "host", "id": "host-epyc", "soc": "EPYC 9"}
LOOPBACK = {"kind": "rehearsal", "id": "rehearsal-1", "soc": "play", "cpu": "EPYC 9"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (HOST, LOOPBACK, "both ran on EPYC 9"),
        (OLD_HOST, LOOPBACK, "both ran on EPYC 9"),
        (LOOPBACK, {**LOOPBACK, "id": "rehearsal-2"}, "both ran on EPYC 9"),
        ({**PHONE, "id": "pixel-1"}, {**PHONE, "id": "pixel-2"}, "both ran on Tensor G3"),
        ({**PHONE, "id": "pixel-1"}, {**PHONE, "id": "pixel-1"}, "one device"),
    ],
)
def test_two_devices_with_one_processor_are_compared_at_one_clock(
    clocked: tuple[Table, Table], old: dict[str, Any], new: dict[str, Any], words: str
) -> None:
    fast, slow = on(clocked[0], (2, 3), **old), on(clocked[1], (3,), **new)
    difference = compare_tables(fast, slow)
    assert difference.clocks is not None
    assert difference.clocks.reason == words
    assert difference.clocks.speed == pytest.approx(0.75, abs=0.001)
    assert difference.median_absolute <= 0.02
    assert difference.p95_absolute <= 0.06
    assert not difference.regressions


ZEN4 = CpuIdentity(vendor="AuthenticAMD", family=25, model=17, stepping=1, cores=2)
ZEN5 = ZEN4.model_copy(update={"family": 26, "model": 2})
VM: dict[str, Any] = {"kind": "host", "id": "host-amd-epyc", "cpu": "AMD EPYC", "soc": "AMD EPYC"}
NEW_VM = {**VM, "id": "host-amd-epyc-f25m17s1-1", "soc": "AMD EPYC (family 25)", "processor": ZEN4}
MANY = "not known to be the same processor: many machines are named AMD EPYC"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (HOST, {**LOOPBACK, "cpu": "Xeon"}, "different processors, EPYC 9 and Xeon"),
        ({**HOST, "soc": "play"}, {**LOOPBACK, "cpu": None}, "not both name their processor"),
        ({"id": "a", "soc": "x"}, {"id": "b", "soc": "x"}, "not both name their processor"),
        ({**PHONE, "id": "1"}, {**PHONE, "id": "2", "soc": "Exynos"}, "different processors"),
        (VM, VM, MANY),
        (VM, NEW_VM, MANY),
        ({**VM, "cpu": None}, {**LOOPBACK, "cpu": "AMD EPYC"}, MANY),
        (NEW_VM, {**NEW_VM, "processor": ZEN5}, "different processors, AMD EPYC: family 25 and 26"),
        (
            NEW_VM,
            {**NEW_VM, "processor": ZEN4.model_copy(update={"cores": 8})},
            "different processors, AMD EPYC: cores 2 and 8",
        ),
    ],
)
def test_clocks_are_made_equal_only_on_a_processor_known_to_be_the_same(
    clocked: tuple[Table, Table],
    old: dict[str, Any],
    new: dict[str, Any],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    difference = compare_tables(on(clocked[0], **old), on(clocked[1], **new))
    assert difference.clocks is not None
    assert (difference.clocks.processor, difference.clocks.speed) == (None, 1.0)
    assert difference.common_change == pytest.approx(1 / 3, abs=0.03)
    show_difference(difference, "table")
    said = " ".join(capsys.readouterr().out.split())
    assert "2.000 GHz -> 1.500 GHz; times are not restated: " in said
    assert words in said


def test_a_general_name_with_equal_facts_is_one_processor(clocked: tuple[Table, Table]) -> None:
    again: dict[str, Any] = {**NEW_VM, "os_build": "another kernel"}
    uncounted = ZEN4.model_copy(update={"cores": None})
    rehearsed: dict[str, Any] = {**LOOPBACK, "cpu": "AMD EPYC", "processor": uncounted}
    for new in (again, rehearsed):
        clocks = compare_tables(on(clocked[0], **NEW_VM), on(clocked[1], **new)).clocks
        assert clocks is not None
        assert clocks.reason == "both ran on AMD EPYC (family 25)"
        assert clocks.speed == pytest.approx(0.75, abs=0.001)


def test_facts_that_differ_are_named_beside_the_setting(clocked: tuple[Table, Table]) -> None:
    other: dict[str, Any] = {
        **NEW_VM,
        "processor": ZEN5.model_copy(update={"instruction_sets": ("avx2", "fma")}),
    }
    one: dict[str, Any] = {
        **NEW_VM,
        "processor": ZEN4.model_copy(update={"instruction_sets": ("fma",)}),
    }
    identity = compare_tables(on(clocked[0], **one), on(clocked[1], **other)).identity
    assert "processor's family: 25 -> 26" in identity
    assert "processor's instruction sets: without -> with avx2" in identity


def test_without_clocks_the_comparison_still_says_that_the_machines_may_be_two(
    clocked: tuple[Table, Table], capsys: pytest.CaptureFixture[str]
) -> None:
    silent = []
    for table in clocked:
        manifest = on(table, **VM).manifest
        protocol = manifest.protocol.model_copy(update={"clock_khz": None})
        manifest = manifest.model_copy(update={"protocol": protocol})
        silent.append(replace(table, manifest=manifest))
    show_difference(compare_tables(*silent), "table")
    assert MANY in " ".join(capsys.readouterr().out.split())


def test_two_kinds_of_cores_equal_in_capacity_are_not_made_equal(
    clocked: tuple[Table, Table],
) -> None:
    tx2 = (CpuCluster(cpus=(0,), name="ARM Cortex-A57"), CpuCluster(cpus=(1,), name="Denver 2"))
    names: dict[str, Any] = {**PHONE, "clusters": tx2}
    difference = compare_tables(on(clocked[0], (0,), **names), on(clocked[1], (1,), **names))
    assert difference.clocks is not None
    assert "kinds of cores" in difference.clocks.reason
    # An older table does not name them.
    unnamed: dict[str, Any] = {
        **PHONE,
        "clusters": tuple(one.model_copy(update={"name": None}) for one in tx2),
    }
    difference = compare_tables(on(clocked[0], (0,), **names), on(clocked[1], (1,), **unnamed))
    assert difference.clocks is not None
    assert difference.clocks.processor == "Tensor G3"


def test_the_fast_and_the_slow_cores_of_one_phone_are_not_made_equal(
    clocked: tuple[Table, Table],
) -> None:
    big, little = on(clocked[0], (2, 3), **PHONE), on(clocked[1], (0,), **PHONE)
    difference = compare_tables(big, little)
    assert difference.clocks is not None
    assert difference.clocks.speed == 1.0
    assert "kinds of cores" in difference.clocks.reason
    assert difference.common_change == pytest.approx(1 / 3, abs=0.03)


def test_a_table_without_a_clock_is_compared_as_it_is(clocked: tuple[Table, Table]) -> None:
    manifest = clocked[0].manifest
    silent = manifest.protocol.model_copy(update={"clock_khz": None})
    unclocked = replace(clocked[0], manifest=manifest.model_copy(update={"protocol": silent}))
    assert compare_tables(unclocked, clocked[1]).clocks is None
