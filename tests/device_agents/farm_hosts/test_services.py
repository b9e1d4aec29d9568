"""Who may call a farm's services, and what they answer."""

from pathlib import Path

import pytest

from device_agents.farm.journal import FarmJournal
from device_agents.farm.registry import Registry
from device_agents.farm_hosts.admission import (
    Admission,
    default_secret,
    make_secret,
    prove,
    read_secret,
)
from device_agents.farm_hosts.clients import Caller, RegistryClient
from device_agents.farm_hosts.messages import NotAdmitted, Request, read_reply, write
from device_agents.farm_hosts.service import ObjectService
from device_agents.farm_hosts.transport import REGISTRY, InProcess, Unreachable
from device_agents.farm_ray.actors import REGISTRY_METHODS
from search.errors import DeviceError, UsageError
from tests.device_agents.farm_hosts.shelves import SECRET, Farm


def test_a_secret_is_drawn_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "farm" / "secret"
    make_secret(path)
    drawn = read_secret(path)
    make_secret(path)
    assert read_secret(path) == drawn
    assert len(drawn) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert default_secret().name == "secret"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        ("s" * 64, 0o640, "Others than its owner"),
        ("short", 0o600, "too short"),
        (None, 0, "cannot"),
    ],
)
def test_a_secret_that_is_open_short_or_missing_is_refused(
    tmp_path: Path, content: str | None, mode: int, problem: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(UsageError, match=problem):
        read_secret(path)


def test_a_challenge_is_answered_once_and_by_who_knows_the_secret() -> None:
    admission = Admission(SECRET)
    challenge = admission.challenge()
    answer = prove(SECRET, challenge)
    admission.check(admission.admit(challenge, answer))
    for wrong in ((challenge, answer), ("made up", prove(SECRET, "made up"))):
        with pytest.raises(NotAdmitted):
            admission.admit(*wrong)
    with pytest.raises(NotAdmitted):
        admission.admit(admission.challenge(), answer)
    with pytest.raises(NotAdmitted):
        admission.check("")


def test_nothing_is_answered_without_the_secret(farm: Farm) -> None:
    stranger = RegistryClient(farm.transport, b"x" * 64)
    with pytest.raises(NotAdmitted, match="another secret"):
        stranger.phones()
    bare = write(Request(ticket="", method="phones", arguments={}))
    with pytest.raises(NotAdmitted):
        read_reply(farm.transport.ask(REGISTRY, bare, 1.0))


def test_a_caller_shows_the_secret_again_after_the_service_was_started_again() -> None:
    services: dict[str, ObjectService] = {}

    def restart() -> None:
        registry = Registry(FarmJournal(":memory:"))
        services[REGISTRY] = ObjectService(registry, REGISTRY_METHODS, SECRET, one_at_a_time=True)

    restart()
    client = RegistryClient(InProcess(services), SECRET)
    assert client.phones() == []
    restart()
    assert client.hosts() == []


@pytest.mark.parametrize(
    ("method", "arguments", "problem"),
    [
        ("_expire", {}, "no method '_expire'"),
        ("transaction", {}, "no method"),
        ("renew", {}, "wrong argument"),
        ("renew", {"key": ["x"]}, "wrong argument"),
        ("see", {"host": "h", "sightings": [{"host": "h"}]}, "wrong argument"),
    ],
)
def test_only_listed_methods_are_called_and_with_checked_arguments(
    farm: Farm, method: str, arguments: dict[str, object], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        Caller(farm.transport, REGISTRY, SECRET)(method, arguments)


@pytest.mark.parametrize("request_bytes", [b"", b"{}", b"\x80\x04.", b"[1]\n"])
def test_a_request_that_is_none_is_answered_with_an_error(farm: Farm, request_bytes: bytes) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_reply(farm.transport.ask(REGISTRY, request_bytes, 1.0))


def test_a_service_that_is_not_there_is_unreachable(farm: Farm) -> None:
    with pytest.raises(Unreachable, match="host-nowhere"):
        farm.transport.ask("host-nowhere", b"", 1.0)


def test_a_file_is_kept_under_its_own_hash_and_nowhere_else(farm: Farm) -> None:
    host = farm.hosts["shelf-1"]
    for name in ("../secret", "a" * 63, ""):
        with pytest.raises(UsageError, match="names no file"):
            host.put(name, "0" * 32, 0, True, b"x")
    with pytest.raises(UsageError, match="names no upload"):
        host.put("a" * 64, "../x", 0, True, b"x")
    with pytest.raises(DeviceError, match="damaged"):
        host.put("a" * 64, "0" * 32, 0, True, b"x")
    assert host.missing(["a" * 64]) == ["a" * 64]
