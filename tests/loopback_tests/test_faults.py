"""Every fault that can be switched on."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.loopback import HOSTILE, Faults, LoopbackDevice, hostile, this_host
from tests.loopback.faults import OutputGate
from tests.loopback.messages import Command, Disconnected, read_message
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host, HostStream
from tests.loopback_tests.test_sync import TMP, pull, push
from tests.waiting import PATIENCE_S, wait_until

LOST = (Disconnected, ConnectionError)


def received(stream: HostStream) -> bytes:
    """What comes before the connection is lost; it must be lost."""
    found = b""
    try:
        while part := stream.read():
            found += part
    except LOST:
        return found
    raise AssertionError("the stream ended as if nothing were wrong")


def raw_answer(host: Host, service: str) -> bytes:
    """All bytes on the wire up to the loss of the connection, each WRTE answered."""
    host.send(Command.OPEN, 1, 0, service.encode() + b"\0")
    raw = bytearray()

    def read(size: int) -> bytes:
        part = host.socket.recv(size, socket.MSG_WAITALL)
        raw.extend(part)
        if len(part) < size:
            raise Disconnected
        return part

    with contextlib.suppress(*LOST):
        while True:
            message = read_message(read, most_bytes=host.most_bytes, checksum=False)
            if message.command == Command.WRTE:
                host.send(Command.OKAY, 1, message.arg0)
    return bytes(raw)


def test_the_connection_drops_after_a_line_and_the_next_one_works(device: LoopbackDevice) -> None:
    device.faults.drop_after_lines = 3
    with Host(device.port).connect() as host:
        assert received(host.open("shell:seq 100000")) == b"1\n2\n3\n"
    with Host(device.port).connect() as host:
        assert host.v1("seq 5") == b"1\n2\n3\n4\n5\n"
    assert device.faults.fired == 1


def test_the_connection_drops_in_the_middle_of_a_line(device: LoopbackDevice) -> None:
    device.faults.drop_mid_line = 2
    with Host(device.port).connect() as host:
        assert received(host.open("exec:echo one; echo two; echo three")) == b"one\ntwo\nth"


@pytest.mark.parametrize("lines", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_are_counted_however_the_output_is_cut(lines: int, size: int) -> None:
    data = b"a\nbb\nccc\ndddd\neeeee\nffffff\n"
    gate, seen = OutputGate(Faults(drop_after_lines=lines)), b""
    for start in range(0, len(data), size):
        part, cut = gate.passed(data[start : start + size])
        seen += part
        if cut:
            break
    assert seen == b"".join(data.splitlines(keepends=True)[:lines])


@pytest.mark.parametrize("limit", [1, 24, 25, 100, 5000])
def test_the_connection_drops_after_so_many_sent_bytes(device: LoopbackDevice, limit: int) -> None:
    with Host(device.port).connect() as host:
        device.faults.drop_after_sent_bytes = limit
        assert len(raw_answer(host, "shell:seq 100000")) == limit
    assert device.faults.fired == 1


def test_a_push_that_is_cut_off_leaves_a_partial_file(device: LoopbackDevice) -> None:
    with Host(device.port).connect() as host:
        device.faults.drop_after_received_bytes = 200_000
        with pytest.raises(LOST):
            push(host, b"x" * 1_000_000, f"{TMP}/big")
    place = device.files.root / "data/local/tmp/big"
    assert place.stat().st_size < 1_000_000
    with Host(device.port).connect() as host:
        assert push(host, b"x" * 1_000_000, f"{TMP}/big") == b"OKAY"


def test_truncated_output_ends_without_an_exit_code(host: Host, device: LoopbackDevice) -> None:
    device.faults.truncate_output_bytes = 5
    assert host.v2("seq 1000; exit 3") == (None, b"1\n2\n3", b"")
    device.faults.truncate_output_bytes = 5
    assert host.v1("seq 1000") == b"1\n2\n3"
    assert host.v2("seq 3; exit 3") == (3, b"1\n2\n3\n", b"")


def test_a_truncated_command_without_end_does_not_keep_the_stream_open(
    host: Host, device: LoopbackDevice
) -> None:
    device.faults.truncate_output_bytes = 100
    assert len(host.v1("yes")) == 100


def test_a_frozen_device_says_nothing_and_goes_on_when_thawed(device: LoopbackDevice) -> None:
    with Host(device.port).connect() as host:
        host.socket.settimeout(0.5)
        device.faults.freeze()
        assert device.faults.frozen
        with pytest.raises(TimeoutError):
            host.v1("echo hi")
        host.socket.settimeout(PATIENCE_S)
        device.faults.thaw()
        stream = host.streams[1]
        assert stream.read_all() == b"hi\n"


def test_a_frozen_device_can_be_stopped(make_device: MakeDevice) -> None:
    device = make_device()
    with Host(device.port).connect() as host:
        host.open("shell:yes")
        device.faults.freeze()
        device.restart()
        device.faults.thaw()
        assert device.connections == 1
    with Host(device.port).connect() as host:
        assert host.v1("echo hi") == b"hi\n"


def test_slow_answers_take_their_time(host: Host, device: LoopbackDevice) -> None:
    device.faults.delay_s = 0.1
    start = time.monotonic()
    assert host.v1("echo hi") == b"hi\n"
    assert time.monotonic() - start > 0.2


def test_a_slow_line_takes_its_time(host: Host, device: LoopbackDevice) -> None:
    device.faults.bytes_per_second = 100_000
    start = time.monotonic()
    assert len(host.v1("head -c 50000 /dev/zero")) == 50_000
    assert time.monotonic() - start > 0.4


def test_records_of_a_slow_phone_take_their_time_and_other_lines_do_not(
    host: Host, device: LoopbackDevice
) -> None:
    device.faults.record_s = 0.05
    start = time.monotonic()
    assert host.v1("for n in $(seq 1 2000); do echo $n; done").count(b"\n") == 2000
    between = time.monotonic()
    records = b"".join(b'{"type":"sample","item":%d}\n' % n for n in range(8))
    push(host, records + b"end", f"{TMP}/records")
    assert host.v1(f"cat {TMP}/records") == records + b"end"
    assert time.monotonic() - between >= 8 * 0.05
    assert between - start < 2000 * 0.05


def test_a_full_device_refuses_a_push_and_removes_what_came(
    host: Host, device: LoopbackDevice
) -> None:
    assert push(host, b"x" * 60_000, f"{TMP}/first") == b"OKAY"
    device.faults.quota_bytes = 200_000
    failed = push(host, b"y" * 1_000_000, f"{TMP}/second")
    assert failed == b"FAIL write failed: No space left on device"
    assert not (device.files.root / "data/local/tmp/second").exists()
    assert push(host, b"z" * 100_000, f"{TMP}/third") == b"OKAY"
    assert pull(host, f"{TMP}/first") == b"x" * 60_000


def test_a_full_device_tells_df_and_fails_writes_of_commands(
    host: Host, device: LoopbackDevice
) -> None:
    device.faults.quota_bytes = 65_536
    code, _, errors = host.v2(f"head -c 1000000 /dev/zero >{TMP}/big")
    assert code != 0
    assert errors
    assert host.v2(f"df -k {TMP}")[1].split()[-6:][1] == b"64"
    device.faults.quota_bytes = None
    assert host.v2(f"head -c 1000000 /dev/zero >{TMP}/big")[0] == 0


def test_noise_stands_round_every_output(host: Host, device: LoopbackDevice) -> None:
    device.faults.noise = HOSTILE
    assert host.v1("echo hi") == HOSTILE + b"hi\n" + HOSTILE
    assert host.v2("echo hi; exit 4") == (4, HOSTILE + b"hi\n" + HOSTILE, b"")
    assert any(len(line) >= 1_000_000 for line in HOSTILE.splitlines())


def test_a_hostile_phone_answers_with_hostile_strings(make_device: MakeDevice) -> None:
    device = make_device(phone=hostile(this_host()))
    with Host(device.port).connect() as host:
        assert "$(touch" in host.banner
        assert b"\x1b[2J" in host.v1("getprop ro.product.model")
        assert len(host.v1("getprop ro.build.fingerprint")) > 1_000_000
        for command in ("getprop", "dumpsys thermalservice", "dumpsys power"):
            assert b"rm -rf ~" in host.v1(command)
    assert not (device.files.root / "data/local/tmp/owned").exists()


def test_a_killed_device_comes_back_on_its_port_with_its_files(device: LoopbackDevice) -> None:
    port = device.port
    with Host(port).connect() as host:
        push(host, b"kept", f"{TMP}/file")
        stream = host.open("shell:sleep 1000")
        device.stop()
        with pytest.raises(LOST):
            stream.read()
        with pytest.raises(ConnectionRefusedError):
            Host(port)
    device.start()
    with Host(port).connect() as host:
        assert pull(host, f"{TMP}/file") == b"kept"
    assert device.port == port


def test_dropped_connections_may_come_back_at_once(device: LoopbackDevice) -> None:
    with Host(device.port).connect() as host:
        stream = host.open("shell:sleep 1000")
        device.drop_connections()
        received(stream)
    with Host(device.port).connect() as host:
        assert host.v1("echo hi") == b"hi\n"


def test_a_closed_device_leaves_no_thread_behind(tmp_path: Path) -> None:
    with LoopbackDevice(tmp_path) as device:
        host = Host(device.port).connect()
        for _ in range(5):
            host.open("shell:sleep 1000")
    host.socket.close()
    wait_until(
        lambda: not any("loopback" in thread.name for thread in threading.enumerate()),
        "no thread of the device",
    )


def test_everything_can_be_switched_off_at_once() -> None:
    faults = Faults(drop_after_lines=1, delay_s=3, quota_bytes=5, noise=b"x")
    faults.freeze()
    faults.clear()
    assert (faults, faults.frozen) == (Faults(), False)
