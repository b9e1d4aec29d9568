"""Where the time of an ONNX Runtime session goes: its own profiler, beside calls without it."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_WARMUP = 2
_KERNEL = "_kernel_time"
_EXECUTE = "SequentialExecutor::Execute"

# Name, kind and depth as the wire format has them, and nanoseconds.
TracedEvent = tuple[str, Literal["step", "delegated"], int, int]


@dataclass(frozen=True, slots=True)
class TracedCalls:
    """Sums over the quieter half of the calls, as a `Profile` record states them."""

    calls: int
    whole_ns: int
    traced_ns: int
    events: tuple[TracedEvent, ...]


def open_session(file: str, threads: int, profile: str | None = None) -> Any:
    """A session with so many threads; with `profile`, its profiler writes to files so named."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def trace_session(
    file: str, threads: int, inputs: Mapping[str, Any], run: Callable[..., Any], calls: int
) -> TracedCalls:
    """Calls with and without the profiler, in turn.

    Args:
        file: The model.
        threads: Of the session.
        inputs: Values by name.
        run: The call without the profiler.
        calls: How many of each.
    """
    plain: list[int] = []
    traced: list[int] = []
    with tempfile.TemporaryDirectory(prefix="kit-trace-") as folder:
        session = open_session(file, threads, str(Path(folder) / "trace"))
        for number in range(_WARMUP + calls):
            own = _timed(run, inputs)
            other = _timed(session.run, inputs)
            if number >= _WARMUP:
                plain.append(own)
                traced.append(other)
        content = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    each = list(_split(content))[_WARMUP:]
    order = sorted(range(min(len(each), calls)), key=lambda n: plain[n] + traced[n])
    kept = order[: (len(order) + 1) // 2]
    return TracedCalls(
        calls=len(kept),
        whole_ns=sum(plain[n] for n in kept),
        traced_ns=sum(traced[n] for n in kept),
        events=_summed([each[n] for n in kept]),
    )


def _timed(run: Callable[..., Any], inputs: Mapping[str, Any]) -> int:
    started = time.perf_counter_ns()
    run(None, inputs)
    return time.perf_counter_ns() - started


def _split(content: Sequence[Mapping[str, Any]]) -> Iterator[list[TracedEvent]]:
    """The events of each call: the whole first, then the nodes in order."""
    nodes: list[TracedEvent] = []
    executing = 0
    for event in content:
        name, ns = str(event["name"]), int(event["dur"]) * 1000
        if event["cat"] == "Node" and name.endswith(_KERNEL):
            operator = str(event.get("args", {}).get("op_name", "?"))
            nodes.append((f"{operator} {name.removesuffix(_KERNEL)}", "delegated", 2, ns))
        elif name == _EXECUTE:
            executing = ns
        elif name == "model_run":
            steps: list[TracedEvent] = [
                ("model_run", "step", 0, ns),
                (_EXECUTE, "step", 1, executing),
            ]
            yield [*steps, *nodes]
            nodes = []


def _summed(calls: Sequence[Sequence[TracedEvent]]) -> tuple[TracedEvent, ...]:
    """Calls of the same nodes in the same order, added up."""
    first = calls[0]
    alike = [one for one in calls if [e[0] for e in one] == [e[0] for e in first]]
    if len(alike) != len(calls):
        raise ValueError("two calls took different steps")
    return tuple(
        (name, kind, depth, sum(one[n][3] for one in calls))
        for n, (name, kind, depth, _) in enumerate(first)
    )
