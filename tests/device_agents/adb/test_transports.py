"""What every way to an Android device promises: commands, lines, files, losses."""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from adb_shell.auth.keygen import keygen

from device_agents.adb.copying import FileCopy
from device_agents.adb.device import AdbDevice
from device_agents.adb.direct import tcp_transport
from device_agents.adb.keys import load_signers
from device_agents.adb.transport import Stream
from search.errors import ConnectionLost, DeviceError, DeviceTimeout, KitError, UsageError
from tests.device_agents.conftest import TRANSPORTS, Connection
from tests.loopback.device import LoopbackDevice
from tests.loopback.faults import HOSTILE
from tests.waiting import PATIENCE_S

FOLDER = "/data/local/tmp/t"
NASTY = ["$(id)", "`id`", "'", '"', "a\nb", ";exit 1", "\x1b[2J", "é ☂", "\\n", "-n", "*", ""]


def pushed(phone: AdbDevice, path: Path, content: bytes, name: str = f"{FOLDER}/x") -> None:
    phone.run(["mkdir", "-p", FOLDER])
    path.write_bytes(content)
    phone.push(path, name, hashlib.sha256(content).hexdigest())


# --- commands


def test_a_command_gives_its_code_and_both_its_outputs(phone: AdbDevice) -> None:
    done = phone.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.code, done.text, done.last_error_line) == (3, "out", "err")


def test_each_word_arrives_as_it_was_given(phone: AdbDevice) -> None:
    done = phone.run(["printf", "<%s>", *NASTY])
    assert done.stdout.replace(b"\r\n", b"\n").decode() == "".join(f"<{word}>" for word in NASTY)


def test_many_commands_keep_their_order_whatever_becomes_of_one(phone: AdbDevice) -> None:
    commands = [["sh", "-c", f"echo {n}; exit {n % 7}"] for n in range(300)]
    done = phone.run_all(commands)
    assert [(one.text, one.code) for one in done] == [(str(n), n % 7) for n in range(300)]


def test_a_command_that_is_not_there_is_code_127_and_a_signal_adds_128(phone: AdbDevice) -> None:
    assert phone.run(["no-such-tool"]).code == 127
    assert phone.run(["sh", "-c", "kill -9 $$"]).code == 137


def test_a_command_cannot_wait_for_input(phone: AdbDevice) -> None:
    assert phone.run(["cat"]).code == 0


def test_a_failed_check_says_what_failed_and_why(phone: AdbDevice) -> None:
    with pytest.raises(DeviceError, match=r"Cannot list.*nowhere"):
        phone.check(["ls", "/nowhere"], "Cannot list")


def test_lines_are_read_and_then_the_code(phone: AdbDevice) -> None:
    running = phone.start(["sh", "-c", "echo one; echo; echo two; echo no >&2; exit 4"], PATIENCE_S)
    assert list(running.lines()) == ["one", "two"]
    assert running.result is not None
    assert (running.result.code, running.result.last_error_line) == (4, "no")


def test_a_line_is_read_before_the_next_is_written(
    phone: AdbDevice, device: LoopbackDevice
) -> None:
    gate = f"{FOLDER}/gate"
    phone.run(["mkdir", "-p", FOLDER])
    script = f"echo one; until test -f {gate}; do sleep 0.05; done; echo two"
    running = phone.start(["sh", "-c", script], PATIENCE_S)
    lines = running.lines()
    assert next(lines) == "one"
    (device.files.within(gate.lstrip("/"))).write_text("")
    assert list(lines) == ["two"]


# --- losses


def test_output_cut_in_the_middle_of_a_line_is_a_lost_connection_and_not_a_line(
    phone: AdbDevice, device: LoopbackDevice
) -> None:
    device.faults.drop_mid_line = 3
    running = phone.start(
        ["sh", "-c", "for i in 1 2 3 4 5 6; do echo line-number-$i; done"], PATIENCE_S
    )
    seen: list[str] = []
    with pytest.raises(ConnectionLost):
        seen.extend(running.lines())
    assert set(seen) <= {f"line-number-{n}" for n in range(1, 4)}


