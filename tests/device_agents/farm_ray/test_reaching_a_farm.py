"""A farm that is not there, or will not have us, is told so at once and by its reason."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.farm_hosts.messages import NotAdmitted
from device_agents.farm_hosts.transport import Unreachable
from device_agents.farm_ray import processes, transport
from device_agents.farm_ray.processes import head_options, host_options, listens, running_node
from device_agents.farm_ray.transport import RayTransport
from search.errors import DeviceError


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s" * 64)
    path.chmod(0o600)
    return path


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def _port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return _port(listening)


def test_what_listens_is_known(taken: socket.socket) -> None:
    assert listens(f"127.0.0.1:{_port(taken)}")
    assert not listens(f"127.0.0.1:{_free()}")


def test_a_host_that_joins_where_nothing_listens_is_told_so(secret: Path, tmp_path: Path) -> None:
    options = host_options(f"127.0.0.1:{_free()}", "127.0.0.1", "shelf")
    with (
        pytest.raises(DeviceError, match="Nothing listens at") as told,
        running_node(options, secret, tmp_path / "log"),
    ):
        pass
    assert "farm start" in told.value.remedy


def test_a_second_farm_on_a_port_is_refused(
    taken: socket.socket, secret: Path, tmp_path: Path
) -> None:
    options = head_options("127.0.0.1", _port(taken))
    with (
        pytest.raises(DeviceError, match=r"Something listens at .* already"),
        running_node(options, secret, tmp_path / "log"),
    ):
        pass


def _node_that_says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-c", f"import sys; print({text!r}); sys.exit(1)"]
    monkeypatch.setattr(processes, "_command", lambda _: words)


def test_a_node_with_another_secret_is_told_what_to_copy(
    taken: socket.socket, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _node_that_says("AuthenticationError: InvalidAuthToken: long words", monkeypatch)
    options = host_options(f"127.0.0.1:{_port(taken)}", "127.0.0.1", "shelf")
    with (
        pytest.raises(DeviceError, match="has another secret") as told,
        running_node(options, secret, tmp_path / "log"),
    ):
        pass
    assert "--secret" in told.value.remedy


def test_a_connection_that_two_calls_in_a_row_got_no_reply_by_is_made_anew(
    taken: socket.socket, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["The farm's registry cannot be reached: no answer within 30 s.", "Look there."]
    # Replies with its own number to every third call, and says of the others that none came.
    more = (
        "; import os; from device_agents.farm_ray.processes import read_frame\n"
        "for turn in range(9):\n"
        "  asked, _ = read_frame(sys.stdin.buffer)\n"
        f"  silent = {{'id': asked['id'], 'error': {said!r}, 'silent': True}}\n"
        "  answer = {'id': asked['id'], 'error': None}\n"
        "  number = str(os.getpid()).encode()\n"
        "  write = (answer, number) if turn in (0, 2) else (silent, b'')\n"
        "  write_frame(sys.stdout.buffer, *write)\n"
    )
    _carrier_that_says(None, monkeypatch, more)
    carried = RayTransport(f"127.0.0.1:{_port(taken)}", secret)
    first = carried.ask("registry", b"", 30.0)
    with pytest.raises(Unreachable):
        carried.ask("registry", b"", 30.0)
    assert carried.ask("registry", b"", 30.0) == first  # once is no reason
    for _ in range(2):
        with pytest.raises(Unreachable, match="no answer within 30 s"):
            carried.ask("registry", b"", 30.0)
    assert carried.ask("registry", b"", 30.0) != first
    carried.close()


def _carrier_that_says(error: str | None, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
    """What carries a command's calls says this first, and then does more."""
    code = (
        "import sys; from device_agents.farm_ray.processes import write_frame; "
        f"write_frame(sys.stdout.buffer, {{'id': 0, 'error': {error!r}}})" + more
    )
    real = subprocess.Popen

    def popen(words: list[str], **options: object) -> "subprocess.Popen[bytes]":
        assert "device_agents.farm_ray.carrier" in words
        started: subprocess.Popen[bytes] = real([sys.executable, "-c", code], **options)  # type: ignore[call-overload]
        return started

    monkeypatch.setattr("device_agents.farm_ray.transport.subprocess.Popen", popen)
    monkeypatch.setattr(transport, "require_ray", lambda: None)


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ("secret", NotAdmitted, "has another secret"),
        ("unreachable", Unreachable, "does not answer"),
    ],
)
def test_a_command_is_told_why_it_does_not_get_in(
    taken: socket.socket,
    secret: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    error: type[Exception],
    message: str,
) -> None:
    _carrier_that_says(said, monkeypatch)
    carried = RayTransport(f"127.0.0.1:{_port(taken)}", secret)
    with pytest.raises(error, match=message):
        carried.ask("registry", b"", 5.0)
    carried.close()


def test_a_command_to_a_farm_that_is_not_there_starts_nothing(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "require_ray", lambda: None)
    monkeypatch.setattr("device_agents.farm_ray.transport.subprocess.Popen", None)
    with pytest.raises(Unreachable, match="nothing listens"):
        RayTransport(f"127.0.0.1:{_free()}", secret).ask("registry", b"", 5.0)


def test_what_cannot_be_reached_behind_ray_is_said_once(
    taken: socket.socket, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["The farm's registry cannot be reached: it is not there.", "Look there."]
    more = (
        "; from device_agents.farm_ray.processes import read_frame; "
        "asked, _ = read_frame(sys.stdin.buffer); "
        f"write_frame(sys.stdout.buffer, {{'id': asked['id'], 'error': {said!r}}}); "
        "sys.stdin.buffer.read()"
    )
    _carrier_that_says(None, monkeypatch, more)
    carried = RayTransport(f"127.0.0.1:{_port(taken)}", secret)
    with pytest.raises(Unreachable) as told:
        carried.ask("registry", b"", 30.0)
    carried.close()
    assert [told.value.message, told.value.remedy] == said
