"""Runs the installed program pymobiledevice3 with its wire replaced by a folder.

Started with that program's own interpreter: `python wire.py SCRIPT WORDS...`.
The program's own code parses the command, walks folders and speaks AFC; what
is replaced is the list of devices, the session with the phone, the connection
of the file service, and the instruments that start an app. SCRIPT is JSON:
`documents` plays the app's Documents; `fault` names an exception of the
program's own that the session raises; `services` tells whether developer
services are there.
"""

import asyncio
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

SCRIPT = json.loads(Path(sys.argv[1]).read_text())
ROOT = Path(SCRIPT["documents"]).parent
_HEADER = struct.Struct("<8sQQQQ")
_STATUS, _DATA, _OPEN_RESULT = 1, 2, 14
_NOT_FOUND, _READ_ERROR, _DENIED = 8, 4, 10


class Refused(Exception):
    """An AFC status other than success."""


class AfcFolder:
    """The file service of a phone over a folder: packets in, packets out."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.rest = b""
        self.files: dict[int, Any] = {}
        self.work = {3: self.list, 9: self.make, 10: self.info, 13: self.open, 15: self.read}
        self.work |= {16: self.write, 20: self.close_file}

    async def send_recv_plist(self, asked: dict[str, str]) -> dict[str, str]:
        if asked["Command"] != "VendDocuments":
            return {"Error": "InstallationLookupFailed"}
        known = asked["Identifier"] == SCRIPT["bundle"]
        return {"Status": "Complete"} if known else {"Error": "ApplicationLookupFailed"}

    async def sendall(self, payload: bytes) -> None:
        _, _, _, number, operation = _HEADER.unpack_from(payload)
        try:
            kind, data = self.work[operation](payload[_HEADER.size :])
        except Refused as refused:
            kind, data = _STATUS, struct.pack("<Q", refused.args[0])
        size = _HEADER.size + len(data)
        await self.answers.put(_HEADER.pack(b"CFA6LPAA", size, size, number, kind) + data)

    async def recvall(self, size: int) -> bytes:
        while len(self.rest) < size:
            self.rest += await self.answers.get()
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    async def close(self) -> None:
        return None

    def path(self, name: bytes) -> Path:
        text = name.split(b"\0")[0].decode().strip("/")
        # A container's own folders are all that an app's file sharing shows.
        if text and text.split("/")[0] != "Documents":
            raise Refused(_DENIED)
        return ROOT / text

    def list(self, data: bytes) -> tuple[int, bytes]:
        names = [".", "..", *(path.name for path in self.path(data).iterdir())]
        return _DATA, b"".join(name.encode() + b"\0" for name in names)

    def make(self, data: bytes) -> tuple[int, bytes]:
        self.path(data).mkdir(parents=True, exist_ok=True)
        return _STATUS, struct.pack("<Q", 0)

    def info(self, data: bytes) -> tuple[int, bytes]:
        path = self.path(data)
        if not path.exists():
            raise Refused(_NOT_FOUND)
        facts = {
            "st_size": path.stat().st_size,
            "st_blocks": 1,
            "st_nlink": 1,
            "st_ifmt": "S_IFDIR" if path.is_dir() else "S_IFREG",
            "st_mtime": 10**18,
            "st_birthtime": 10**18,
        }
        return _DATA, b"".join(f"{key}\0{value}\0".encode() for key, value in facts.items())

    def open(self, data: bytes) -> tuple[int, bytes]:
        (mode,) = struct.unpack_from("<Q", data)
        path = self.path(data[8:])
        if mode != 1 and not path.parent.is_dir():
            raise Refused(_NOT_FOUND)
        handle = len(self.files) + 1
        self.files[handle] = path.open("rb" if mode == 1 else "wb")
        return _OPEN_RESULT, struct.pack("<Q", handle)

    def read(self, data: bytes) -> tuple[int, bytes]:
        handle, size = struct.unpack_from("<QQ", data)
        return _DATA, self.files[handle].read(size)

    def write(self, data: bytes) -> tuple[int, bytes]:
        (handle,) = struct.unpack_from("<Q", data)
        self.files[handle].write(data[8:])
        return _STATUS, struct.pack("<Q", 0)

    def close_file(self, data: bytes) -> tuple[int, bytes]:
        (handle,) = struct.unpack_from("<Q", data)
        self.files[handle].close()
        return _STATUS, struct.pack("<Q", 0)


class Phone:
    """A session with the phone, as far as these commands need one."""

    udid = identifier = SCRIPT["udid"]
    product_version = SCRIPT["version"]
    short_info = SCRIPT["listed"]

    async def start_lockdown_service(self, name: str, **_: object) -> AfcFolder:
        assert "house_arrest" in name, name
        return AfcFolder()

    async def start_lockdown_developer_service(self, *_: object, **__: object) -> None:
        raise fault("InvalidServiceError")

    async def close(self) -> None:
        return None


def fault(name: str) -> Exception:
    """The program's own exception of this name."""
    from pymobiledevice3 import exceptions

    kind = getattr(exceptions, name)
    if issubclass(kind, exceptions.LockdownError):
        return kind("", SCRIPT["udid"], SCRIPT["version"])
    return kind(SCRIPT["udid"]) if name == "DeviceNotFoundError" else kind()


async def connect(*_: object, **__: object) -> Phone:
    if SCRIPT.get("fault"):
        raise fault(SCRIPT["fault"])
    return Phone()


async def list_devices(*_: object, **__: object) -> list[Any]:
    if SCRIPT.get("fault"):
        raise fault(SCRIPT["fault"])
    from pymobiledevice3.usbmux import MuxDevice

    return [MuxDevice(1, SCRIPT["udid"], "USB")]


class Instruments:
    """The service that starts an app."""

    def __init__(self, phone: Any) -> None:
        self.phone = phone

    async def __aenter__(self) -> "Instruments":
        if not SCRIPT.get("services", True):
            await self.phone.start_lockdown_developer_service()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def launch(self, **asked: object) -> int:
        Path(SCRIPT["launched"]).write_text(json.dumps(asked))
        return 7


def replace_wire() -> None:
    from pymobiledevice3 import usbmux
    from pymobiledevice3.cli import cli_common
    from pymobiledevice3.cli import usbmux as listing
    from pymobiledevice3.cli.developer import dvt

    cli_common.create_using_usbmux = listing.create_using_usbmux = connect
    usbmux.list_devices = list_devices
    dvt.DvtProvider = dvt.ProcessControl = Instruments


if __name__ == "__main__":
    from pymobiledevice3.__main__ import main

    replace_wire()
    sys.argv = ["pymobiledevice3", *sys.argv[2:]]
    # Any further try over a tunnel needs a phone.
    os.environ["PYMOBILEDEVICE3_FORCE_TUNNEL"] = ""
    os.environ["PYMOBILEDEVICE3_DEFAULT_FALLBACK"] = "tunneld"
    sys.exit(main())
