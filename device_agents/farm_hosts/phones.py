"""What crosses between a holder and a host about one phone; and how a host opens phones."""

from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from device_agents.base import AgentSettings, DeviceAgent, DeviceState, say_on_stderr
from search.table.manifest import DeviceInfo, PhoneState, Source


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunnerSettings(_Part):
    """How a runner is started (`device_agents.base.AgentSettings`), as far as a holder says it."""

    backend: str
    threads: int
    affinity: tuple[int, ...] | None
    runner: str
    runtime: str
    timeout_s: float
    pin: bool

    @classmethod
    def of(cls, settings: AgentSettings) -> "RunnerSettings":
        """What is sent of an agent's settings."""
        return cls(**{name: getattr(settings, name) for name in cls.model_fields})


class OpenPhone(_Part):
    """A phone that is open: what it is, and what was said while it was opened."""

    info: DeviceInfo
    source: Source
    said: tuple[str, ...] = ()


class RunPart(_Part):
    """Records of a run, as the wire format writes them, and how it ended, if it did."""

    lines: tuple[str, ...]
    has_ended: bool
    error: tuple[str, str, str] | None = None
    said: tuple[str, ...] = ()


class OpensPhones(Protocol):
    """How a host opens a phone for a lease."""

    def __call__(
        self, address: str, settings: AgentSettings, token: int
    ) -> AbstractContextManager[DeviceAgent]:
        """The agent of the phone at this address, claimed for a token once it is entered."""
        ...


def state_to_json(state: DeviceState) -> dict[str, Any]:
    """A device's state as plain values."""
    plain = asdict(state)
    plain["phone"] = state.phone.model_dump(mode="json") if state.phone else None
    return {**plain, "refused_settings": dict(state.refused_settings)}


def state_of_json(content: Any) -> DeviceState:
    """A device's state back from plain values."""
    values = dict(content)
    phone = values.pop("phone")
    for name in ("cores_offline", "pinned"):
        values[name] = None if values[name] is None else tuple(values[name])
    return DeviceState(**values, phone=PhoneState.model_validate(phone) if phone else None)


def agent_settings(settings: RunnerSettings, say: Any = say_on_stderr) -> AgentSettings:
    """The settings of an agent on the host, which tells its sentences to `say`."""
    return AgentSettings(**dict(settings), say=say)
