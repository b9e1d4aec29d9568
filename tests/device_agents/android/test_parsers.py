"""What a device says, read into values: usual answers, odd ones, and nonsense."""

from typing import Any

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
    assert parsers.parse_battery(text) == Battery(percent=90, temperature_c=28.4, sources=("usb",))
    assert parsers.parse_battery("  level: 120\n  scale: 100\n") == Battery()


ABSENT = "  present: false\n  level: 0\n  scale: 0\n  voltage: 0\n  temperature: 0\n"


@pytest.mark.parametrize(
    ("text", "battery"),
    [
        (f"  AC powered: false\n  USB powered: false\n{ABSENT}", Battery()),
        (f"  AC powered: true\n{ABSENT}", Battery(sources=("ac",))),
        # A board that makes a battery up: full, at 0 V and 0 degrees.
        ("  present: true\n  level: 100\n  voltage: 0\n  temperature: 0\n", Battery()),
    ],
)
def test_the_zeros_of_a_battery_that_is_not_there_are_unknown(text: str, battery: Battery) -> None:
    assert parsers.parse_battery(text) == battery
    assert parsers.parse_battery(text).powered is (True if battery.sources else None)


def test_a_phone_on_its_battery_alone_is_known_to_be() -> None:
    battery = parsers.parse_battery("AC powered: false\nlevel: 50\nvoltage: 4000\n")
    assert (battery.sources, battery.powered) == ((), False)


def test_zeros_of_absent_sensors_and_of_an_absent_thermal_service_are_unknown() -> None:
    text = THERMAL.replace("41.5", "0.0").replace("43.25", "0.0").replace("33.0", "0.0")
    assert parsers.parse_thermal(text) == Thermal(status=2)
    off = text.replace("HAL Ready: true", "HAL Ready: false")
    assert parsers.parse_thermal(off).status == 2  # set by hand: not the 0 that nothing sets
    assert parsers.parse_thermal(off.replace("Status: 2", "Status: 0")) == Thermal()


@pytest.mark.parametrize(
    ("setting", "sources", "stays_on"),
    [
        ("0", ("usb",), False),
        ("1", ("usb",), False),
        ("1", ("ac",), True),
        ("2", ("ac",), False),
        ("3", ("usb",), True),
        ("7", (), False),
        ("7", None, None),
        ("0", None, False),
        ("8", ("dock",), True),
        ("null", ("usb",), None),
    ],
)
def test_a_screen_stays_on_only_with_the_power_that_the_setting_names(
    setting: str, sources: tuple[str, ...] | None, stays_on: bool | None
) -> None:
    assert parsers.parse_stay_on(setting, sources) is stays_on


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


def test_cores_of_two_kinds_that_share_a_clock_are_two_clusters_as_on_a_galaxy_s23() -> None:
    shared: dict[str, Any] = {"related": (3, 4, 5, 6), "capacity": 750, "max_khz": 2_803_200}
    cores = {
        **{n: Core(kind="ARM Cortex-A510", related=(0, 1, 2), capacity=250) for n in range(3)},
        **{n: Core(kind="ARM Cortex-A715", **shared) for n in (3, 4)},
        **{n: Core(kind="ARM Cortex-A710", **shared) for n in (5, 6)},
        7: Core(kind="ARM Cortex-X3", related=(7,), capacity=1024),
    }
    clusters = parsers.clusters_of(cores)
    assert {one.cpus for one in clusters} == {(0, 1, 2), (3, 4), (5, 6), (7,)}
    assert parsers.pick_cluster(clusters, 2) == (3, 4)


SNAPDRAGON_8_GEN_3 = tuple(
    CpuCluster(cpus=cpus, capacity=capacity, name=name)
    for cpus, capacity, name in (
        ((0, 1), 300, "ARM Cortex-A520"),
        ((5, 6), 700, "ARM Cortex-A720"),
        ((2, 3, 4), 720, "ARM Cortex-A720"),
        ((7,), 1024, "ARM Cortex-X4"),
    )
)


def test_where_no_cluster_fits_the_cores_are_named_and_what_to_do() -> None:
    assert parsers.pick_cluster(SNAPDRAGON_8_GEN_3, 4) is None
    told = parsers.why_unpinned(SNAPDRAGON_8_GEN_3, 4)
    assert "No 4 cores are equal (0-1 ARM Cortex-A520; 5-6 ARM Cortex-A720; 2-4" in told
    assert "--threads 3 or fewer" in told
    assert "--affinity" in told
    unknown = parsers.why_unpinned((CpuCluster(cpus=(0, 1, 2, 3)),), 1)
    assert "which of its cores are fast (0-3)" in unknown
    assert "--affinity" in unknown


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
    parsers.parse_stay_on(text, ("usb",))
    for parse in PARSERS:
        parse(text)
        parse(f"{THERMAL}{text}level: {text}")
