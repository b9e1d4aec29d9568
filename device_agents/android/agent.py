"""Agent of one Android device: the native runner on it, driven over adb.

Times are taken on the device alone; adb transfers the plan there and the
records back.
"""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.adb.detected import DetectedDevice
from device_agents.adb.device import COMMAND_S, AdbDevice
from device_agents.android.fence import FENCE, PhoneFence
from device_agents.android.file_store import ROOT, FileStore
from device_agents.android.identity import Identity, identify, read_offline
from device_agents.android.parsers import pick_cluster, why_unpinned
from device_agents.android.performance_mode import PerformanceMode, check_state, read_state
from device_agents.android.runner import PhoneRunner, find_runner
from device_agents.android.thermal import wait_until_cool
from device_agents.base import NO_TEMPERATURE, AgentSettings, DeviceState
from device_agents.cpu import (
    allowed_cpus,
    check_affinity,
    cores_offline,
    default_affinity,
    read_clusters,
)
from device_agents.device import Device
from device_agents.farm.fence import Gate
from device_agents.farm.model import LeaseLost
from device_agents.lock import device_lock
from device_agents.protocol import (
    EXIT_FENCED_OFF,
    Fence,
    Hello,
    Plan,
    Record,
    check_records,
    dump_plan,
)
from search.errors import ConnectionLost, DeviceError, DeviceLost, KitError, Transient, UsageError
from search.table.manifest import DeviceInfo, Source

_AGAIN = "What was measured is kept; run again with --resume."
_ASK_AGAIN = "Ask for a phone again; what was kept is not measured twice."
_PATIENCE_S = 20.0
_LAST_LINES = 1000
_BACKENDS = ("xnnpack", "onnxruntime")


