"""One machine is not another: what /proc/cpuinfo and sysfs say becomes a name and an id."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents import cpu
from device_agents.arm_cores import core_name
from device_agents.cpu import read_clusters, read_identity
from device_agents.processor import (
    complete_name,
    host_id,
    parse_cache,
    parse_core_kinds,
    parse_cpu_model,
    parse_identity,
    real_cores,
)
from search.table.manifest import CoreKind, CpuCache, CpuIdentity
from tests.device_agents import cpuinfos


def id_of(text: str) -> str:
    return host_id(parse_cpu_model(text) or "aarch64", parse_identity(text))


def name_of(text: str) -> str | None:
    return complete_name(parse_cpu_model(text), parse_identity(text))


# --- machines ------------------------------------------------------------------


def test_every_machine_has_an_id_of_its_own() -> None:
    ids = {id_of(text) for text in cpuinfos.MACHINES.values()}
    assert len(ids) == len(cpuinfos.MACHINES)
    assert all(re.fullmatch(r"host-[a-z0-9-]+-[0-9a-f]{6}", one) for one in ids)


def test_an_id_is_the_same_whenever_it_is_read() -> None:
    for text in cpuinfos.MACHINES.values():
        assert id_of(text) == id_of(text + "\n")


@pytest.mark.parametrize(
    ("machine", "name", "start"),
    [
        ("zen4", "AMD EPYC (family 25 model 17 stepping 1)", "host-amd-epyc-f25m17s1-"),
        ("zen5", "AMD EPYC (family 26 model 2 stepping 1)", "host-amd-epyc-f26m2s1-"),
        (
            "cascade lake",
            "Intel Xeon Processor (Cascadelake) (family 6 model 85 stepping 6)",
            "host-intel-xeon-cascadelake-f6m85s6-",
        ),
        ("ryzen", "AMD Ryzen 9 5950X 16-Core Processor", "host-amd-ryzen-9-5950x-16-core-"),
        ("xavier nx", "NVIDIA Carmel", "host-nvidia-carmel-"),
        ("tx2", "ARM Cortex-A57 + NVIDIA Denver 2", "host-arm-cortex-a57-nvidia-denver-2-"),
        ("pi 2", "ARM Cortex-A7", "host-arm-cortex-a7-"),
        ("pi 4", "ARM Cortex-A72", "host-arm-cortex-a72-"),
        ("pi 5", "ARM Cortex-A76", "host-arm-cortex-a76-"),
        ("altra", "ARM Neoverse-N1", "host-arm-neoverse-n1-"),
        ("graviton 3", "ARM Neoverse-V1", "host-arm-neoverse-v1-"),
    ],
)
def test_a_name_that_many_share_is_completed_and_a_good_one_is_kept(
    machine: str, name: str, start: str
) -> None:
    text = cpuinfos.MACHINES[machine]
    assert name_of(text) == name
    assert id_of(text).startswith(start)


def test_the_two_kinds_of_cores_of_a_tx2_are_two_clusters_though_equal_in_capacity(
    tmp_path: Path,
) -> None:
    (tmp_path / "online").write_text("0-5\n")
    clusters = read_clusters(tmp_path, parse_core_kinds(cpuinfos.TX2))
    found = {cluster.name: cluster.cpus for cluster in clusters}
    assert found == {"ARM Cortex-A57": (0, 3, 4, 5), "NVIDIA Denver 2": (1, 2)}


def test_every_kind_of_core_is_counted() -> None:
    assert parse_identity(cpuinfos.TX2).kinds == (
        CoreKind(implementer="0x41", part="0xd07", variant="0x1", cores=4),
        CoreKind(implementer="0x4e", part="0x003", variant="0x0", cores=2),
    )
    assert parse_identity(cpuinfos.PI_2_32BIT).kinds == (
        CoreKind(implementer="0x41", part="0xc07", variant="0x0", cores=2),
    )
    assert [kind.cores for kind in parse_identity(cpuinfos.GALAXY_S23).kinds] == [3, 2, 2, 1]


def test_an_unknown_core_is_named_by_its_numbers() -> None:
    assert core_name("0x41", "0xfff") == "ARM part 0xfff"
    assert core_name("0x99", "0x1") == "implementer 0x99 part 0x001"


@pytest.mark.parametrize(
    "change",
    [
        ("cpu family\t: 25", "cpu family\t: 23"),
        ("model\t\t: 17", "model\t\t: 97"),
        ("stepping\t: 1", "stepping\t: 2"),
        (" avx512_vnni", ""),
        (" fma ", " "),
        ("cache size\t: 1024", "cache size\t: 512"),
    ],
)
def test_each_fact_that_differs_makes_another_machine(change: tuple[str, str]) -> None:
    changed = cpuinfos.ZEN4.replace(*change)
    assert changed != cpuinfos.ZEN4
    assert id_of(changed) != id_of(cpuinfos.ZEN4)


def test_another_number_of_cores_or_another_board_makes_another_machine() -> None:
    text = cpuinfos.XAVIER_NX
    boards = ("NVIDIA Jetson Xavier NX Developer Kit", "Jetson-AGX")
    identities = [parse_identity(text, cores=4, board=board) for board in boards]
    identities.append(parse_identity(text, cores=6, board=boards[0]))
    assert len({host_id("ARMv8 Processor rev 0 (v8l)", one) for one in identities}) == 3


def test_the_revision_of_a_board_is_none_of_its_identity() -> None:
    assert parse_identity("", board="Raspberry Pi 4 Model B Rev 1.4").board == (
        "Raspberry Pi 4 Model B"
    )


# --- what changes from day to day ------------------------------------------------


@given(st.data())
def test_the_order_of_flags_and_what_changes_from_day_to_day_do_not_change_the_id(
    data: st.DataObject,
) -> None:
    flags = data.draw(st.permutations(cpuinfos.AVX512.split()))
    more = data.draw(st.sets(st.sampled_from(["ibpb", "stibp", "md_clear", "amd_ppin", "cppc"])))
    text = cpuinfos.x86(
        "AMD EPYC",
        signature=(25, 17, 1),
        flags=" ".join([*flags, *more]),
        mhz=data.draw(st.floats(800, 5000)),
        microcode=hex(data.draw(st.integers(1, 2**32 - 1))),
        cache_kb=1024,
    )
    assert id_of(text) == id_of(cpuinfos.ZEN4)


@given(st.floats(1, 5000), st.permutations(cpuinfos.ARM_V82.split()))
def test_neither_bogomips_nor_the_order_of_features_change_the_id_of_an_arm_machine(
    bogomips: float, features: list[str]
) -> None:
    cores = [("0x41", "0xd0b", "0x4")] * 4
    text = cpuinfos.arm(cores, features=" ".join(features), bogomips=bogomips)
    assert id_of(text) == id_of(cpuinfos.PI_5)


@given(st.permutations(range(3)))
def test_the_order_in_which_caches_are_read_does_not_change_the_identity(order: list[int]) -> None:
    caches = [CpuCache(level=level, kind="unified", size_kb=512 << level) for level in range(3)]
    shuffled = parse_identity(cpuinfos.ZEN3, caches=[caches[place] for place in order] * 2)
    assert shuffled == parse_identity(cpuinfos.ZEN3, caches=caches)
    assert shuffled.caches == tuple(caches)


def test_only_what_all_cores_can_do_is_counted() -> None:
    fast, _, slow = cpuinfos.ALTRA.partition("\n\n")
    mixed = f"{fast}\n\n{slow.replace(' asimddp', '')}"
    assert "asimddp" in parse_identity(cpuinfos.ALTRA).instruction_sets
    assert "asimddp" not in parse_identity(mixed).instruction_sets


# --- sysfs, and what is missing ---------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of two cores that shows everything."""
    system = tmp_path / "cpu"
    for core in range(2):
        for index, facts in enumerate([("1", "Data", "32K"), ("2", "Unified", "1M")]):
            folder = system / f"cpu{core}/cache/index{index}"
            folder.mkdir(parents=True)
            for name, value in zip(("level", "type", "size"), facts, strict=True):
                (folder / name).write_text(f"{value}\n")
    (system / "online").write_text("0-1\n")
    (tmp_path / "cpuinfo").write_text(cpuinfos.ZEN4)
    (tmp_path / "model").write_bytes(b"Board of Tests Rev 1.2\0")
    monkeypatch.setattr(cpu, "_SYS", system)
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(cpu, "_BOARD", tmp_path / "model")
    return tmp_path


