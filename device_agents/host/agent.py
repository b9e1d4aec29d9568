"""Agent of this machine: its CPU as a device, the runner in a separate process."""

import contextlib
import os
import platform
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from device_agents.base import NO_TEMPERATURE, AgentSettings, DeviceState
from device_agents.cpu import (
    allowed_cpus,
    check_affinity,
    cores_offline,
    cpu_model,
    cpu_ranges,
    default_affinity,
    describe_cores,
    governor,
    memory_mb,
    no_equal_cores,
    offline,
    read_clusters,
    read_identity,
    temperature_c,
    virtual,
)
from device_agents.host.runner import choose_runner
from device_agents.processor import complete_name, host_id
from device_agents.protocol import MOST_LINE, Plan, Record, check_records, dump_plan
from search.errors import DeviceError, DeviceLost, DeviceTimeout, UsageError
from search.files import sha256_file
from search.table.manifest import CpuIdentity, DeviceInfo, Source

_BACKENDS = ("xnnpack", "onnxruntime")


class HostAgent:
    """Runs plans in a runner process, which a crash of a runtime may kill.

    The native runner is used when it is built and has the backend, otherwise
    the Python runner; the table records which.
    """

    source: Source = "measured"

    def __init__(self, settings: AgentSettings) -> None:
        if settings.backend not in _BACKENDS:
            raise UsageError(
                f"The host cannot run the backend {settings.backend!r}.",
                f"It knows {', '.join(_BACKENDS)}.",
            )
        if settings.affinity is not None:
            check_affinity(settings.affinity, allowed_cpus())
        self._settings = settings
        self._remarks: list[str] = []
        self._command, self._environment = choose_runner(settings)
        self._native = "KIT_RUNNER_SHA256" in self._environment
        self._process: subprocess.Popen[str] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the agent)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._outputs: tempfile.TemporaryDirectory[str] | None = None
        self._reserved = 0

    def __enter__(self) -> Self:
        for text in _core_remarks(self._settings):
            self._remark(text)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._stderr.close()
        if self._outputs is not None:
            self._outputs.cleanup()

    def info(self) -> DeviceInfo:
        """Identity of this machine, without its host name.

        Its id is that of the processor: two machines with the same id are alike.
        """
        cpu, processor, machine = cpu_model(), read_identity(), platform.machine()
        model = complete_name(cpu, processor) or complete_name(machine, processor)
        return DeviceInfo(
            id=host_id(cpu or machine, processor),
            kind="host",
            model=model,
            soc=model,
            cpu=cpu,
            processor=None if processor == CpuIdentity() else processor,
            os=platform.system(),
            os_build=platform.release(),
            abi=platform.machine(),
            clusters=read_clusters(),
            ram_mb=memory_mb(),
            virtual=virtual(),
        )

    def state(self) -> DeviceState:
        """Governor, temperature and load, where readable."""
        with contextlib.suppress(OSError):
            return DeviceState(
                governor=governor(),
                temperature_c=temperature_c(),
                load_average=os.getloadavg()[0],
                cores_offline=offline(),
            )
        return DeviceState(
            governor=governor(), temperature_c=temperature_c(), cores_offline=offline()
        )

    def deliver(self, path: Path, sha256: str) -> str:
        """Nothing is copied: the artefact's own path, once its content is verified."""
        try:
            actual = sha256_file(path)
        except OSError as error:
            raise DeviceError(f"Cannot read {path}: {error.strerror}.") from error
        if actual != sha256:
            raise DeviceError(f"{path} changed since it was built.", "Run again to rebuild it.")
        return str(path.resolve())

    def reserve(self) -> str:
        """An unused path in a folder that is removed with the agent."""
        if self._outputs is None:
            self._outputs = tempfile.TemporaryDirectory(prefix="kit-outputs-")
        self._reserved += 1
        return str(Path(self._outputs.name) / str(self._reserved))

    def collect(self, name: str) -> bytes:
        """The content of an output file, which is removed."""
        path = Path(name)
        try:
            content = path.read_bytes()
            path.unlink()
        except OSError as error:
            raise DeviceError(f"The runner wrote no {name}: {error.strerror}.") from error
        return content

    @property
    def starts_fresh(self) -> bool:
        """True: Python's runner goes on from plan to plan, but not over a restart."""
        return True

    def restart(self) -> None:
        """End the runner: the next plan gets a new process."""
        self._stop()

    def remarks(self) -> tuple[str, ...]:
        """What was told about the cores and the limits that the measurements depend on."""
        return tuple(self._remarks)

    def _remark(self, text: str) -> None:
        """Tell the user, and the table."""
        if text and text not in self._remarks:
            self._remarks.append(text)
            self._settings.say(text)

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan; one that times something gets a native runner of its own.

        Where a program's memory lies decides a few per cent of its time, and a process that
        goes on hands out the same pages again: passes in new ones show what a user will meet.
        Python's runner, which takes seconds to start, goes on.
        """
        if plan.rounds and self._native:
            self._stop()
        if plan.max_temperature_c is not None and temperature_c() is None:
            self._remark(NO_TEMPERATURE)
        process = self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(dump_plan(plan) + "\n")
            process.stdin.flush()
            yield from check_records(self._read(), plan)
        except (BrokenPipeError, DeviceLost) as error:
            code = self._stop()
            if isinstance(error, DeviceLost) and code == 0:
                raise
            raise DeviceLost(
                f"The runner died ({_cause(code)}){self._last_error_line()}.",
                "What was measured is kept; run again with --resume.",
            ) from error
        except BaseException:
            self._stop()
            raise

    def _last_error_line(self) -> str:
        """The last line of the runner's standard error, after a colon."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 400))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""

    def _read(self) -> Iterator[str]:
        while True:
            try:
                line = self._lines.get(timeout=self._settings.timeout_s)
            except queue.Empty:
                raise DeviceTimeout(
                    f"The runner said nothing for {self._settings.timeout_s:.0f} s.",
                    "Run again with --resume, or with a longer --timeout.",
                ) from None
            if line is None:
                return
            yield line

    def _start(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        self._lines = queue.SimpleQueue()
        self._stderr.seek(0)
        self._stderr.truncate()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            encoding="utf-8",
            errors="replace",  # the parser refuses garbled lines
            env=os.environ | self._environment,
            start_new_session=True,  # this process handles Ctrl-C
        )
        threading.Thread(
            target=_pump, args=(self._process, self._lines), daemon=True, name="runner-output"
        ).start()
        return self._process

    def _stop(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        code = process.poll()
        with contextlib.suppress(OSError):
            if process.stdin:
                process.stdin.close()
        if code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
            code = process.poll()
        if process.poll() is None:
            process.kill()
            process.wait()
            code = 0 if code is None else code
        return code or 0


def _pump(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    with process.stdout:
        while line := process.stdout.readline(MOST_LINE):
            # A last line without its end was cut off: the parser refuses it.
            lines.put(line)
    process.wait()
    lines.put(None)


def _core_remarks(settings: AgentSettings) -> Iterator[str]:
    """What to tell of the cores that this process has, before it measures."""
    clusters, allowed = read_clusters(), allowed_cpus()
    yield cores_offline([cpu for cluster in clusters for cpu in cluster.cpus], offline())
    if allowed is None:
        yield "This system does not pin to cores: the measurement may move between them."
        return
    fastest = clusters[-1:]
    if len(clusters) > 1 and not set(allowed) & set(fastest[0].cpus):
        yield (
            f"This process may run on cores {cpu_ranges(allowed)} only, and the fastest are "
            f"{describe_cores(fastest)}: the table is one of the slower ones."
        )
    if settings.affinity is None and settings.pin and default_affinity(settings.threads) is None:
        yield no_equal_cores(clusters, settings.threads)


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
