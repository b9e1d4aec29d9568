"""The Python worker keeps the rules of the wire format, whatever a runtime does.

The runtimes here are made up: one is registered in this process, another
takes the place of the package `onnxruntime` in a process of its own.
"""

import gc
import io
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.base import AgentSettings
from device_agents.host import python_runner
from device_agents.host.agent import HostAgent
from device_agents.host.runtimes import LoadedProgram
from device_agents.protocol import (
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
    dump_plan,
    parse_record,
)
from search.errors import DeviceLost
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[3]


class Runtime:
    """A runtime that writes down what is done with its programs."""

    def __init__(self) -> None:
        self.log: list[tuple[int, str]] = []
        self.busy_s = 0.0
        self.last_call: dict[int, int] = {}
        self.collecting: list[bool] = []

    def load(self, item: PlanItem, threads: int) -> LoadedProgram:
        if "broken" in item.file:
            raise RuntimeError("no such kernel")
        return LoadedProgram(
            lambda: self.call(item.id), lambda: self.log.append((item.id, "refresh"))
        )

    def call(self, item: int) -> None:
        self.log.append((item, "call"))
        self.collecting.append(gc.isenabled())
        if sum(entry == (item, "call") for entry in self.log) > self.last_call.get(item, 10**9):
            raise RuntimeError("out of luck")
        if self.busy_s:
            time.sleep(self.busy_s)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    made = Runtime()
    monkeypatch.setattr(python_runner, "LOADERS", {"fake": ("fake", "pydantic", made.load)})
    monkeypatch.setattr(python_runner, "_switch_counter", lambda _: lambda: 0)
    return made


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.touch()
    return [str(path) for path in paths]


def plan(files: list[str], **changes: Any) -> Plan:
    items = [PlanItem(id=number, file=file, sha256="") for number, file in enumerate(files)]
    items = [item.model_copy(update={"loops": changes.pop("loops", 3)}) for item in items]
    fields = {"nonce": "n", "backend": "fake", "threads": 1, "order_seed": 1, "rounds": 2}
    return Plan.model_validate({**fields, "items": tuple(items), **changes})


def serve(*plans: Plan) -> list[Record]:
    out = io.StringIO()
    python_runner.serve(io.StringIO("".join(f"{dump_plan(one)}\n" for one in plans)), out)
    return [parse_record(line) for line in out.getvalue().splitlines()]


def samples(records: list[Record]) -> list[Sample]:
    return [record for record in records if isinstance(record, Sample)]


def test_a_visit_refreshes_the_input_then_calls_as_often_as_the_protocol_says(
    runtime: Runtime, files: list[str]
) -> None:
    serve(plan(files[:1], warmup=4, rounds=1))
    loading, visit = ["call"] * 4, ["refresh"] + ["call"] * (4 + 3)
    assert [what for _, what in runtime.log] == loading + visit