class AndroidAgent:
    """Runs plans on one Android device.

    While it is open the device is in performance mode, and no other process on
    this computer measures on it. With the `token` of a farm's lease it is claimed for that
    lease: runs of earlier ones end, and its runner stops once a later one claims it.
    """

    source: Source = "measured"

    def __init__(
        self,
        device: Device,
        settings: AgentSettings,
        serial: str | None = None,
        *,
        runner_later: bool = False,
        token: int | None = None,
    ) -> None:
        if settings.backend not in _BACKENDS:
            raise UsageError(
                f"Android devices cannot run the backend {settings.backend!r}.",
                f"They know {' and '.join(_BACKENDS)}.",
            )
        if settings.runner == "python":
            raise UsageError(
                "There is no Python runner on an Android device.", "Leave --runner out."
            )
        self._device = device
        self._settings = settings
        self._address = AdbAddress.of(device.options)
        self._serial = serial
        self._runner_later = runner_later
        self._token = token
        self._open = contextlib.ExitStack()
        self._running: int | None = None
        self._may_have_restarted = False
        self._said: set[str] = set()
        self._remarks: list[str] = []

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
            self._address = discovery.prefer_direct(self._address)
            chosen = discovery.select_devices(self._device, self._address, self._settings.say)
            serial = _single(chosen).serial
        limit = self._settings.timeout_s
        self.adb_device = AdbDevice(
            discovery.transport_for(self._address, serial),
            patience_s=min(_PATIENCE_S, limit),
            timeout_s=min(COMMAND_S, limit),
            say=self._say_once,
        )
        self._open.callback(self.adb_device.close)
        self.adb_device.connect()
        self.identity: Identity = identify(self.adb_device)
        self._open.enter_context(device_lock(self.identity.lock_key, str(self.identity.info.model)))
        fence = PhoneFence(self.adb_device)
        self._gate = Gate(fence)
        if self._token is not None:
            self._gate.open(self._token)
        elif fence.fence() and fence.is_measuring():
            raise DeviceError(
                "This phone is in a farm, and somebody measures on it at this moment.",
                "Ask the farm for it (--farm HOST:PORT); python -m profiler farm status tells who.",
            )
        self._performance_mode = PerformanceMode(
            self.adb_device, self.identity.serial_hash, self._settings.say
        )
        self._performance_mode.restore_leftovers()
        if self.identity.rehearsal:
            self._settings.say("This is a rehearsal, not a phone: times are those of this machine.")
        if not self._runner_later:
            _ = self._runner  # what it lacks is told before the device is touched
        self._starts = False
        self._store = FileStore(self.adb_device)
        self._remark(cores_offline(self.identity.online, read_offline(self.adb_device)))
        self.pinned = self._pick_cores()
        state = read_state(self.adb_device)
        check_state(state, self._settings.say)
        self._open.callback(self._performance_mode.restore)
        self._performance_mode.apply(state, self._remark)

    def _pick_cores(self) -> tuple[int, ...] | None:
        """The cores to measure on; what is asked for must be there, what is not found is told.

        Raises:
            UsageError: Cores are asked for that the device does not have, or not switched on.
        """
        settings, clusters = self._settings, self.identity.info.clusters
        online: tuple[int, ...] | None = self.identity.online
        if self.identity.rehearsal:  # its clusters are made up, its processes run here
            clusters, online = read_clusters(), allowed_cpus()
        if settings.affinity is not None:
            check_affinity(settings.affinity, online)
        if settings.affinity is not None or not settings.pin:
            return settings.affinity
        if self.identity.rehearsal:
            picked = default_affinity(settings.threads)
        else:
            picked = pick_cluster(clusters, settings.threads)
        if picked is None:
            self._remark(why_unpinned(clusters, settings.threads))
        return picked

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    # --- DeviceAgent protocol

    def info(self) -> DeviceInfo:
        """Identity of the device, as read when it was opened."""
        return self.identity.info

    def state(self) -> DeviceState:
        """State of the device now."""
        state = read_state(self.adb_device)
        cpu = self.pinned[0] if self.pinned else 0
        governor = self.adb_device.run(
            ["cat", f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"]
        )
        return DeviceState(
            governor=governor.text[:40] or None if governor.code == 0 else None,
            fixed_performance_mode=self._performance_mode.fixed_performance,
            refused_settings=dict(self._performance_mode.refused),
            cores_offline=read_offline(self.adb_device),
            temperature_c=state.cpu_temperature_c,
            pinned=self.pinned,
            phone=state,
        )

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """The contents that the device does not have yet."""
        return self._store.lacking(sizes)

    def deliver(self, path: Path, sha256: str) -> str:
        """Copy a file unless the device has its content already."""
        return self._store.put(path, sha256)

    def deliver_all(self, files: Mapping[str, Path]) -> Mapping[str, str]:
        """The same for many files, in few round trips."""
        return self._store.put_all(files)

    def reserve(self) -> str:
        """A name in the kit's folder on the device."""
        return self._store.reserve()

    def collect(self, name: str) -> bytes:
        """Pull and remove what the runner wrote there."""
        return self._store.collect(name)

    @property
    def starts_fresh(self) -> bool:
        """True: every plan has a runner of its own."""
        return True

    def restart(self) -> None:
        """Nothing to end: no runner goes on."""

    def remarks(self) -> tuple[str, ...]:
        """What was told about the device that its measurements depend on."""
        return tuple(self._remarks)

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan in a runner of its own.

        Raises:
            ConnectionLost: The connection to the device broke: no item is to blame.
            DeviceLost: The runner died.
            DeviceTimeout: No data for `timeout_s`.
            DeviceError: The device stays too hot.
        """
        if plan.affinity is None and self.pinned is not None:
            plan = plan.model_copy(update={"affinity": self.pinned})
        plan = self._fenced(plan)
        self._kill_leftover_runner()
        if self._may_have_restarted:
            self._performance_mode.renew(self._remark)
            self._may_have_restarted = False
        if plan.cool:
            self._wait_until_cool(plan.max_temperature_c)
        start = self._placed_runner()
        remote_path = self._store.put_plan(dump_plan(plan))
        command = ["env", f"KIT_RUNNER_SHA256={self._runner.sha256}", *start, remote_path]
        running = self.adb_device.start(command, self._settings.timeout_s)
        lines = running.lines()
        try:
            for record in check_records(lines, plan):
                if isinstance(record, Hello):
                    self._running = record.pid
                yield record
            _drain(lines)
            self._running = None
        except ConnectionLost:
            self._forget_files()
            self._may_have_restarted = True
            raise
        except DeviceLost as error:
            with contextlib.suppress(Transient):
                _drain(lines)
            result = running.result
            if result is None or result.code == 0:
                raise
            self._running = None
            if result.code == EXIT_FENCED_OFF:
                raise LeaseLost(
                    "The phone was given to somebody else while it measured.", _ASK_AGAIN
                ) from error
            raise DeviceLost(
                f"The runner died ({_cause(result.code)})"
                f"{': ' + result.last_error_line if result.last_error_line else ''}.",
                _AGAIN,
            ) from error
        finally:
            running.close()
            with contextlib.suppress(KitError):
                self._store.remove(remote_path)

    def _wait_until_cool(self, limit_c: float | None) -> None:
        thermal = wait_until_cool(self.adb_device, limit_c, self._settings.say)
        if limit_c is not None and thermal.cpu_c is None:
            self._remark(NO_TEMPERATURE)

    def _fenced(self, plan: Plan) -> Plan:
        """The plan with this lease's fence, for the runner to keep; as it is without a lease.

        Raises:
            FencedOff: The phone belongs to a later lease.
        """
        if self._token is None:
            return plan
        self._gate.check(self._token)
        return plan.model_copy(update={"fence": Fence(folder=FENCE, token=self._token)})

    # --- needed by the checkup only

    def runner_version(self) -> str:
        """The runner's own version text, from the device.

        Raises:
            DeviceError: It does not start.
        """
        start = self._runner.place(self._store)
        answer = self.adb_device.run(["env", *start, "--version"])  # by env, as with a plan
        if answer.code:
            raise DeviceError(
                f"The device refuses to start the runner (exit code {answer.code}): "
                f"{answer.last_error_line}.",
                "Its kernel or its rules (a phone under management) forbid it; a runner built "
                "with the NDK may be allowed: --runtime ndk.",
            )
        return answer.text

    @cached_property
    def _runner(self) -> PhoneRunner:
        return find_runner(
            self.identity, self._settings.runtime, self._settings.say, self._settings.backend
        )

    @property
    def runner_sha256(self) -> str:
        """Hash of all that computes on the device: a program, or a folder of files."""
        return self._runner.sha256

    @property
    def unrestored(self) -> bool:
        """Whether changed settings of the device are not restored yet."""
        return self._performance_mode.note.exists()

    # --- before and during a run

    def _placed_runner(self) -> list[str]:
        """The words that start the runner; what a device refuses is seen before the first plan."""
        if not self._starts:
            self.runner_version()
            self._starts = True
        return self._runner.place(self._store)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._settings.say(text)

    def _remark(self, text: str) -> None:
        """Tell the user, and the table."""
        if text and text not in self._said:
            self._remarks.append(text)
            self._say_once(text)

    def _forget_files(self) -> None:
        """Ask the device again for its files: after a break they may be gone."""
        self._store = FileStore(self.adb_device)

    def _kill_leftover_runner(self) -> None:
        """End the runner of a broken run: two runners would disturb each other's times."""
        pid, self._running = self._running, None
        if pid is None:
            return
        command = self.adb_device.run(["cat", f"/proc/{pid}/cmdline"])
        if f"{ROOT}/".encode() in command.stdout.replace(b"\0", b" "):
            self.adb_device.run(["kill", "-9", str(pid)])


def _single(devices: list[DetectedDevice]) -> DetectedDevice:
    if len(devices) > 1:
        raise UsageError("This is done on one device at a time.", "Name one serial.")
    return devices[0]


def _drain(lines: Iterator[str]) -> None:
    """Read the last lines that a runner prints before it ends."""
    for _ in islice(lines, _LAST_LINES):
        pass


def _cause(code: int) -> str:
    return f"signal {code - 128}" if code > 128 else f"exit code {code}"
