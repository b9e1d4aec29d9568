"""Requests and replies of a farm's services: one line of JSON, then bytes.

Nothing in them is executed: a method is called by its name, from a list, with checked arguments;
an error comes back as its kind, from a list, with its two sentences.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from device_agents.farm.model import FencedOff, LeaseLost
from search.errors import (
    ConnectionLost,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    KitError,
    StorageError,
    UsageError,
)


class NotAdmitted(UsageError):
    """The caller has not shown that it knows the farm's secret, or not to this service."""


_ERRORS: dict[str, type[KitError]] = {
    kind.__name__: kind
    for kind in (
        NotAdmitted,
        LeaseLost,
        FencedOff,
        ConnectionLost,
        DeviceLost,
        DeviceTimeout,
        DeviceError,
        StorageError,
        UsageError,
    )
}


class Request(BaseModel):
    """A call: the caller's ticket, a method and its arguments by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket: str
    method: str
    arguments: dict[str, Any]


class Reply(BaseModel):
    """A value, or an error by kind, message and remedy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Any = None
    error: tuple[str, str, str] | None = None


def write(message: Request | Reply, content: bytes = b"") -> bytes:
    """A message, and bytes that go with it."""
    return message.model_dump_json().encode() + b"\n" + content


def read_request(data: bytes) -> tuple[Request, bytes]:
    """A request and its bytes.

    Raises:
        UsageError: It is none.
    """
    line, _, content = data.partition(b"\n")
    try:
        return Request.model_validate_json(line), content
    except ValidationError as error:
        raise UsageError(
            "A farm's service got a request that it cannot read.",
            "Install the same version of the kit on all hosts.",
        ) from error


def read_reply(data: bytes) -> tuple[Any, bytes]:
    """The value of a reply and its bytes.

    Raises:
        KitError: The reply is an error.
    """
    line, _, content = data.partition(b"\n")
    try:
        reply = Reply.model_validate_json(line)
    except ValidationError as error:
        raise UsageError(
            "A farm's service gave a reply that cannot be read.",
            "Install the same version of the kit on all hosts.",
        ) from error
    if reply.error is not None:
        kind, message, remedy = reply.error
        raise _ERRORS.get(kind, DeviceError)(message, remedy)
    return reply.value, content


def error_reply(error: KitError) -> bytes:
    """An error as a reply, by the nearest kind that the other side knows."""
    kind = next((base.__name__ for base in type(error).__mro__ if base in _KINDS), "DeviceError")
    return write(Reply(error=(kind, error.message, error.remedy)))


_KINDS = set(_ERRORS.values())
