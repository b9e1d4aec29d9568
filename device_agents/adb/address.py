"""Addresses of Android devices: adb server, direct connection, serial numbers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.adb.server import DEFAULT_ADDRESS
from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class AdbAddress:
    """The adb server to ask, or the device's own daemon, and the devices to use.

    `serials` names the selected devices (empty: whichever matches), `connect`
    an adb daemon to connect to directly, without an adb server.
    """

    server: tuple[str, int] = DEFAULT_ADDRESS
    connect: tuple[str, int] | None = None
    serials: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "AdbAddress":
        """Read a device file's `[options]`; adb's own environment variables are the defaults.

        Raises:
            UsageError: An option that is unknown or malformed.
        """
        unknown = sorted(set(options) - {"serial", "adb_server", "connect"})
        if unknown or not all(isinstance(value, str) for value in options.values()):
            raise UsageError(
                f"An Android device has no such option: {', '.join(unknown) or dict(options)}.",
                "Known, as text: serial, adb_server, connect.",
            )
        serial = options.get("serial") or os.environ.get("ANDROID_SERIAL", "")
        server = options.get("adb_server") or _server_of_environment()
        connect = options.get("connect")
        return cls(
            server=parse_address(server, "--adb-server") if server else DEFAULT_ADDRESS,
            connect=parse_address(connect, "--connect") if connect else None,
            serials=tuple(dict.fromkeys(part for part in serial.split(",") if part)),
        )


def _server_of_environment() -> str | None:
    """The server that adb's own environment variables name, if any."""
    text = os.environ.get("ADB_SERVER_SOCKET", "")
    if text.startswith("tcp:"):
        return text.removeprefix("tcp:")
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1")
    port = os.environ.get("ANDROID_ADB_SERVER_PORT")
    return f"{host}:{port}" if port else None


def parse_address(text: str, option: str) -> tuple[str, int]:
    """HOST:PORT as a pair; `option` is the option that it was given by.

    Raises:
        UsageError: Not HOST:PORT.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or not 0 < int(port) < 65536 or not re.fullmatch(r"[\w.:%-]+", host):
        raise UsageError(f"{option} {text!r} is not HOST:PORT.", "Example: 192.168.1.7:5555.")
    return host, int(port)
