"""Commands: both versions of the shell, on both grounds."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import LoopbackDevice, Phone
from tests.loopback.ground import OutputFilter
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host
from tests.waiting import wait_until


@pytest.fixture
def device(make_device: MakeDevice, ground: str) -> LoopbackDevice:
    return make_device(ground=ground)


@pytest.fixture
def host(device: LoopbackDevice) -> Iterator[Host]:
    with Host(device.port).connect() as connected:
        yield connected


def gone(pid: int) -> bool:
    """Whether the process ends; waits for it."""

    def has_ended() -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    return wait_until(has_ended, f"the end of process {pid}")


def test_version_two_tells_exit_code_output_and_errors_apart(host: Host) -> None:
    assert host.v2("echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")


def test_version_one_merges_outputs_and_has_no_exit_code(host: Host) -> None:
    assert host.v1("echo out; echo err >&2; exit 7") == b"out\nerr\n"


def test_exec_passes_bytes_unchanged(host: Host) -> None:
    assert host.open(r"exec:printf '\000\r\n\377'").read_all() == b"\0\r\n\xff"


def test_old_terminals_end_lines_by_cr_lf(make_device: MakeDevice) -> None:
    device = make_device("old", phone=Phone(old_terminal=True))
    with Host(device.port).connect() as host:
        assert host.v1("echo a; echo b") == b"a\r\nb\r\n"
        assert host.v2("echo a")[1] == b"a\n"


@pytest.mark.parametrize("code", [0, 1, 126, 127, 255])
def test_exit_codes_arrive(host: Host, code: int) -> None:
    assert host.v2(f"exit {code}")[0] == code


def test_a_killed_command_has_the_code_of_its_signal(host: Host) -> None:
    assert host.v2("kill -9 $$")[0] == 137


def test_input_arrives_and_its_end_too(host: Host) -> None:
    data = bytes(range(256)) * 4000
    assert host.v2("wc -c; cat", data)[1].strip() == str(len(data)).encode()
    assert host.v2("cat", data) == (0, data, b"")


def test_input_that_nobody_reads_blocks_nothing(host: Host) -> None:
    assert host.v2("echo done", b"x" * 300_000)[:2] == (0, b"done\n")


def test_without_a_command_lines_of_input_are_commands(host: Host) -> None:
    assert host.v2("", b"echo one\nexit 3\n") == (3, b"one\n", b"")


def test_output_comes_while_the_command_still_runs(host: Host) -> None:
    stream = host.open("shell,v2,raw:echo first; read line; echo got $line")
    assert stream.read_exactly(11) == struct.pack("<BI", 1, 6) + b"first\n"
    stream.write(struct.pack("<BI", 0, 3) + b"so\n")
    assert stream.read_exactly(12) == struct.pack("<BI", 1, 7) + b"got so\n"


@pytest.mark.parametrize("how", ["stream", "connection"])
def test_a_command_dies_with_its_stream(host: Host, how: str) -> None:
    stream = host.open("exec:echo $$; exec sleep 1000")
    pid = int(stream.read())
    if how == "stream":
        stream.close()
    else:
        host.socket.close()
    assert gone(pid)


def test_what_left_the_session_outlives_the_stream_but_not_the_device(
    make_device: MakeDevice, ground: str, tmp_path: Path
) -> None:
    with LoopbackDevice(tmp_path / "own", ground=ground) as device:
        with Host(device.port).connect() as host:
            text = "setsid sh -c 'echo $$; exec sleep 1000' 2>/dev/null </dev/null"
            stream = host.open(f"exec:{text}")
            pid = int(stream.read())
        with Host(device.port).connect() as host:
            assert host.v1(f"test -d /proc/{pid} && echo there") == b"there\n"
    assert gone(pid)


def test_device_paths_mean_the_root_folder(host: Host, device: LoopbackDevice) -> None:
    host.v2("mkdir -p /data/local/tmp/kit && echo 5 >/data/local/tmp/kit/five; cd /sdcard; pwd >p")
    assert (device.files.root / "data/local/tmp/kit/five").read_text() == "5\n"
    assert (device.files.root / "sdcard/p").exists()
    assert host.v2("cat '/data/local/tmp/kit/five' | tee /sdcard/six; cat </sdcard/six") == (
        0,
        b"5\n5\n",
        b"",
    )


def test_output_shows_device_paths(host: Host) -> None:
    host.v2("echo 5 >/data/local/tmp/five")
    assert host.v2("ls /data/local/tmp/*")[1] == b"/data/local/tmp/five\n"
    code, _, errors = host.v2("cat /data/local/tmp/six")
    assert code == 1
    assert b" /data/local/tmp/six:" in errors
    assert host.v2("cd /data/local/tmp; pwd")[1] == b"/data/local/tmp\n"


def test_programs_that_phones_lack_are_not_found(host: Host) -> None:
    assert host.v2("python3 --version")[0] == 127


def test_a_program_of_another_machine_does_not_start(host: Host, device: LoopbackDevice) -> None:
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf7\x00" + bytes(100)
    place = device.files.root / "data/local/tmp/runner"
    place.write_bytes(elf)
    place.chmod(0o755)
    assert host.v2("/data/local/tmp/runner")[0] in (2, 126, 127)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_path_is_taken_away_wherever_the_stream_is_cut(size: int) -> None:
    data = b"x/root/dev/a /root/de /root /root/dev\n/root/dev/root/dev/b /root/d"
    seen = OutputFilter(b"/root/dev")
    shown = b"".join(seen(data[n : n + size]) for n in range(0, len(data), size))
    assert shown + seen(b"", last=True) == data.replace(b"/root/dev", b"")