def test_a_truncated_answer_is_asked_for_again(phone: AdbDevice, device: LoopbackDevice) -> None:
    device.faults.truncate_output_bytes = 40
    assert phone.run(["echo", "x" * 100]).text == "x" * 100
    assert device.faults.fired == 1


def test_a_device_that_comes_back_is_found_again(phone: AdbDevice, device: LoopbackDevice) -> None:
    device.stop()
    later = threading.Timer(0.5, device.start)
    later.start()
    assert phone.run(["echo", "back"]).text == "back"
    later.join()


def test_a_device_that_stays_away_is_lost_and_the_sentence_says_so(
    phone: AdbDevice, device: LoopbackDevice
) -> None:
    phone.patience_s = 0.5
    device.stop()
    with pytest.raises(ConnectionLost, match=r"did not come back.*--resume"):
        phone.run(["echo", "x"])


def test_a_frozen_device_is_given_up_after_the_timeout(
    phone: AdbDevice, device: LoopbackDevice
) -> None:
    phone.patience_s, phone.timeout_s = 0.5, 0.7
    device.faults.freeze()
    with pytest.raises((DeviceTimeout, ConnectionLost)):
        phone.run(["echo", "x"])
    device.faults.thaw()


@pytest.mark.parametrize("name", TRANSPORTS)
def test_hostile_output_round_every_answer_changes_none_of_them(
    connect_device: Callable[..., Connection], name: str
) -> None:
    device, transport = connect_device(name)
    phone = AdbDevice(transport)
    phone.connect()
    device.faults.noise = HOSTILE
    done = phone.run_all([["echo", "a"], ["sh", "-c", "exit 5"]])
    assert [(one.text, one.code) for one in done] == [("a", 0), ("", 5)]
    assert list(phone.start(["echo", "line"], 30).lines()) == ["line"]
    assert not device.files.within("data/local/tmp/owned").exists()


# --- files


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536, 65_537, 3_000_001])
def test_a_file_comes_back_as_it_went(phone: AdbDevice, tmp_path: Path, size: int) -> None:
    content = hashlib.shake_128(b"x").digest(size)
    pushed(phone, tmp_path / "file", content)
    assert phone.pull(f"{FOLDER}/x") == content
    assert phone.run(["ls", FOLDER]).text == "x"


def test_a_copy_that_differs_is_refused_and_removed(phone: AdbDevice, tmp_path: Path) -> None:
    phone.run(["mkdir", "-p", FOLDER])
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(DeviceError, match="differs from the original"):
        phone.push(tmp_path / "file", f"{FOLDER}/x", "0" * 64)
    assert phone.run(["ls", FOLDER]).text == ""


