"""Agent of an iPhone: plans go in as files, records come back as files.

The app on the phone (device_agents/runners/coreml) reads
`jobs/<nonce>/plan.json`, runs it by itself and writes its records as numbered
files `jobs/<nonce>/records/000001.jsonl`, each complete when it appears, since
a copy of a growing file may be older than the file. Packages
are stored under `models/` by content and stay there, so a resumed run copies
nothing twice.
"""

import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.coreml.package import unpack
from device_agents.base import AgentSettings, DeviceState
from device_agents.device import Device
from device_agents.iphone.discovery import open_transport, select_phone
from device_agents.iphone.record_checks import RecordChecks
from device_agents.iphone.record_files import part_name
from device_agents.iphone.transport import IphoneInfo, IphoneTransport
from device_agents.iphone.units import check_unit
from device_agents.protocol import Plan, Record, check_records, dump_plan
from search.errors import DeviceError, DeviceTimeout
from search.table.manifest import DeviceInfo, Source

_ZIP = b"PK\x03\x04"
_POLL_S = 2.0
# Starts in a row, of an app that fell silent, after which a record must have come.
_RESTARTS = 2


class IphoneAgent:
    """One attached iPhone with the agent app on it.

    The compute unit is part of the backend's name: `coreml-cpu_and_ne`.
    """

    def __init__(
        self,
        device: Device,
        settings: AgentSettings,
        transport: IphoneTransport | None = None,
        poll_s: float = _POLL_S,
    ) -> None:
        check_unit(settings.backend, device.match.get("model", ""))
        self.source: Source = "measured"
        self._checks = RecordChecks(device)
        self._device, self._settings, self._poll_s = device, settings, poll_s
        self._transport = transport or open_transport(device, settings.timeout_s)
        self._phone: IphoneInfo | None = None

    def __enter__(self) -> Self:
        phone = select_phone(self._device, self._transport)
        check_unit(self._settings.backend, phone.model or "")
        self._phone = phone
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._phone = None

    @property
    def phone(self) -> IphoneInfo:
        """The phone that was selected on entering."""
        assert self._phone is not None, "enter the agent first"
        return self._phone

    def info(self) -> DeviceInfo:
        """Identity as the phone reports it, without anything that names its owner."""
        phone = self.phone
        return DeviceInfo(
            id=self._device.name,
            kind="ios",
            manufacturer="Apple",
            model=phone.model,
            os=f"iOS {phone.os}" if phone.os else None,
            os_build=phone.os_build,
            abi="arm64",
        )

    def state(self) -> DeviceState:
        """Neither clocks nor temperatures can be read; the app reports the thermal state."""
        return DeviceState()

    def deliver(self, path: Path, sha256: str) -> str:
        """Copy a package (or a raw file of inputs) to the phone, once."""
        with path.open("rb") as stream:
            packed = stream.read(4) == _ZIP
        remote_path = f"models/{sha256}.mlpackage" if packed else f"inputs/{sha256}.bin"
        marker = f"{remote_path}.done"
        if self._read(marker) is not None:
            return remote_path
        with tempfile.TemporaryDirectory(prefix="kit-deliver-") as temporary:
            source = path
            if packed:
                source = Path(temporary) / f"{sha256}.mlpackage"
                unpack(path.read_bytes(), source)
            self._transport.push(self.phone, source, remote_path)
        # Last: a copy that was cut off has no marker, and is made again.
        self._write(marker, sha256)
        return remote_path

    def reserve(self) -> str:
        """An unused name for one output of the app."""
        return f"outputs/{secrets.token_hex(8)}.bin"

    def collect(self, name: str) -> bytes:
        """Read an output back.

        Raises:
            DeviceError: There is no such file.
        """
        content = self._read(name)
        if content is None:
            raise DeviceError(f"The phone wrote no file {name!r}.", "See the failures it reported.")
        return content

    def remarks(self) -> tuple[str, ...]:
        """Notes for the table."""
        return self._checks.remarks()

    def run(self, plan: Plan) -> Iterator[Record]:
        """Copy the plan, start the app, read its records as they appear."""
        job = f"jobs/{plan.nonce}"
        self._write(f"{job}/plan.json", dump_plan(plan))
        self._start(plan)
        records = check_records(self._lines(job, plan), plan)
        for record in self._checks.check(records, plan):
            self.source = self._checks.source
            yield record
        self._checks.check_heat()

    def _start(self, plan: Plan) -> None:
        self._transport.launch(self.phone, "--job", plan.nonce)

    def _lines(self, job: str, plan: Plan) -> Iterator[str]:
        """Lines of the numbered files; an app that falls silent is started again.

        It goes on with its job then, and records what ended it twice as failed.
        """
        number, starts, since = 1, 0, time.monotonic()
        while True:
            content = self._read(f"{job}/{part_name(number)}")
            if content is not None:
                number, starts, since = number + 1, 0, time.monotonic()
                yield from content.decode(errors="replace").splitlines()
                continue
            if time.monotonic() - since > self._settings.timeout_s:
                if starts == _RESTARTS:
                    raise self._silent()
                self._settings.say("The app fell silent; it is started again.")
                self._start(plan)
                starts, since = starts + 1, time.monotonic()
            time.sleep(self._poll_s)

    def _silent(self) -> DeviceTimeout:
        return DeviceTimeout(
            f"The agent app wrote nothing for {self._settings.timeout_s:g} s, "
            f"{_RESTARTS + 1} starts in a row.",
            "Look at the phone: the app must stay in front, the phone unlocked; it waits while the "
            "phone is hot or in low-power mode. Compiling for the Neural Engine takes seconds a "
            "model: raise --timeout if it goes on.",
        )

    def _write(self, remote_path: str, text: str) -> None:
        with tempfile.TemporaryDirectory(prefix="kit-deliver-") as temporary:
            path = Path(temporary) / Path(remote_path).name
            path.write_text(text)
            self._transport.push(self.phone, path, remote_path)

    def _read(self, remote_path: str) -> bytes | None:
        with tempfile.TemporaryDirectory(prefix="kit-collect-") as temporary:
            target = Path(temporary) / Path(remote_path).name
            if not self._transport.pull(self.phone, remote_path, target):
                return None
            return target.read_bytes()
