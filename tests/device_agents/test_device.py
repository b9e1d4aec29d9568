"""A device is a TOML file: known by name, or given as a path."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from device_agents.device import Device, device_names, load_device
from search.errors import UsageError

GOOD = """
name = "my-board"
platform = "host"
title = "A board"
backend = "xnnpack"
threads = 2
"""


def written(folder: Path, text: str) -> str:
    path = folder / "board.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", device_names())
def test_each_device_of_the_kit_loads_under_its_own_name(name: str) -> None:
    assert load_device(name).name == name


def test_the_host_and_the_simulated_device_come_with_the_kit() -> None:
    assert {"host", "simulated"} <= set(device_names())


@pytest.mark.parametrize("name", ["pixle", "", "host.tom", "../devices/host", "Host"])
def test_an_unknown_device_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="Unknown device") as raised:
        load_device(name)
    assert all(known in raised.value.remedy for known in device_names())


def test_a_device_can_be_a_file_of_the_users(tmp_path: Path) -> None:
    text = GOOD + '[match]\nmodel = "Board*"\n[options]\nnoise = 0.5\n'
    device = load_device(written(tmp_path, text))
    assert (device.name, device.threads, device.dtype) == ("my-board", 2, "fp32")
    assert device.match == {"model": "Board*"}
    assert device.options == {"noise": 0.5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "board.toml"),
        (GOOD + "colour = 'red'\n", "colour"),
        (GOOD + "[match]\nmodel = 3\n", "match"),
        (GOOD.replace("threads = 2", "threads = 0"), "threads"),
        (GOOD.replace("threads = 2", "threads = 'two'"), "threads"),
        (GOOD.replace("threads = 2", ""), "threads"),
        (GOOD.replace("my-board", "../board"), "name"),
        (GOOD.replace("my-board", "My Board"), "name"),
        (GOOD + GOOD, "board.toml"),
    ],
)
def test_a_broken_file_or_a_key_too_many_is_refused_by_name(
    text: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not a device file") as raised:
        load_device(written(tmp_path, text))
    assert told in raised.value.message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_bytes(b"name = '\xff\xfe'")
    with pytest.raises(UsageError, match="is not a device file"):
        load_device(str(path))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match=r"Cannot read .*absent\.toml: No such file"):
        load_device(str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match=r"Cannot read .*folder\.toml: Is a directory"):
        load_device(str(tmp_path / "folder.toml"))


def test_the_facts_of_a_device_cannot_be_changed() -> None:
    device = load_device("host")
    with pytest.raises(ValidationError, match="frozen"):
        device.threads = 4
    assert isinstance(device, Device)
