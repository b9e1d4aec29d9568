"""Python runner: a process that executes plans through Python runtimes.

`python -m device_agents.host.python_runner --serve` reads one plan a line and answers
with records (`device_agents.protocol`). It is the fallback where the native
runner is not built, and the only runner of ONNX Runtime. ExecuTorch's Python
bindings add 6-11 us to each call; the dispatch floor records it.
"""

import contextlib
import gc
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from device_agents.cpu import temperature_c
from device_agents.farm.fence import FenceFolder
from device_agents.host.runtimes import LOADERS, LoadedProgram
from device_agents.host.tensor_files import TensorFileError, infer
from device_agents.protocol import (
    EXIT_FENCED_OFF,
    Begin,
    Bye,
    Event,
    Failure,
    Hello,
    Loaded,
    Plan,
    PlanItem,
    Profile,
    Record,
    Sample,
    Sentinel,
    dump_record,
    load_plan,
)
from search.errors import DeviceError, KitError

RUNNER = "python"


class _PlanRun:
    """The run of one plan: loaded programs, chosen loops, counts of records."""

    def __init__(self, plan: Plan, write: Callable[[Record], None]) -> None:
        self.plan = plan
        self.write = write
        self.programs: dict[int, LoadedProgram] = {}
        self.loops: dict[int, int] = {}
        self.counts = {"sample": 0, "sentinel": 0, "failure": 0}

    def run(self) -> None:
        self._check_fence()
        self.write(self._hello())
        for item in self.plan.items:
            self._guard(item.id, "load", partial(self._load, item))
        # A collection in the middle of a block would be timed with it.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            for number in range(self.plan.rounds):
                self._round(number)
        finally:
            gc.enable()
            gc.unfreeze()
        self.write(
            Bye(
                samples=self.counts["sample"],
                sentinels=self.counts["sentinel"],
                failures=self.counts["failure"],
                max_rss_kb=_max_rss_kb(),
            )
        )

    def _check_fence(self) -> None:
        """End here, as every runner does, where the device belongs to another token."""
        fence = self.plan.fence
        if fence is None:
            return
        kept = FenceFolder(Path(fence.folder)).read()
        if kept != fence.token:
            print(
                f"fenced off: this device belongs to token {kept}, this run has {fence.token}",
                file=sys.stderr,
            )
            raise SystemExit(EXIT_FENCED_OFF)

    def _hello(self) -> Hello:
        plan = self.plan
        if plan.affinity is not None:
            with contextlib.suppress(OSError, AttributeError):
                os.sched_setaffinity(0, plan.affinity)
        runtime, package, _ = LOADERS[plan.backend]
        if plan.backend == "xnnpack":
            import torch
            from executorch.extension.pybindings import _portable_lib

            torch.set_num_threads(1)
            # An equal count would keep the pool's old threads and affinity.
            _portable_lib._unsafe_reset_threadpool(1)
            _portable_lib._unsafe_reset_threadpool(plan.threads)
        else:
            import_module(package)  # here, so that its memory counts as the runner's
        observed = tuple(sorted(os.sched_getaffinity(0))) if plan.affinity else None
        return Hello(
            nonce=plan.nonce,
            runner=RUNNER,
            runtime=runtime,
            runtime_version=version(package),
            backend=plan.backend,
            threads=plan.threads,
            affinity=observed,
            clock_resolution_ns=max(1, round(time.get_clock_info("perf_counter").resolution * 1e9)),
            pid=os.getpid(),
        )

    def _guard(self, item: int, kind: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.programs.pop(item, None)
            # An error of the kit is a sentence; of others the kind is what says most.
            name = "" if isinstance(error, KitError) else f"{type(error).__name__}: "
            message = f"{name}{error}"[:500]
            self.counts["failure"] += 1
            kind = getattr(error, "kind", kind)
            self.write(Failure(item=item, kind=kind, message=message))

    def _load(self, item: PlanItem) -> None:
        self.write(Begin(item=item.id))
        if not Path(item.file).is_file():
            raise FileNotFoundError(item.file)
        started = time.perf_counter_ns()
        program = LOADERS[self.plan.backend][2](item, self.plan.threads)
        load_ns = time.perf_counter_ns() - started
        if item.input is not None or item.output is not None:
            if program.tensors is None:
                raise TensorFileError("input", "this runtime takes no tensor files")
            infer(program.tensors, item.input, None)
        first_ns = _time_calls(program.call, 1)
        if item.output is not None and program.tensors is not None:
            infer(program.tensors, item.input, item.output)
        for _ in range(self.plan.warmup - 1):
            program.call()
        self.programs[item.id] = program
        self.loops[item.id] = item.loops or self._choose_loops(program)
        loops = self.loops[item.id]
        self.write(Loaded(item=item.id, load_ns=load_ns, loops=loops, first_ns=first_ns))
        if item.profile:
            self._guard(item.id, "profile", partial(self._profile, item, program))

    def _profile(self, item: PlanItem, program: LoadedProgram) -> None:
        if program.traced is None:
            raise DeviceError(
                "Python's runner tells no time of a program's parts.", "Take --runner native"
            )
        traced = program.traced(item.profile)
        self.write(
            Profile(
                item=item.id,
                calls=traced.calls,
                whole_ns=traced.whole_ns,
                traced_ns=traced.traced_ns,
            )
        )
        for name, kind, depth, ns in traced.events:
            self.write(Event(item=item.id, name=name, kind=kind, depth=depth, ns=ns))

    def _choose_loops(self, program: LoadedProgram) -> int:
        call_ns = min(_time_calls(program.call, 1) for _ in range(3))
        loops = -(-self.plan.min_block_ns // max(call_ns, 1))
        return max(1, min(loops, self.plan.max_loops))

    def _wait_until_cool(self) -> None:
        """Poll while too hot, a minute at most, as the native runner does."""
        limit = self.plan.max_temperature_c
        deadline = time.monotonic() + 60
        while limit is not None and time.monotonic() < deadline:
            celsius = temperature_c()
            if celsius is None or celsius <= limit:
                return
            time.sleep(0.5)

    def _round(self, number: int) -> None:
        self._wait_until_cool()
        order = sorted(self.programs)
        random.Random(self.plan.order_seed * 1_000_003 + number).shuffle(order)  # noqa: S311
        for position, item in enumerate(order):
            sentinel = self.plan.sentinel
            if (
                sentinel is not None
                and sentinel in self.programs
                and position % self.plan.sentinel_every == 0
            ):
                self._guard(sentinel, "execute", partial(self._sentinel, sentinel))
            if item in self.programs:
                self._guard(item, "execute", partial(self._sample, item, number))

    def _sentinel(self, item: int) -> None:
        _, ns, switches, _ = self._visit(item)
        self._check_fence()
        self.counts["sentinel"] += 1
        self.write(
            Sentinel(loops=self.loops[item], ns=ns, switches=switches, at_ns=time.perf_counter_ns())
        )

    def _sample(self, item: int, number: int) -> None:
        first_ns, ns, switches, attempts = self._visit(item)
        self._check_fence()
        self.counts["sample"] += 1
        self.write(
            Sample(
                item=item,
                round=number,
                loops=self.loops[item],
                ns=ns,
                first_ns=first_ns,
                switches=switches,
                attempts=attempts,
                at_ns=time.perf_counter_ns(),
            )
        )

    def _visit(self, item: int) -> tuple[int | None, int, int, int]:
        program, loops = self.programs[item], self.loops[item]
        count = _switch_counter(self.plan.threads)
        program.refresh()
        before = count()
        first_ns: int | None = _time_calls(program.call, 1)
        if count() != before:
            first_ns = None
        for _ in range(self.plan.warmup - 1):
            program.call()
        attempt = 0
        while True:
            attempt += 1
            before = count()
            ns = _time_calls(program.call, loops)
            switches = count() - before
            if not switches or attempt == self.plan.max_attempts:
                return first_ns, ns, switches, attempt


def _time_calls(call: Callable[[], Any], loops: int) -> int:
    clock, numbers = time.perf_counter_ns, range(loops)
    started = clock()
    for _ in numbers:
        call()
    return clock() - started


def _switch_counter(threads: int) -> Callable[[], int]:
    """Involuntary context switches of the thread, or of all its pool."""
    try:
        import resource

        who = resource.RUSAGE_THREAD if threads == 1 else resource.RUSAGE_SELF
    except (ImportError, AttributeError):
        return lambda: 0
    usage = resource.getrusage
    return lambda: usage(who).ru_nivcsw


def _max_rss_kb() -> int | None:
    # Not ru_maxrss: that outlives exec and would be the parent's peak.
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return None


def _plans(stream: IO[str]) -> Iterator[Plan]:
    for line in stream:
        if line.strip():
            yield load_plan(line)


def serve(stdin: IO[str], stdout: IO[str]) -> None:
    """Answer plans until the input ends or the reader closes the output."""

    def write(record: Record) -> None:
        stdout.write(dump_record(record) + "\n")
        stdout.flush()

    with contextlib.suppress(BrokenPipeError):
        for plan in _plans(stdin):
            _PlanRun(plan, write).run()
            gc.collect()


def _claim_stdout() -> IO[str]:
    """Reserve standard output for records: runtimes print to file descriptor 1 from C."""
    records = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(records, "w", encoding="utf-8")


if __name__ == "__main__":
    serve(sys.stdin, _claim_stdout())
    # A runtime's exit handlers may crash; the work is done and flushed.
    os._exit(0)
