"""adb-shell's client, written by others, against the loopback device."""

import io
import os
from pathlib import Path

import pytest

from tests.loopback import MODERN, OLD, Wire
from tests.loopback_tests.conftest import MakeDevice

pytest.importorskip("adb_shell", reason="adb-shell is not installed")

from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_cryptography import CryptographySigner
from adb_shell.exceptions import PushFailedError

from tests.loopback_tests.adb_shell_client import TIMEOUT_S, connected

TMP = "/data/local/tmp"
WIRES = pytest.mark.parametrize("wire", [MODERN, OLD], ids=["modern", "old"])


@WIRES
def test_commands_answer(make_device: MakeDevice, wire: Wire) -> None:
    client = connected(make_device(wire=wire).port)
    assert client.shell("echo out; echo err >&2", read_timeout_s=TIMEOUT_S) == "out\nerr\n"
    assert client.shell("seq 50000", read_timeout_s=TIMEOUT_S).split()[-1] == "50000"
    assert client.exec_out("printf abc", read_timeout_s=TIMEOUT_S) == "abc"
    client.close()


@WIRES
@pytest.mark.parametrize("size", [0, 1, 2_000_000])
def test_files_come_back_as_they_went(make_device: MakeDevice, wire: Wire, size: int) -> None:
    client = connected(make_device(wire=wire).port)
    data, back = os.urandom(size), io.BytesIO()
    client.push(io.BytesIO(data), f"{TMP}/odd ' name", read_timeout_s=TIMEOUT_S)
    client.pull(f"{TMP}/odd ' name", back, read_timeout_s=TIMEOUT_S)
    assert back.getvalue() == data
    assert client.stat(f"{TMP}/odd ' name", read_timeout_s=TIMEOUT_S)[1] == size
    names = {bytes(entry.filename) for entry in client.list(TMP, read_timeout_s=TIMEOUT_S)}
    assert b"odd ' name" in names
    client.close()


def test_a_push_where_nothing_may_be_written_fails(make_device: MakeDevice) -> None:
    client = connected(make_device().port)
    with pytest.raises(PushFailedError, match="Permission denied"):
        client.push(io.BytesIO(b"x"), "/system/x", read_timeout_s=TIMEOUT_S)
    client.close()


def test_its_key_is_accepted_once_and_known_then(make_device: MakeDevice, tmp_path: Path) -> None:
    keygen(str(tmp_path / "adbkey"))
    signer = CryptographySigner(str(tmp_path / "adbkey"))
    device = make_device(keys=[])
    for _ in range(2):
        client = connected(device.port, [signer])
        assert client.shell("echo in", read_timeout_s=TIMEOUT_S) == "in\n"
        client.close()
