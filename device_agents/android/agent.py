"""The Android agent: one device over adb, with the native runner on it.

Times are taken on the device alone; adb carries the plan there and the
records back.
"""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.adb.device import COMMAND_S, AdbDevice
from device_agents.android.file_store import ROOT, FileStore
from device_agents.android.identity import Identity, identify
from device_agents.android.parsers import pick_cluster
from device_agents.android.performance_mode import PerformanceMode, check_state, read_state
from device_agents.android.runner import find_runner
from device_agents.android.thermal import wait_until_cool
from device_agents.base import AgentSettings, DeviceState
from device_agents.cpu import default_affinity
from device_agents.device import Device
from device_agents.lock import device_lock
from device_agents.protocol import Hello, Plan, Record, check_records, dump_plan
from search.errors import ConnectionLost, DeviceLost, KitError, Transient, UsageError
from search.files import sha256_file
from search.table.manifest import DeviceInfo, Source

_AGAIN = "What was measured is kept; run again with --resume."
_PATIENCE_S = 20.0
_LAST_LINES = 1000


class AndroidAgent:
    """Runs plans on one Android device.

    While it is open the device is in its steady state, and nobody else on
    this computer measures on it.
    """

    source: Source = "measured"

    def __init__(self, device: Device, settings: AgentSettings, serial: str | None = None) -> None:
        if settings.backend != "xnnpack":
            raise UsageError(
                f"Android devices cannot run the backend {settings.backend!r}.",
                "They know xnnpack.",
            )
        if settings.runner == "python":
            raise UsageError(
                "There is no Python runner on an Android device.", "Leave --runner out."
            )
        self._device = device
        self._settings = settings
        self._reach = AdbAddress.of(device.options)
        self._serial = serial
        self._open = contextlib.ExitStack()
        self._running: int | None = None
        self._told: set[str] = set()

    # --- opening and closing

    def __enter__(self) -> Self:
        try:
            self._enter()
        except BaseException:
            self._open.close()
            raise
        return self

    def _enter(self) -> None:
        serial = self._serial
        if serial is None:
            self._reach = discovery.prefer_direct(self._reach)
            serial = _only(discovery.select_devices(self._device, self._reach)).serial
        limit = self._settings.timeout_s
        self.phone = AdbDevice(
            discovery.transport_for(self._reach, serial),
            patience_s=min(_PATIENCE_S, limit),
            timeout_s=min(COMMAND_S, limit),
        )
        self._open.callback(self.phone.close)
        self.phone.connect()
        self.identity: Identity = identify(self.phone)
        self._open.enter_context(device_lock(self.identity.lock_key, str(self.identity.info.model)))
        self._steady = PerformanceMode(self.phone, self.identity.serial_hash, self._settings.say)
        self._steady.restore_leftovers()
        if self.identity.rehearsal:
            self._settings.say("This is a rehearsal, not a phone: times are those of this machine.")
        self._binary = find_runner(self.identity)
        self._runner_sha256 = sha256_file(self._binary)
        self._depot = FileStore(self.phone)
        self.pinned = self._pick_cores()
        state = read_state(self.phone)
        check_state(state, self._settings.say)
        self._open.callback(self._steady.restore)
        self._steady.apply(state.stay_on)

    def _pick_cores(self) -> tuple[int, ...] | None:
        settings = self._settings
        if settings.affinity is not None or not settings.pin:
            return settings.affinity
        if self.identity.rehearsal:  # its clusters are play, its processes are real
            return default_affinity(settings.threads)
        return pick_cluster(self.identity.info.clusters, settings.threads)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    # --- what is asked of every agent

    def info(self) -> DeviceInfo:
        """Who the device is, as read when it was opened."""
        return self.identity.info

    def steadiness(self) -> DeviceState:
        """State of the device now."""
        state = read_state(self.phone)
        cpu = self.pinned[0] if self.pinned else 0
        governor = self.phone.run(
            ["cat", f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"]
        )
        return DeviceState(
            governor=governor.text[:40] or None if governor.code == 0 else None,
            fixed_performance_mode=self._steady.fixed_performance,
            temperature_c=state.cpu_temperature_c,
            pinned=self.pinned,
            phone=state,
        )

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """Which contents the device does not hold yet."""
        return self._depot.lacking(sizes)

    def deliver(self, path: Path, sha256: str) -> str:
        """Copy a file unless the device holds its content already."""
        return self._depot.put(path, sha256)

    def reserve(self) -> str:
        """A name in the kit's folder on the device."""
        return self._depot.reserve()

    def collect(self, name: str) -> bytes:
        """Pull and remove what the runner wrote there."""
        return self._depot.collect(name)

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan in a runner of its own.

        Raises:
            ConnectionLost: The way to the device broke: no item is to blame.
            DeviceLost: The runner died.
            DeviceTimeout: Nothing came for `timeout_s`.
            DeviceError: The device stays too hot.
        """
        if plan.affinity is None and self.pinned is not None:
            plan = plan.model_copy(update={"affinity": self.pinned})
        self._reap()
        wait_until_cool(self.phone, plan.max_temperature_c, self._settings.say)
        runner = self._depot.put(self._binary, self._runner_sha256, executable=True)
        place = self._depot.put_plan(dump_plan(plan))
        command = ["env", f"KIT_RUNNER_SHA256={self._runner_sha256}", runner, place]
        running = self.phone.start(command, self._settings.timeout_s)
        lines = running.lines()
        try:
            for record in check_records(lines, plan):
                if isinstance(record, Hello):
                    self._greet(record, plan)
                yield record
            _read_out(lines)
            self._running = None
        except ConnectionLost:
            self._forget()
            raise
        except DeviceLost as error:
            with contextlib.suppress(Transient):
                _read_out(lines)
            finished = running.finished
            if finished is None or finished.code == 0:
                raise
            self._running = None
            raise DeviceLost(
                f"The runner died ({_cause(finished.code)})"
                f"{': ' + finished.complaint if finished.complaint else ''}.",
                _AGAIN,
            ) from error
        finally:
            running.close()
            with contextlib.suppress(KitError):
                self._depot.remove(place)

    # --- what a checkup asks besides

    def runner_version(self) -> str:
        """What the runner says of itself on the device.

        Raises:
            DeviceError: It does not start.
        """
        runner = self._depot.put(self._binary, self._runner_sha256, executable=True)
        return self.phone.check([runner, "--version"], "The runner does not start on the device")

    @property
    def unrestored(self) -> bool:
        """Whether changed settings are still to be changed back."""
        return self._steady.note.exists()

    # --- around a run

    def _greet(self, hello: Hello, plan: Plan) -> None:
        self._running = hello.pid
        if plan.affinity and hello.affinity is not None and hello.affinity != plan.affinity:
            self._once(
                f"The device runs the measurement on cores {_cores(hello.affinity)}, not on "
                f"{_cores(plan.affinity)} as asked; the table records both."
            )

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._settings.say(text)

    def _forget(self) -> None:
        """A file that is on the device by our list may not have survived; ask again."""
        self._depot = FileStore(self.phone)

    def _reap(self) -> None:
        """End the runner of a broken run: two would measure each other."""
        pid, self._running = self._running, None
        if pid is None:
            return
        command = self.phone.run(["cat", f"/proc/{pid}/cmdline"])
        if f"{ROOT}/".encode() in command.stdout.replace(b"\0", b" "):
            self.phone.run(["kill", "-9", str(pid)])


def _only(chosen: list[discovery.DetectedDevice]) -> discovery.DetectedDevice:
    if len(chosen) > 1:
        raise UsageError("This is done on one device at a time.", "Name one serial.")
    return chosen[0]


def _read_out(lines: Iterator[str]) -> None:
    """Read what little a runner still says before it ends."""
    for _ in islice(lines, _LAST_LINES):
        pass


def _cause(code: int) -> str:
    return f"signal {code - 128}" if code > 128 else f"exit code {code}"


def _cores(cpus: tuple[int, ...]) -> str:
    return ",".join(map(str, cpus))