def test_caches_cores_and_board_are_read_from_sysfs(machine: Path) -> None:
    identity = read_identity()
    assert identity.caches == (
        CpuCache(level=1, kind="data", size_kb=32),
        CpuCache(level=2, kind="unified", size_kb=1024),
    )
    assert (identity.cores, identity.board) == (2, "Board of Tests")
    (machine / "cpu/online").write_text("0\n")
    assert read_identity().cores == 1


def test_without_sysfs_the_cache_of_cpuinfo_stands_in(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_SYS", machine / "absent")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    identity = read_identity()
    assert identity.caches == (CpuCache(size_kb=1024),)
    assert (identity.family, identity.cores) == (25, 2)


def test_kinds_of_cores_are_read_from_the_midr_where_cpuinfo_is_silent(machine: Path) -> None:
    (machine / "cpuinfo").write_text("processor\t: 0\n\nprocessor\t: 1\n")
    for core, midr in enumerate(["0x00000000413fd0c1", "0x00000000410fd034"]):
        folder = machine / f"cpu/cpu{core}/regs/identification"
        folder.mkdir(parents=True)
        (folder / "midr_el1").write_text(f"{midr}\n")
    names = [cluster.name for cluster in read_clusters()]
    assert names == ["ARM Neoverse-N1", "ARM Cortex-A53"]
    assert [kind.variant for kind in read_identity().kinds] == ["0x0", "0x3"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b":::\n\n:\n", b"model name\t: unknown\n"]
)
def test_a_cpuinfo_that_says_nothing_leaves_the_processor_unknown(
    content: bytes, machine: Path
) -> None:
    (machine / "cpuinfo").write_bytes(content)
    identity = read_identity()
    assert not identity.is_decisive
    assert (identity.vendor, identity.kinds, identity.instruction_sets) == (None, (), ())
    assert cpu.cpu_model() is None
    assert host_id("riscv64", identity).startswith("host-riscv64-")