def test_a_preempted_block_is_redone_and_only_the_last_is_reported(
    runtime: Runtime, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before and after: the first call, then blocks with 2, 1 and 0 switches.
    readings = iter([0, 0, 0, 2, 2, 3, 3, 3])
    monkeypatch.setattr(python_runner, "_switch_counter", lambda _: lambda: next(readings))
    sample = samples(serve(plan(files[:1], warmup=1, rounds=1)))[0]
    assert (sample.attempts, sample.switches) == (3, 0)
    assert sample.first_ns is not None
    assert runtime.log.count((0, "call")) == 1 + 1 + 3 * 3


def test_a_block_that_is_preempted_each_time_is_reported_with_its_switches(
    runtime: Runtime, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter(range(100))
    monkeypatch.setattr(python_runner, "_switch_counter", lambda _: lambda: next(readings))
    sample = samples(serve(plan(files[:1], rounds=1, max_attempts=4)))[0]
    assert (sample.attempts, sample.switches) == (4, 1)


def test_a_first_call_that_was_preempted_has_no_time(
    runtime: Runtime, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([0, 1, 1, 1])
    monkeypatch.setattr(python_runner, "_switch_counter", lambda _: lambda: next(readings))
    assert samples(serve(plan(files[:1], rounds=1)))[0].first_ns is None


def test_switches_of_this_thread_are_counted() -> None:
    count = python_runner._switch_counter(1)
    before = count()
    assert before >= 0
    assert count() >= before


def test_garbage_is_not_collected_while_time_is_taken(runtime: Runtime, files: list[str]) -> None:
    runtime.last_call = {0: 8}
    records = serve(plan(files[:2], warmup=1, rounds=2))
    assert not any(runtime.collecting[2:])
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert isinstance(records[-1], Bye)


def test_chosen_loops_make_a_block_last(runtime: Runtime, files: list[str]) -> None:
    runtime.busy_s = 0.001
    records = serve(plan(files[:1], loops=0, min_block_ns=8_000_000, rounds=1))
    loops = [record.loops for record in records if isinstance(record, Loaded)]
    assert 1 < loops[0] <= 8
    assert [sample.loops for sample in samples(records)] == loops
    assert samples(records)[0].ns >= 1_000_000 * loops[0]


def test_loops_are_capped(runtime: Runtime, files: list[str]) -> None:
    records = serve(plan(files[:1], loops=0, min_block_ns=10**12, max_loops=2, rounds=1))
    assert samples(records)[0].loops == 2


def test_items_that_cannot_be_loaded_fail_once_and_the_others_go_on(
    runtime: Runtime, files: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    records = serve(plan([str(broken), "/nowhere", *files], sentinel=0))
    failures = [record for record in records if isinstance(record, Failure)]
    assert [(f.item, f.kind) for f in failures] == [(0, "load"), (1, "load")]
    assert "RuntimeError: no such kernel" in failures[0].message
    assert "/nowhere" in failures[1].message
    assert Counter(s.item for s in samples(records)) == {2: 2, 3: 2, 4: 2}
    assert not any(isinstance(record, Sentinel) for record in records)


def test_an_item_that_fails_midway_fails_once_and_is_visited_no_more(
    runtime: Runtime, files: list[str]
) -> None:
    runtime.last_call = {1: 14}
    records = serve(plan(files, warmup=2, rounds=9))
    failures = [record for record in records if isinstance(record, Failure)]
    assert [(f.item, f.kind) for f in failures] == [(1, "execute")]
    assert Counter(s.item for s in samples(records)) == {0: 9, 1: 2, 2: 9}


def test_a_sentinel_that_fails_midway_takes_nothing_with_it(
    runtime: Runtime, files: list[str]
) -> None:
    runtime.last_call = {0: 20}
    records = serve(plan(files, sentinel=0, sentinel_every=1, rounds=9))
    assert sum(isinstance(record, Failure) for record in records) == 1
    assert Counter(s.item for s in samples(records))[2] == 9


def test_plans_follow_one_another_and_each_has_its_own_nonce(
    runtime: Runtime, files: list[str]
) -> None:
    records = serve(plan(files, nonce="one"), plan(files[:1], nonce="two"), plan([], rounds=0))
    hellos = [record for record in records if isinstance(record, Hello)]
    byes = [record.samples for record in records if isinstance(record, Bye)]
    assert [hello.nonce for hello in hellos] == ["one", "two", "n"]
    assert byes == [6, 2, 0]
    assert hellos[0].runner == "python"


def test_empty_lines_between_plans_are_nothing(runtime: Runtime) -> None:
    out = io.StringIO()
    python_runner.serve(io.StringIO(f"\n\n{dump_plan(plan([], rounds=0))}\n\n"), out)
    assert len(out.getvalue().splitlines()) == 2


def test_a_reader_that_goes_away_ends_the_worker(runtime: Runtime, files: list[str]) -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            if self.tell() > 200:
                raise BrokenPipeError

    out = Gone()
    python_runner.serve(io.StringIO(f"{dump_plan(plan(files, rounds=10**6))}\n"), out)
    assert out.getvalue().count("\n") < 5


# --- in a process of its own

FAKE = """
import ctypes, os, pathlib, sys

libc = ctypes.CDLL(None)


class SessionOptions:
    def add_session_config_entry(self, key, value):
        libc.puts(b"options are read")
        libc.fflush(None)


class InferenceSession:
    name, shape, type = "x", [1, 2], "tensor(float)"

    def __init__(self, file, options, providers):
        self.deed = pathlib.Path(file).read_text()

    def get_inputs(self):
        return [self]

    def run(self, outputs, feed):
        if self.deed == "chats":
            libc.printf(b"half a line, from C")
            libc.fflush(None)
            os.write(1, b'{"type":"bye","samples":0,"sentinels":0,"failures":0}\\n')
            print("and from Python", flush=True)
        if self.deed == "aborts":
            os.abort()
        if self.deed == "exits":
            print("no more licences", file=sys.stderr, flush=True)
            os._exit(3)
"""


@pytest.fixture
def deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Files for a runtime that does what they say."""
    (tmp_path / "onnxruntime.py").write_text(FAKE)
    about = tmp_path / "onnxruntime-0.0.7.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: onnxruntime\nVersion: 0.0.7\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))

    def write(deed: str) -> str:
        (tmp_path / deed).write_text(deed)
        return str(tmp_path / deed)

    return write


def test_what_a_runtime_prints_never_comes_between_the_records(
    deeds: Callable[[str], str],
) -> None:
    pytest.importorskip("numpy")
    given = plan([deeds("chats"), deeds("works")], backend="onnxruntime", nonce="ü")
    done = subprocess.run(
        [sys.executable, "-m", "device_agents.host.python_runner", "--serve"],
        input=dump_plan(given) + "\n",
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    records = [parse_record(line) for line in done.stdout.splitlines()]
    assert isinstance(records[0], Hello)
    assert (records[0].nonce, records[0].runtime_version) == ("ü", "0.0.7")
    assert isinstance(records[-1], Bye)
    assert Counter(sample.item for sample in samples(records)) == {0: 2, 1: 2}
    for said in ("options are read", "half a line, from C", "and from Python"):
        assert said in done.stderr


@pytest.mark.parametrize(
    ("deed", "told"), [("aborts", "signal 6"), ("exits", "exit code 3.*no more licences")]
)
def test_a_runtime_that_kills_its_process_is_a_lost_device_and_the_next_plan_works(
    deed: str, told: str, deeds: Callable[[str], str]
) -> None:
    settings = AgentSettings(
        backend="onnxruntime", threads=1, affinity=None, runner="python", timeout_s=PATIENCE_S
    )
    works = deeds("works")
    seen: list[Record] = []
    with HostAgent(settings) as agent:
        with pytest.raises(DeviceLost, match=told):
            seen.extend(agent.run(plan([works, deeds(deed)], backend="onnxruntime")))
        assert [record.type for record in seen] == ["hello", "begin", "loaded", "begin"]
        records = list(agent.run(plan([works], backend="onnxruntime")))
    assert len(samples(records)) == 2


def test_inputs_of_several_dtypes_are_read_from_one_file_and_its_time_is_told_by_operator(
    tmp_path: Path,
) -> None:
    onnx = pytest.importorskip("onnx", reason="the model is written with onnx")
    pytest.importorskip("onnxruntime", reason="the model runs on ONNX Runtime")
    np = pytest.importorskip("numpy")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["rows", "ids"], ["picked"]),
            helper.make_node("Where", ["mask", "x", "picked"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", kinds.FLOAT, (2, 2)),
            helper.make_tensor_value_info("ids", kinds.INT64, (2,)),
            helper.make_tensor_value_info("mask", kinds.BOOL, (2, 2)),
        ],
        [helper.make_tensor_value_info("y", kinds.FLOAT, (2, 2))],
        [onnx.numpy_helper.from_array(np.array([[5, 6], [7, 8]], np.float32), "rows")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    file, given, answer = (tmp_path / name for name in ("m.onnx", "in.bin", "out.bin"))
    file.write_bytes(made.SerializeToString())
    sets = [
        np.array([[1, 2], [3, 4]], "<f4").tobytes()
        + np.array([1, 0], "<i8").tobytes()
        + np.array(mask, bool).tobytes()
        for mask in ([[True, False], [False, True]], [[False, False], [False, False]])
    ]
    given.write_bytes(b"".join(sets))
    records = serve(
        Plan(
            nonce="n",
            backend="onnxruntime",
            threads=1,
            order_seed=0,
            rounds=0,
            items=(
                PlanItem(
                    id=0,
                    file=str(file),
                    sha256="",
                    input=str(given),
                    output=str(answer),
                    profile=6,
                ),
            ),
        )
    )
    first, second = np.frombuffer(answer.read_bytes(), "<f4").reshape(2, 2, 2).tolist()
    assert first == [[1, 8], [5, 4]]
    assert second == [[7, 8], [5, 6]]
    (loaded,) = (record for record in records if isinstance(record, Loaded))
    assert loaded.first_ns > 0
    (profile,) = (record for record in records if isinstance(record, Profile))
    events = [record for record in records if isinstance(record, Event)]
    assert profile.calls == 3  # the quieter half
    assert [event.name.split()[0] for event in events if event.kind == "delegated"] == [
        "Gather",
        "Where",
    ]
    assert [event.depth for event in events] == [0, 1, 2, 2]
