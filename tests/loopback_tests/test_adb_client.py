"""Debian's own adb against the loopback device.

Each test session has a server of its own, on a port of its own, with a home and
keys of its own; the user's server is never touched.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import OLD, LoopbackDevice, Phone
from tests.loopback_tests.conftest import MakeDevice
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.skipif(shutil.which("adb") is None, reason="adb is not installed")

Done = subprocess.CompletedProcess[bytes]
TMP = "/data/local/tmp"
TIMEOUT_S = PATIENCE_S


class Adb:
    """The client, with a server of its own."""

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ANDROID_USER_HOME": str(home / ".android"),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",  # looks for no emulators
        }

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Done:
        command = ["adb", "-P", str(self.port), *map(str, arguments)]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=self.environment,
            cwd=self.home,
            timeout=TIMEOUT_S,
        )

    def connect(self, device: LoopbackDevice) -> str:
        """Connect; returns the serial number, by which the device is then called."""
        done = self("connect", device.address)
        assert b"connected to" in done.stdout, done
        return device.address

    def call_back(self, device: LoopbackDevice) -> None:
        """Connect anew until it is there: adb 29 may call an offline device connected."""
        end = time.monotonic() + TIMEOUT_S
        while self.state(device.address) != "device":
            assert time.monotonic() < end
            self("disconnect", device.address)
            self.connect(device)
            time.sleep(0.2)

    def state(self, serial: str) -> str:
        """What the list of devices says of it; empty if it is not listed."""
        for line in self("devices").stdout.decode().splitlines():
            if line.startswith(serial):
                return line.split()[1]
        return ""

    def wait_for(self, serial: str, state: str) -> None:
        wait_until(lambda: self.state(serial) == state, f"{serial} is {state!r}")


@pytest.fixture(scope="module")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    client = Adb(tmp_path_factory.mktemp("home"))
    done = client("start-server")
    assert done.returncode == 0, done
    yield client
    client("kill-server")


@pytest.fixture
def serial(adb: Adb, device: LoopbackDevice) -> Iterator[str]:
    yield adb.connect(device)
    adb("disconnect", device.address)


@pytest.fixture
def old_serial(adb: Adb, make_device: MakeDevice) -> Iterator[str]:
    device = make_device("old", wire=OLD)
    yield adb.connect(device)
    adb("disconnect", device.address)


def test_devices_lists_the_phone_with_its_names(adb: Adb, make_device: MakeDevice) -> None:
    device = make_device(phone=Phone(model="Loop 7", name="seven", device="devseven"))
    serial = adb.connect(device)
    adb.wait_for(serial, "device")
    listed = adb("devices", "-l").stdout.decode()
    line = next(line for line in listed.splitlines() if line.startswith(serial))
    assert line.split()[1:5] == ["device", "product:seven", "model:Loop_7", "device:devseven"]
    adb("disconnect", serial)


def test_shell_tells_exit_code_and_errors_apart(adb: Adb, serial: str) -> None:
    done = adb("-s", serial, "shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_shell_passes_input_on(adb: Adb, serial: str) -> None:
    data = os.urandom(1_000_000)
    assert adb("-s", serial, "shell", "cat", stdin=data).stdout == data


def test_an_old_device_gives_output_without_a_code(adb: Adb, old_serial: str) -> None:
    done = adb("-s", old_serial, "shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (0, b"out\nerr\n")


def test_exec_out_is_binary(adb: Adb, serial: str) -> None:
    assert adb("-s", serial, "exec-out", r"printf '\000\r\n\377'").stdout == b"\0\r\n\xff"


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
@pytest.mark.parametrize("which", ["serial", "old_serial"])
def test_files_come_back_as_they_went(
    adb: Adb, request: pytest.FixtureRequest, tmp_path: Path, size: int, which: str
) -> None:
    serial = request.getfixturevalue(which)
    data = os.urandom(size)
    (tmp_path / "there").write_bytes(data)
    pushed = adb("-s", serial, "push", tmp_path / "there", f"{TMP}/new/file")
    assert pushed.returncode == 0, pushed
    pulled = adb("-s", serial, "pull", f"{TMP}/new/file", tmp_path / "back")
    assert pulled.returncode == 0, pulled
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize("which", ["serial", "old_serial"])
def test_folders_with_odd_names_come_back_as_they_went(
    adb: Adb, request: pytest.FixtureRequest, tmp_path: Path, which: str
) -> None:
    serial = request.getfixturevalue(which)
    names = ["plain", "with space", "quote'\"", "$(touch owned)", "ünïcödé", "deep/er/still", ";&|"]
    for name in names:
        place = tmp_path / "there" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    pushed = adb("-s", serial, "push", tmp_path / "there", f"{TMP}/tree")
    assert pushed.returncode == 0, pushed
    pulled = adb("-s", serial, "pull", f"{TMP}/tree", tmp_path / "back")
    assert pulled.returncode == 0, pulled
    assert {name: (tmp_path / "back" / name).read_text() for name in names} == {n: n for n in names}


def test_list_shows_names_and_sizes(adb: Adb, serial: str, tmp_path: Path) -> None:
    (tmp_path / "five").write_bytes(b"12345")
    adb("-s", serial, "push", tmp_path / "five", f"{TMP}/five")
    lines = adb("-s", serial, "ls", TMP).stdout.decode().splitlines()
    assert {line.split()[3]: int(line.split()[1], 16) for line in lines}["five"] == 5


def test_refusals_arrive_in_words(adb: Adb, serial: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 300_000)
    done = adb("-s", serial, "push", tmp_path / "x", "/system/x")
    assert done.returncode != 0
    assert b"couldn't create file: Permission denied" in done.stderr + done.stdout
    done = adb("-s", serial, "pull", f"{TMP}/none", tmp_path / "y")
    assert done.returncode != 0
    assert b"No such file or directory" in done.stderr + done.stdout


def test_a_full_device_says_so(adb: Adb, make_device: MakeDevice, tmp_path: Path) -> None:
    device = make_device()
    serial = adb.connect(device)
    device.faults.quota_bytes = 100_000
    (tmp_path / "big").write_bytes(b"x" * 5_000_000)
    done = adb("-s", serial, "push", tmp_path / "big", f"{TMP}/big")
    assert done.returncode != 0
    assert b"No space left on device" in done.stderr + done.stdout
    adb("disconnect", serial)


def test_a_new_key_is_unauthorized_until_it_is_accepted(adb: Adb, make_device: MakeDevice) -> None:
    device = make_device(keys=[], accept_offers=False)
    adb("connect", device.address)
    adb.wait_for(device.address, "unauthorized")
    assert b"unauthorized" in adb("-s", device.address, "shell", "true").stderr
    adb("disconnect", device.address)
    accepting = make_device("accepting", keys=[], accept_offers=True)
    adb("connect", accepting.address)
    adb.wait_for(accepting.address, "device")
    assert adb("-s", accepting.address, "shell", "exit 3").returncode == 3
    adb("disconnect", accepting.address)


def test_a_known_key_comes_in_without_a_question(adb: Adb, make_device: MakeDevice) -> None:
    public = adb.home / ".android/adbkey.pub"
    device = make_device(keys=[public.read_bytes()], accept_offers=False)
    adb.connect(device)
    adb.wait_for(device.address, "device")
    adb("disconnect", device.address)


def test_a_lost_connection_ends_the_output_and_a_new_one_works(
    adb: Adb, make_device: MakeDevice
) -> None:
    device = make_device()
    serial = adb.connect(device)
    device.faults.drop_after_lines = 3
    done = adb("-s", serial, "shell", "seq 100000")
    # Not a word about the loss: adb 29 ends with code 0 here.
    lines = done.stdout.splitlines()
    # What was under way may go with the connection.
    assert lines == [b"1", b"2", b"3"][: len(lines)]
    adb("disconnect", serial)
    adb.call_back(device)
    assert adb("-s", serial, "shell", "exit 4").returncode == 4
    adb("disconnect", serial)
