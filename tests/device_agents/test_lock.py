"""One command at a time on one device, whatever a version of the kit calls it."""

from pathlib import Path

import pytest

from device_agents.lock import device_lock, measuring_lock
from device_agents.processor import plain_host_id
from search.errors import UsageError
from search.table.manifest import DeviceInfo

HOST = DeviceInfo(id="host-amd-epyc-f26m2s1-3d4b53", kind="host", cpu="AMD EPYC", abi="x86_64")
PHONE = DeviceInfo(id="pixel", kind="android", cpu="AMD EPYC")


@pytest.mark.parametrize("name", [HOST.id, "host-amd-epyc", "this-machine"])
def test_another_version_that_measures_this_machine_by_its_own_name_is_waited_for(
    own_cache: Path, name: str
) -> None:
    with (
        device_lock(name, "another"),
        pytest.raises(UsageError, match="would measure each other"),
        measuring_lock(HOST),
    ):
        raise AssertionError("two measured at once")
    with measuring_lock(HOST):
        pass


def test_what_measures_this_machine_keeps_all_others_off_it(own_cache: Path) -> None:
    with measuring_lock(HOST):
        renamed = HOST.model_copy(update={"id": "host-of-a-later-version", "cpu": "other"})
        with (
            pytest.raises(UsageError, match="host-of-a-later-version at this moment"),
            measuring_lock(renamed),
        ):
            raise AssertionError("two measured at once")
        with measuring_lock(PHONE):
            assert plain_host_id("AMD EPYC") == "host-amd-epyc"
