"""A service: methods of an object, called by name after admission, with checked arguments."""

import logging
import threading
from collections.abc import Collection
from typing import Any

from pydantic import ValidationError, validate_call
from pydantic_core import to_jsonable_python

from device_agents.farm_hosts.admission import Admission
from device_agents.farm_hosts.messages import (
    Reply,
    Request,
    error_reply,
    read_request,
    write,
)
from search.documents import first_problem
from search.errors import DeviceError, KitError, UsageError


class ObjectService:
    """Answers calls with the methods of an object.

    Args:
        target: What has the methods.
        methods: The names that may be called; nothing else of the object can be.
        secret: The farm's.
        one_at_a_time: Whether the target must not be called by two threads at once.
    """

    def __init__(
        self, target: object, methods: Collection[str], secret: bytes, *, one_at_a_time: bool
    ) -> None:
        self._methods = {name: validate_call(getattr(target, name)) for name in methods}
        self._admission = Admission(secret)
        self._turn = threading.Lock() if one_at_a_time else None

    def answer(self, request: bytes) -> bytes:
        """The reply to one request."""
        try:
            call, content = read_request(request)
            return write(Reply(value=to_jsonable_python(self._call(call, content))))
        except KitError as error:
            return error_reply(error)
        except Exception as error:  # a service goes on whatever a call ran into
            logging.getLogger(__name__).exception("a call failed")
            return error_reply(
                DeviceError(
                    f"The farm's service failed: {type(error).__name__}: {error}"[:500],
                    "Look at its log (python -m profiler farm status names the hosts).",
                )
            )

    def _call(self, call: Request, content: bytes) -> Any:
        if call.method == "challenge":
            return self._admission.challenge()
        if call.method == "admit":
            words = [str(call.arguments.get(name)) for name in ("challenge", "answer")]
            return self._admission.admit(*words)
        self._admission.check(call.ticket)
        if call.method not in self._methods:
            raise UsageError(
                f"A farm's service has no method {call.method!r}.",
                "Install the same version of the kit on all hosts.",
            )
        arguments = {**call.arguments, **({"content": content} if content else {})}
        try:
            if self._turn is None:
                return self._methods[call.method](**arguments)
            with self._turn:
                return self._methods[call.method](**arguments)
        except ValidationError as error:
            raise UsageError(
                f"A farm's service was called with a wrong argument: {first_problem(error)}.",
                "Install the same version of the kit on all hosts.",
            ) from error