def test_a_machine_of_which_nothing_is_known_has_the_id_of_its_architecture(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_SYS", "_CPUINFO", "_BOARD"):
        monkeypatch.setattr(cpu, name, machine / "absent")
    assert read_identity() == CpuIdentity(cores=os.cpu_count())
    assert host_id("arm64", CpuIdentity()) == "host-arm64"


def test_a_list_of_cores_that_cannot_be_read_counts_the_cores_of_the_interpreter(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    (machine / "cpu/online").write_text("none\n")
    assert read_identity().cores == 5


@pytest.mark.parametrize(
    ("facts", "size_kb"),
    [
        (("1", "Data", "32K"), 32),
        (("3", "Unified", "8M"), 8192),
        (("", "Data", "32K"), None),
        (("1", "Trace", "32K"), None),
        (("1", "Data", ""), None),
        (("1", "Data", "-1K"), None),
    ],
)
def test_a_cache_is_known_whole_or_not_at_all(
    facts: tuple[str, str, str], size_kb: int | None
) -> None:
    cache = parse_cache(*facts)
    assert (cache.size_kb if cache else None) == size_kb


@given(st.text(alphabet="processCPUimlnt:vadr_0x19fA \t\n", max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    identity = parse_identity(text)
    assert host_id("x", identity).startswith("host-x")
    assert parse_identity(real_cores(text)) is not None


def test_lines_that_a_rehearsal_adds_to_those_of_the_processor_are_not_believed() -> None:
    added = "CPU implementer\t: 0x41\nCPU part\t: 0xd05\n"
    blocks = [f"{block}\n{added}" for block in cpuinfos.ZEN4.strip().split("\n\n")]
    text = "\n".join([*blocks, f"processor\t: 7\n{added}"])
    assert parse_identity(real_cores(text)) == parse_identity(cpuinfos.ZEN4)