def copies_of(folder: Path, contents: dict[str, bytes]) -> list[FileCopy]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [
        FileCopy(
            source=folder / name,
            path=f"{FOLDER}/{name}",
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for name, content in contents.items()
    ]


def test_many_files_are_copied_in_few_round_trips(
    phone: AdbDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.run(["mkdir", "-p", FOLDER])
    contents = {f"file{number:02}": hashlib.shake_128(b"x").digest(999) for number in range(30)}
    opened: list[str] = []
    really = phone.transport.open

    def open_counted(service: str, timeout_s: float) -> Stream:
        opened.append(service)
        return really(service, timeout_s)

    monkeypatch.setattr(phone.transport, "open", open_counted)
    phone.push_all(copies_of(tmp_path, contents))
    assert len(opened) < 10  # a script holds some twenty commands
    assert phone.run(["ls", FOLDER]).text.split() == sorted(contents)
    assert all(phone.pull(f"{FOLDER}/{name}") == contents[name] for name in ("file00", "file29"))


def test_of_many_files_those_are_there_whose_copies_are_right(
    phone: AdbDevice, tmp_path: Path
) -> None:
    phone.run(["mkdir", "-p", FOLDER])
    copies = copies_of(tmp_path, {name: name.encode() for name in ("a", "b", "c")})
    copies[1] = replace(copies[1], sha256="0" * 64)
    with pytest.raises(DeviceError, match="copy of b on the device differs"):
        phone.push_all(copies)
    assert phone.run(["ls", FOLDER]).text.split() == ["a", "c"]


def test_files_before_one_that_is_refused_are_there(phone: AdbDevice, tmp_path: Path) -> None:
    phone.run(["mkdir", "-p", FOLDER])
    copies = copies_of(tmp_path, {name: name.encode() for name in ("a", "b", "c")})
    copies[1] = replace(copies[1], path=f"{FOLDER}/{'b' * 300}")  # too long a name
    with pytest.raises(DeviceError, match="refused the file"):
        phone.push_all(copies)
    assert phone.run(["ls", FOLDER]).text == "a"


def test_no_files_need_no_device(phone: AdbDevice) -> None:
    phone.close()
    phone.push_all([])


def test_a_file_that_is_not_there_is_an_error_of_the_device(phone: AdbDevice) -> None:
    with pytest.raises(DeviceError, match="refused"):
        phone.pull("/data/local/tmp/nothing")


def test_a_full_device_says_so(phone: AdbDevice, device: LoopbackDevice, tmp_path: Path) -> None:
    device.faults.quota_bytes = 100_000
    with pytest.raises(DeviceError, match=r"full|No space"):
        pushed(phone, tmp_path / "file", bytes(4_000_000))


def test_a_push_that_is_cut_is_done_again_and_leaves_no_part(
    phone: AdbDevice, device: LoopbackDevice, tmp_path: Path
) -> None:
    device.faults.drop_after_received_bytes = 300_000
    content = hashlib.shake_128(b"y").digest(1_000_000)
    pushed(phone, tmp_path / "file", content)
    assert device.faults.fired == 1
    assert phone.pull(f"{FOLDER}/x") == content
    assert phone.run(["ls", FOLDER]).text == "x"


def test_a_pull_that_is_cut_is_done_again(
    phone: AdbDevice, device: LoopbackDevice, tmp_path: Path
) -> None:
    content = hashlib.shake_128(b"z").digest(1_000_000)
    pushed(phone, tmp_path / "file", content)
    device.faults.drop_after_sent_bytes = 300_000
    assert phone.pull(f"{FOLDER}/x") == content


# --- who may come in


def test_a_refused_key_is_told_apart_from_a_missing_device(
    connect_device: Callable[..., Connection],
) -> None:
    _, transport = connect_device("tcp", keys=[], accept_offers=False)
    with pytest.raises(KitError, match=r"unauthorized|refused") as told:
        transport.connect(3)
    assert "accept the question" in told.value.remedy


@pytest.mark.parametrize("named", ["file", "folder"])
def test_a_vendors_key_opens_a_device_that_accepts_no_other(
    named: str,
    connect_device: Callable[..., Connection],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = tmp_path / "vendor" / "lab.adb_key"
    key.parent.mkdir()
    keygen(str(key))
    public = key.with_name("lab.adb_key.pub")
    device, transport = connect_device("tcp", keys=[public.read_bytes()], accept_offers=False)
    public.unlink()
    with pytest.raises(KitError, match=r"unauthorized|refused"):
        transport.connect(3)
    chosen = key if named == "file" else key.parent
    monkeypatch.setenv("ADB_VENDOR_KEYS", os.pathsep.join([str(tmp_path), str(chosen)]))
    again = tcp_transport("127.0.0.1", device.port)
    again.connect(10)
    assert AdbDevice(again).run(["echo", "in"]).text == "in"


def test_a_vendors_key_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "no-key"
    path.write_text("nothing")
    monkeypatch.setenv("ADB_VENDOR_KEYS", str(path))
    with pytest.raises(UsageError, match="no-key cannot be used") as told:
        load_signers()
    assert "ADB_VENDOR_KEYS" in told.value.remedy


def test_a_new_key_is_made_once_and_accepted(connect_device: Callable[..., Connection]) -> None:
    device, transport = connect_device("tcp", keys=[])
    for _ in range(2):
        transport.connect(10)
        assert AdbDevice(transport).run(["echo", "in"]).text == "in"
    assert device.connections >= 2
