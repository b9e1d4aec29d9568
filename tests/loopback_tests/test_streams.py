"""Handshake, streams and their flow, at both protocol versions."""

import struct

import pytest

from tests.loopback import MODERN, OLD, LoopbackDevice, Phone, Wire
from tests.loopback.messages import VERSION_CHECKSUM, Command, Disconnected
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host


@pytest.mark.parametrize("wire", [MODERN, OLD])
def test_the_banner_names_the_phone_and_its_features(make_device: MakeDevice, wire: Wire) -> None:
    device = make_device(wire=wire, phone=Phone(model="Tester 7"))
    with Host(device.port).connect() as host:
        assert host.banner.startswith("device::ro.product.name=loopback;ro.product.model=Tester 7;")
        assert ("features=shell_v2,cmd" in host.banner) == (wire is MODERN)
        assert (host.version, host.most_bytes) == (wire.version, wire.most_bytes)


@pytest.mark.parametrize("version", [VERSION_CHECKSUM, MODERN.version])
@pytest.mark.parametrize("most_bytes", [4096, 1 << 20])
def test_the_smaller_payload_and_the_older_version_win(
    device: LoopbackDevice, version: int, most_bytes: int
) -> None:
    with Host(device.port, version=version, most_bytes=most_bytes).connect() as host:
        assert host.v1("seq 20000").split() == [b"%d" % n for n in range(1, 20001)]


def test_a_wrong_magic_ends_the_connection(device: LoopbackDevice) -> None:
    with Host(device.port) as host:
        host.socket.sendall(struct.pack("<6I", Command.CNXN, 0, 0, 0, 0, 7))
        assert host.socket.recv(1) == b""


def test_a_wrong_checksum_ends_an_old_connection(make_device: MakeDevice) -> None:
    device = make_device(wire=OLD)
    with Host(device.port).connect() as host:
        stream = host.open("shell:cat")
        host.send(Command.WRTE, stream.local, stream.remote, b"abc", checksum=False)
        assert host.socket.recv(1) == b""


def test_an_unknown_service_is_closed_at_once(host: Host) -> None:
    assert host.open("reboot:").closed
    assert host.v1("echo still here") == b"still here\n"


def test_version_two_of_the_shell_is_refused_where_it_was_not_announced(
    make_device: MakeDevice,
) -> None:
    device = make_device(wire=OLD)
    with Host(device.port).connect() as host:
        assert host.open("shell,v2,raw:echo hi").closed


def test_streams_run_side_by_side_and_keep_their_data_apart(host: Host) -> None:
    cats = [host.open("shell,v2,raw:cat") for _ in range(8)]
    for round_number in range(5):
        for number, cat in enumerate(cats):
            line = f"{number} {round_number}\n".encode()
            cat.write(struct.pack("<BI", 0, len(line)) + line)
    for number, cat in enumerate(cats):
        wanted = "".join(f"{number} {n}\n" for n in range(5)).encode()
        found = b""
        while len(found) < len(wanted):
            _, size = struct.unpack("<BI", cat.read_exactly(5))
            found += cat.read_exactly(size)
        assert found == wanted


def test_only_one_write_is_under_way_in_each_stream(host: Host) -> None:
    """The host's side of this test fails if the device sends a second one."""
    stream = host.open("shell:seq 300000")
    other = host.v1("echo meanwhile")
    assert other == b"meanwhile\n"
    assert stream.read_all().count(b"\n") == 300000


def test_a_host_that_writes_without_waiting_is_cut_off(host: Host) -> None:
    stream = host.open("shell:sleep 60")

    def write_on() -> None:
        for _ in range(50):
            host.send(Command.WRTE, stream.local, stream.remote, b"x" * 100_000)
        while True:
            host.receive()

    with pytest.raises((ConnectionError, Disconnected)):
        write_on()


def test_connections_do_not_know_of_each_other(device: LoopbackDevice) -> None:
    with Host(device.port).connect() as one, Host(device.port).connect() as two:
        stream = one.open("shell:sleep 60")
        assert two.v1("echo two") == b"two\n"
        assert not stream.closed
    assert device.connections == 2


def test_a_second_greeting_ends_the_streams_of_the_first(host: Host) -> None:
    host.open("shell:sleep 60")
    host.send(Command.CNXN, host.version, host.most_bytes, b"host::", checksum=True)
    while host.receive().command != Command.CNXN:
        pass
    assert host.v1("echo again") == b"again\n"
