"""What Linux says of its CPU, read from a tree made for the test."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents import cpu
from device_agents.cpu import default_affinity, parse_cpu_list, read_clusters
from search.table.manifest import CpuCluster

# A phone of 2023: four little cores, three big ones, one prime.
PHONE = {
    (0, 1, 2, 3): (150, 1_704_000),
    (4, 5, 6): (800, 2_367_000),
    (7,): (1024, 2_914_000),
}


def make_sysfs(root: Path, clusters: dict[tuple[int, ...], tuple[int | None, int | None]]) -> Path:
    cores = [core for members in clusters for core in members]
    (root / "online").write_text(",".join(map(str, cores)) + "\n")
    for members, (capacity, max_khz) in clusters.items():
        for core in members:
            folder = root / f"cpu{core}" / "cpufreq"
            folder.mkdir(parents=True)
            if capacity is not None:
                (folder.parent / "cpu_capacity").write_text(f"{capacity}\n")
            if max_khz is not None:
                (folder / "cpuinfo_max_freq").write_text(f"{max_khz}\n")
    return root


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cpu, "_SYS", make_sysfs(tmp_path, PHONE))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_of_cores_reads_back_from_any_mix_of_ranges(cores: set[int]) -> None:
    assert parse_cpu_list(spell(sorted(cores))) == tuple(sorted(cores))
    assert parse_cpu_list(",".join(map(str, cores))) == tuple(sorted(cores))


def spell(cores: list[int]) -> str:
    """As the kernel does: runs of neighbours become ranges."""
    parts: list[list[int]] = []
    for core in cores:
        if parts and parts[-1][1] == core - 1:
            parts[-1][1] = core
        else:
            parts.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def test_ranges_may_overlap_and_stand_in_any_order() -> None:
    assert parse_cpu_list("4-5, 0-2,1,5\n") == (0, 1, 2, 4, 5)


@pytest.mark.parametrize(
    "text", ["", ",", "a", "1-", "-1", "1-2-3", "0x1", "3-1", "3-1,5", "0,,1", "1.5"]
)
def test_what_is_no_list_of_cores_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no CPU|invalid literal"):
        parse_cpu_list(text)


def test_clusters_are_groups_of_equal_cores_slowest_first(tmp_path: Path) -> None:
    assert read_clusters(make_sysfs(tmp_path, PHONE)) == tuple(
        CpuCluster(cpus=cores, capacity=capacity, max_khz=khz)
        for cores, (capacity, khz) in PHONE.items()
    )


def test_the_order_is_by_speed_and_not_by_number(tmp_path: Path) -> None:
    root = make_sysfs(tmp_path, {(0,): (1024, None), (1, 2): (500, None), (3,): (150, None)})
    assert [cluster.cpus for cluster in read_clusters(root)] == [(3,), (1, 2), (0,)]


def test_cores_that_are_offline_are_left_out(tmp_path: Path) -> None:
    root = make_sysfs(tmp_path, PHONE)
    (root / "online").write_text("0-1,7\n")
    assert [cluster.cpus for cluster in read_clusters(root)] == [(0, 1), (7,)]


def test_what_the_kernel_does_not_tell_is_unknown(tmp_path: Path) -> None:
    root = make_sysfs(tmp_path, {(0, 1): (None, None)})
    assert read_clusters(root) == (CpuCluster(cpus=(0, 1), capacity=None, max_khz=None),)
    (root / "cpu0/cpu_capacity").write_text("unknown\n")
    assert read_clusters(root)[0].capacity is None


def test_without_any_sysfs_every_core_is_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert read_clusters(tmp_path / "absent") == (CpuCluster(cpus=(0, 1, 2)),)


@pytest.mark.parametrize(
    ("threads", "cores"),
    [(1, (7,)), (2, (5, 6)), (3, (4, 5, 6)), (4, (0, 1, 2, 3)), (5, None)],
)
def test_a_measurement_gets_the_last_cores_of_the_fastest_cluster_that_has_enough(
    threads: int, cores: tuple[int, ...] | None, phone: Path
) -> None:
    assert default_affinity(threads) == cores


def test_only_cores_that_the_process_may_use_are_taken(
    phone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 5})
    assert default_affinity(1) == (5,)
    assert default_affinity(2) == (4, 5)
    assert default_affinity(3) is None


def test_equal_cores_leave_the_first_one_to_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_SYS", make_sysfs(tmp_path, {(0, 1, 2, 3): (None, None)}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert default_affinity(1) == (3,)
    assert default_affinity(3) == (1, 2, 3)


def test_where_pinning_is_impossible_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert default_affinity(1) is None


def test_this_machine_answers_with_plausible_facts_or_none() -> None:
    memory, heat = cpu.memory_mb(), cpu.temperature_c()
    assert memory is None or 64 < memory < 2**24
    assert heat is None or -50 < heat < 200
    assert cpu.virtual() in (True, False, None)
    assert cpu.cpu_model() != ""
    assert cpu.governor() != ""
