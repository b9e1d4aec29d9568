"""Addresses of Android devices: adb server, direct connection, serial numbers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.adb.server import DEFAULT_ADDRESS, ServerAddress
from search.errors import UsageError

_SOCKET = "ADB_SERVER_SOCKET"
_HOST, _PORT = "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdbAddress:
    """The adb server to ask, or the device's own daemon, and the devices to use.

    `serials` names the selected devices (empty: whichever matches), `connect`
    an adb daemon to connect to directly, without an adb server.
    """

    server: ServerAddress = DEFAULT_ADDRESS
    connect: tuple[str, int] | None = None
    serials: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "AdbAddress":
        """Read a device file's `[options]`; adb's own environment variables are the defaults.

        Raises:
            UsageError: An option or a variable that is unknown or malformed; it is named.
        """
        unknown = sorted(set(options) - {"serial", "adb_server", "connect"})
        if unknown or not all(isinstance(value, str) for value in options.values()):
            raise UsageError(
                f"An Android device has no such option: {', '.join(unknown) or dict(options)}.",
                "Known, as text: serial, adb_server, connect.",
            )
        serial = options.get("serial") or os.environ.get("ANDROID_SERIAL", "")
        server = options.get("adb_server")
        connect = options.get("connect")
        return cls(
            server=parse_address(server, "--adb-server") if server else server_of_environment(),
            connect=parse_address(connect, "--connect") if connect else None,
            serials=tuple(dict.fromkeys(part for part in serial.split(",") if part)),
        )


def server_of_environment(variables: Mapping[str, str] = os.environ) -> ServerAddress:
    """The server that adb's own environment variables name; the usual one without them.

    As adb reads them: ADB_SERVER_SOCKET comes first, and of ANDROID_ADB_SERVER_ADDRESS and
    ANDROID_ADB_SERVER_PORT each may stand alone.

    Raises:
        UsageError: A variable is malformed; it is named.
    """
    if text := variables.get(_SOCKET):
        return _parse_socket(text)
    host = variables.get(_HOST) or DEFAULT_ADDRESS[0]
    port = variables.get(_PORT) or str(DEFAULT_ADDRESS[1])
    if not _is_port(port):
        raise UsageError(f"{_PORT}={port!r} is not a port.", f"Example: {_PORT}=5037; or unset it.")
    if not _is_host(host):
        raise UsageError(
            f"{_HOST}={host!r} is not the name of a computer.", f"Example: {_HOST}=127.0.0.1."
        )
    return host.strip("[]"), int(port)


def _parse_socket(text: str) -> ServerAddress:
    """A socket as adb writes it: tcp:PORT, tcp:HOST:PORT, localfilesystem:PATH ..."""
    kind, _, place = text.partition(":")
    if kind in ("localfilesystem", "local") and place:
        return place, 0
    if kind == "localabstract" and place:
        return f"@{place}", 0
    if kind == "tcp" and _is_port(place):
        return DEFAULT_ADDRESS[0], int(place)
    if kind == "tcp":
        return parse_address(place, f"{_SOCKET}=tcp:")
    raise UsageError(
        f"{_SOCKET}={text!r} names no adb server.",
        f"Example: {_SOCKET}=tcp:localhost:5037 or localfilesystem:/run/adb.socket; or unset it.",
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:9]) < 65536


def _is_host(text: str) -> bool:
    return re.fullmatch(r"\[?[\w.:%-]+\]?", text) is not None


def parse_address(text: str, option: str) -> tuple[str, int]:
    """HOST:PORT as a pair; `option` is the option that it was given by.

    Raises:
        UsageError: Not HOST:PORT.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not _is_port(port) or not _is_host(host):
        raise UsageError(f"{option} {text!r} is not HOST:PORT.", "Example: 192.168.1.7:5555.")
    return host, int(port)
