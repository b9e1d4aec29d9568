"""What the native runner knows of the processor's temperature and clock."""

import os
import statistics
import time
from pathlib import Path

import pytest

from device_agents.protocol import Sample, Sentinel
from tests.device_agents.native.launching import Served, item, only, plan, run
from tests.device_agents.native.programs import Program


def make_sysfs(root: Path, millidegrees: str) -> Path:
    for number, kind, value in [(0, "battery", "99000"), (2, "CPU-0", "0"), (10, "BIG", "")]:
        zone = root / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value or millidegrees}\n")
    for cpu in range(os.cpu_count() or 1):
        folder = root / f"devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text("1800000\n")
    return root / "class/thermal/thermal_zone10/temp"


def test_temperature_goes_into_the_samples_where_it_can_be_read(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    make_sysfs(tmp_path, "41500")
    one = plan(item(programs["contiguous"].file), sentinel=0, rounds=1)
    for root, expected in ((tmp_path, 41_500), (Path("/nowhere"), None)):
        records = run(runner, one, KIT_SYSFS=str(root))
        blocks = [r for r in records if isinstance(r, Sample | Sentinel)]
        assert [r.temperature_mc for r in blocks] == [expected] * 2


@pytest.mark.parametrize(("kind", "reading"), [("soc", "85"), ("cpu-0-0", "900000")])
def test_what_is_no_temperature_of_a_processor_is_unknown(
    kind: str, reading: str, runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text(f"{kind}\n")
    (zone / "temp").write_text(f"{reading}\n")
    records = run(runner, plan(item(programs["contiguous"].file)), KIT_SYSFS=str(tmp_path))
    assert {s.temperature_mc for s in only(Sample, records)} == {None}


def test_the_clock_is_measured_and_not_taken_from_what_the_system_says(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    make_sysfs(tmp_path, "41500")
    records = run(
        runner, plan(item(programs["contiguous"].file), rounds=20), KIT_SYSFS=str(tmp_path)
    )
    clocks = [r.freq_khz for r in records if isinstance(r, Sample)]
    # The false 1.8 GHz of the fake sysfs cannot appear twenty times in a row.
    assert len(set(clocks)) > 1
    assert all(clocks)
    # Half of them: a machine with other work interrupts some of the counting.
    assert 300_000 < statistics.median(clocks) < 8_000_000


def test_too_hot_means_waiting_until_it_is_cool(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    reading = make_sysfs(tmp_path, "60000")
    with Served(runner, KIT_SYSFS=str(tmp_path)) as served:
        served.send(plan(item(programs["contiguous"].file), max_temperature_c=50.0, rounds=1))
        assert [served.read().type for _ in range(3)] == ["hello", "begin", "loaded"]
        time.sleep(0.8)
        cooled = time.monotonic_ns()
        reading.write_text("45000\n")
        sample = served.read()
    assert isinstance(sample, Sample)
    assert sample.at_ns > cooled
    assert sample.temperature_mc == 45_000
