"""Files to and from the device."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loopback import MODERN, OLD, LoopbackDevice, Wire
from tests.loopback.messages import Disconnected
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host, HostStream

TMP = "/data/local/tmp"


def request(stream: HostStream, word: bytes, path: str | bytes) -> None:
    raw = os.fsencode(path)
    stream.write(word + struct.pack("<I", len(raw)) + raw)


def push(host: Host, data: bytes, path: str, mode: int = 0o100644) -> bytes:
    """Return what the device says to it."""
    stream = host.open("sync:")
    request(stream, b"SEND", f"{path},{mode}")
    for start in range(0, len(data), 1 << 16):
        piece = data[start : start + (1 << 16)]
        stream.write(b"DATA" + struct.pack("<I", len(piece)) + piece)
    stream.write(b"DONE" + struct.pack("<I", 1_600_000_000))
    return answer(stream)


def answer(stream: HostStream) -> bytes:
    word, size = struct.unpack("<4sI", stream.read_exactly(8))
    return word + (b" " + stream.read_exactly(size) if word == b"FAIL" else b"")


def pull(host: Host, path: str) -> bytes:
    stream = host.open("sync:")
    request(stream, b"RECV", path)
    data = b""
    while True:
        word, size = struct.unpack("<4sI", stream.read_exactly(8))
        if word == b"DONE":
            return data
        if word == b"FAIL":
            raise FileNotFoundError(stream.read_exactly(size).decode())
        data += stream.read_exactly(size)


@pytest.mark.parametrize("wire", [MODERN, OLD])
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5_000_000])
def test_what_is_pushed_is_pulled(make_device: MakeDevice, wire: Wire, size: int) -> None:
    data = os.urandom(size)
    device = make_device(wire=wire)
    with Host(device.port).connect() as host:
        assert push(host, data, f"{TMP}/new/folder/file", 0o100755) == b"OKAY"
        assert pull(host, f"{TMP}/new/folder/file") == data
    place = device.files.root / "data/local/tmp/new/folder/file"
    assert place.read_bytes() == data
    assert (place.stat().st_mode & 0o777, place.stat().st_mtime) == (0o755, 1_600_000_000)
    assert (device.traffic.bytes_pushed, device.traffic.bytes_pulled) == (size, size)
    assert (device.traffic.files_pushed, device.traffic.files_pulled) == (1, 1)


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 200)


@given(names=st.sets(NAMES, max_size=5))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_names_are_kept_and_listed(host: Host, device: LoopbackDevice, names: set[str]) -> None:
    folder = f"{TMP}/odd"
    (device.files.root / "data/local/tmp/odd").mkdir(exist_ok=True)
    for old in (device.files.root / "data/local/tmp/odd").iterdir():
        old.unlink()
    for name in names:
        assert push(host, name.encode(), f"{folder}/{name}") == b"OKAY"
        assert pull(host, f"{folder}/{name}") == name.encode()
    assert {name for name, _, _ in listed(host, folder)} == names | {".", ".."}


def listed(host: Host, folder: str) -> list[tuple[str, int, int]]:
    """Name, mode and size of each entry, version 1."""
    stream = host.open("sync:")
    request(stream, b"LIST", folder)
    found: list[tuple[str, int, int]] = []
    while True:
        word, mode, size, _, length = struct.unpack("<4s4I", stream.read_exactly(20))
        if word == b"DONE":
            return found
        assert word == b"DENT"
        found.append((os.fsdecode(stream.read_exactly(length)), mode, size))


def test_version_two_lists_the_same_with_long_sizes(host: Host) -> None:
    push(host, b"12345", f"{TMP}/five")
    stream = host.open("sync:")
    request(stream, b"LIS2", TMP)
    found = {}
    while True:
        fields = struct.unpack("<4sI2Q4IQ3qI", stream.read_exactly(76))
        if fields[0] == b"DONE":
            break
        found[os.fsdecode(stream.read_exactly(fields[-1]))] = (fields[4], fields[8])
    assert found["five"] == (0o100644, 5)
    assert found == {name: (mode, size) for name, mode, size in listed(host, TMP)}


def stat_v1(host: Host, path: str) -> tuple[int, int]:
    stream = host.open("sync:")
    request(stream, b"STAT", path)
    word, mode, size, _ = struct.unpack("<4s3I", stream.read_exactly(16))
    assert word == b"STAT"
    return mode, size


def stat_v2(host: Host, word: bytes, path: str) -> tuple[int, int, int]:
    """Error, mode and size."""
    stream = host.open("sync:")
    request(stream, word, path)
    fields = struct.unpack("<4sI2Q4IQ3q", stream.read_exactly(72))
    assert fields[0] == word
    return fields[1], fields[4], fields[8]


def test_stat_tells_files_folders_links_and_nothing_apart(
    host: Host, device: LoopbackDevice
) -> None:
    push(host, b"12345", f"{TMP}/five")
    (device.files.root / "data/local/tmp/link").symlink_to(f"{TMP}/five")
    assert stat_v1(host, f"{TMP}/five") == (0o100644, 5)
    assert stat_v1(host, f"{TMP}/link")[0] & 0o170000 == 0o120000
    assert stat_v1(host, f"{TMP}/none") == (0, 0)
    assert stat_v2(host, b"STA2", f"{TMP}/link") == (0, 0o100644, 5)
    assert stat_v2(host, b"LST2", f"{TMP}/link")[1] & 0o170000 == 0o120000
    assert stat_v2(host, b"STA2", f"{TMP}/none") == (2, 0, 0)
    assert stat_v2(host, b"STA2", TMP)[1] & 0o170000 == 0o040000


def test_many_requests_go_through_one_stream(host: Host) -> None:
    stream = host.open("sync:")
    for number in range(20):
        request(stream, b"SEND", f"{TMP}/{number},{0o644}")
        stream.write(b"DATA" + struct.pack("<I", 3) + b"abc" + b"DONE" + struct.pack("<I", 1))
        assert answer(stream) == b"OKAY"
    request(stream, b"QUIT", "")
    assert stream.read() == b""


def test_links_lead_where_they_do_on_the_device_and_never_outside(
    host: Host, device: LoopbackDevice, tmp_path: Path
) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"secret")
    folder = device.files.root / "data/local/tmp"
    (folder / "absolute").symlink_to(outside)
    (folder / "relative").symlink_to("../../../../secret")
    (folder / "circle").symlink_to("circle")
    (folder / "away").symlink_to(tmp_path)
    for path in ("absolute", "relative", "circle", "away/secret"):
        with pytest.raises(FileNotFoundError):
            pull(host, f"{TMP}/{path}")
    assert b"FAIL" in push(host, b"new", f"{TMP}/away/secret")
    assert outside.read_bytes() == b"secret"


@pytest.mark.parametrize("path", [f"{TMP}/../../../etc/passwd", f"{TMP}/..", "../x"])
def test_a_way_upwards_is_refused(host: Host, path: str) -> None:
    with pytest.raises(FileNotFoundError, match="Operation not permitted"):
        pull(host, path)
    assert push(host, b"x", path) == b"FAIL couldn't create file: Operation not permitted"


def test_only_the_shells_folders_can_be_written(host: Host) -> None:
    wanted = b"FAIL couldn't create file: Permission denied"
    assert push(host, b"x" * 200_000, "/system/bin/getprop") == wanted
    assert push(host, b"x", "/data/local/file") == wanted
    assert push(host, b"x", "/sdcard/file") == b"OKAY"


def test_a_folder_cannot_be_overwritten_by_a_file(host: Host) -> None:
    push(host, b"x", f"{TMP}/folder/file")
    assert push(host, b"x", f"{TMP}/folder").startswith(b"FAIL couldn't create file: ")


def test_an_unknown_request_fails_and_ends_the_connection(host: Host) -> None:
    stream = host.open("sync:")
    request(stream, b"SND2", f"{TMP}/x")
    assert answer(stream).startswith(b"FAIL unknown command")
    with pytest.raises((Disconnected, ConnectionError)):
        stream.read_all()
