"""What a device says, read into values: usual answers, odd ones, and nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.android import parsers
from device_agents.android.parsers import Battery, Core, Thermal
from search.table.manifest import CpuCluster

THERMAL = """IsStatusOverride: false
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=old, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=43.25, mType=0, mName=CPU1, mStatus=0}
\tTemperature{mValue=33.0, mType=3, mName=skin, mStatus=2}
\tTemperature{mValue=-3.4028235E38, mType=0, mName=dead, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=1, mType=2, mName=fan}
"""


def test_thermal_values_are_those_of_the_hardware_now() -> None:
    found = parsers.parse_thermal(THERMAL)
    assert found == Thermal(status=2, cpu_c=43.25, skin_c=33.0)
    assert found.name == "moderate"


def test_a_device_without_a_thermal_service_is_unknown() -> None:
    assert parsers.parse_thermal("Can't find service: thermalservice") == Thermal()


def test_a_status_of_the_future_has_no_name() -> None:
    assert parsers.parse_thermal("Thermal Status: 9").name is None


def test_battery_is_in_percent_and_degrees() -> None:
    text = (
        "  AC powered: false\n  USB powered: true\n  level: 45\n  scale: 50\n  temperature: 284\n"
    )
    assert parsers.parse_battery(text) == Battery(percent=90, temperature_c=28.4, powered=True)
    assert parsers.parse_battery("  level: 120\n  scale: 100\n") == Battery()


@pytest.mark.parametrize(
    ("text", "awake"),
    [("  mWakefulness=Awake\n", True), ("  mWakefulness=Dozing\n", False), ("nothing", None)],
)
def test_the_screen_is_on_off_or_unknown(text: str, awake: bool | None) -> None:
    assert parsers.parse_awake(text) is awake


@pytest.mark.parametrize(("text", "dozes"), [("IDLE\n", True), ("ACTIVE\n", False), ("?", None)])
def test_dozing_is_known_by_its_state(text: str, dozes: bool | None) -> None:
    assert parsers.parse_doze(text) is dozes


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n/d 100 30 70 30% /data\n", 70),
        ("Filesystem\n/dev/block/very/long\n        100 30 70 30% /data\n", 70),
        ("df: no such file", None),
    ],
)
def test_free_room_is_the_third_number(text: str, free: int | None) -> None:
    assert parsers.parse_free_kb(text) == free


def test_cores_that_share_a_clock_are_a_cluster_and_the_slowest_comes_first() -> None:
    cores = {
        **{n: Core(related=(0, 1, 2, 3), capacity=124, max_khz=1_803_000) for n in range(4)},
        **{n: Core(related=(6, 7), capacity=1024, max_khz=2_850_000) for n in (6, 7)},
        **{n: Core(related=(4, 5), capacity=427, max_khz=2_348_000) for n in (4, 5)},
    }
    assert [one.cpus for one in parsers.clusters_of(cores)] == [(0, 1, 2, 3), (4, 5), (6, 7)]


def test_capacity_ranks_before_clock() -> None:
    cores = {0: Core(capacity=500, max_khz=3_000_000), 1: Core(capacity=1024, max_khz=2_000_000)}
    assert parsers.clusters_of(cores)[-1].cpus == (1,)


CLUSTERS = (
    CpuCluster(cpus=(0, 1, 2, 3), capacity=124),
    CpuCluster(cpus=(4, 5, 6), capacity=900),
    CpuCluster(cpus=(7,), capacity=1024),
)


@pytest.mark.parametrize(
    ("threads", "cpus"), [(1, (7,)), (2, (4, 5, 6)), (4, (0, 1, 2, 3)), (5, None)]
)
def test_measuring_runs_on_the_fastest_cluster_with_cores_enough(
    threads: int, cpus: tuple[int, ...] | None
) -> None:
    assert parsers.pick_cluster(CLUSTERS, threads) == cpus


def test_nothing_is_picked_where_nothing_is_known_of_the_cores() -> None:
    assert parsers.pick_cluster((CpuCluster(cpus=(0, 1)),), 1) is None


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3,6", (0, 1, 2, 3, 6)),
        ("4 5", (4, 5)),
        ("0-999999999999", None),
        ("x", None),
        ("", None),
    ],
)
def test_lists_of_cores_are_read_and_absurd_ones_are_not(
    text: str, cpus: tuple[int, ...] | None
) -> None:
    assert parsers.parse_cpus(text) == cpus


PARSERS = [
    parsers.parse_thermal,
    parsers.parse_battery,
    parsers.parse_awake,
    parsers.parse_doze,
    parsers.parse_flag,
    parsers.parse_meminfo,
    parsers.parse_free_kb,
    parsers.parse_cpus,
    parsers.parse_number,
]


@given(st.text(alphabet=st.sampled_from("0123456789-:,. =\n{}mTATUSabl"), max_size=80))
def test_no_answer_breaks_a_parser(text: str) -> None:
    for parse in PARSERS:
        parse(text)
        parse(f"{THERMAL}{text}level: {text}")
