"""The native runner, built for this machine and driven through its wire format."""

import os
import shutil
import statistics
import subprocess
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from device_agents import native, protocol
from device_agents.protocol import Failure, Loaded, Plan, PlanItem, Record, Sample, Sentinel
from search.errors import DeviceError, UsageError

pytest.importorskip("torch", reason="the native runner links with torch's libraries")
pytest.importorskip("executorch.exir", reason="the native runner links with ExecuTorch's wheel")

Kind = TypeVar("Kind", bound=Record)
TIMEOUT_S = 60


@dataclass(frozen=True)
class Program:
    """A program, the bytes of its inputs and what Python's runtime makes of them."""

    file: Path
    inputs: bytes
    outputs: np.ndarray[Any, Any]


@pytest.fixture(scope="session")
def runner() -> Path:
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    return native.build()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    import torch

    class Two(torch.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x + y, x * y

    class Countdown(torch.nn.Module):
        """Fails at its 40th call."""

        calls: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1, dtype=torch.int64))

        def forward(self, x: Any) -> Any:
            self.calls.add_(1)
            return x.index_select(0, self.calls)

    torch.manual_seed(0)
    conv = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
    image = torch.randn(1, 3, 9, 7)
    cases = {
        "contiguous": (conv, (image,)),
        "channels_last": (conv, (image.to(memory_format=torch.channels_last),)),
        "two_inputs": (Two(), (torch.randn(2, 3), torch.randn(2, 3))),
        "integers": (Two(), (torch.arange(6), torch.arange(6) * 7)),
        "countdown": (Countdown(), (torch.randn(40, 2),)),
    }
    folder = tmp_path_factory.mktemp("programs")
    return {name: lower(folder / f"{name}.pte", *case) for name, case in cases.items()}


def lower(file: Path, module: Any, inputs: tuple[Any, ...]) -> Program:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.extension.pybindings import _portable_lib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lowered = to_edge_transform_and_lower(
            torch.export.export(module.eval(), inputs),
            partitioner=[XnnpackPartitioner()],
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        file.write_bytes(lowered.to_executorch().buffer)
    outputs = _portable_lib._load_for_executorch(str(file)).forward(inputs)
    given = b"".join(in_memory(tensor).tobytes() for tensor in inputs)
    return Program(file, given, np.concatenate([in_memory(tensor) for tensor in outputs]))


def in_memory(tensor: Any) -> np.ndarray[Any, Any]:
    """A dense tensor's elements in the order in which they lie."""
    return np.asarray(tensor.as_strided((tensor.numel(),), (1,)).numpy())


def item(file: Path, number: int = 0, **changes: Any) -> PlanItem:
    return PlanItem(id=number, file=str(file), sha256="", **changes)


def plan(*items: PlanItem, **changes: Any) -> Plan:
    fields = {"nonce": "n", "backend": "xnnpack", "threads": 1, "order_seed": 3, "rounds": 2}
    return Plan.model_validate({**fields, "min_block_ns": 20_000, "items": items, **changes})


def launch(runner: Path, *arguments: str, text: str = "", **env: str) -> Any:
    command = [str(runner), *arguments]
    every = {**os.environ, **env}
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S, env=every
    )


def run(runner: Path, *plans: Plan, **env: str) -> list[Record]:
    text = "".join(f"{protocol.dump_plan(one)}\n" for one in plans)
    done = launch(runner, "--serve", text=text, **env)
    assert done.returncode == 0, done.stderr
    return [protocol.parse_record(line) for line in done.stdout.splitlines()]


def only(kind: type[Kind], records: list[Record]) -> list[Kind]:
    return [record for record in records if isinstance(record, kind)]


class Served:
    """A runner kept alive, one plan after the other."""

    def __init__(self, runner: Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [str(runner), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **env},
        )

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def send(self, plan: Plan) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{protocol.dump_plan(plan)}\n")
        self.process.stdin.flush()

    def read(self) -> Record:
        assert self.process.stdout
        return protocol.parse_record(self.process.stdout.readline())

    def run(self, plan: Plan) -> list[Record]:
        self.send(plan)
        records = [self.read()]
        while not isinstance(records[-1], protocol.Bye):
            records.append(self.read())
        return records

    def status(self, field: str) -> list[str]:
        """One field of each of its threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return [line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")]


def test_what_was_built_is_found_without_a_compiler(
    runner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert native.find() == runner
    assert native.build() == runner


def test_changed_sources_do_not_meet_the_old_binary(
    runner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(native.SOURCES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "random.h").write_text("// changed\n")
    monkeypatch.setattr(native, "SOURCES", tmp_path)
    assert native.find() is None


@pytest.mark.parametrize(
    ("env", "error"),
    [
        ({"CXX": "no-such-compiler"}, UsageError),
        ({"CXX": "false"}, DeviceError),
        ({"CXX": "", "PATH": "/nowhere"}, DeviceError),
    ],
)
def test_a_compiler_that_is_missing_or_fails_is_told_with_a_remedy(
    env: dict[str, str], error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match="CXX"):
        native.build(out=tmp_path / "runner")
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_one_line_that_names_the_backends(runner: Path) -> None:
    done = launch(runner, "--version")
    assert done.stdout.count("\n") == 1
    assert '"schema_version":1,"runner":"executorch-native"' in done.stdout
    assert "XnnpackBackend" in done.stdout


@pytest.mark.parametrize("name", ["contiguous", "channels_last", "two_inputs", "integers"])
def test_outputs_are_those_of_the_python_runtime(
    name: str, runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    program = programs[name]
    given, made = tmp_path / "given", tmp_path / "made"
    given.write_bytes(program.inputs)
    records = run(runner, plan(item(program.file, input=str(given), output=str(made)), rounds=0))
    assert [record.type for record in records] == ["hello", "begin", "loaded", "bye"]
    outputs = np.fromfile(made, program.outputs.dtype)
    np.testing.assert_allclose(outputs, program.outputs, rtol=1e-5, atol=1e-6)
    assert sorted(tmp_path.iterdir()) == [given, made]


@pytest.mark.parametrize("name", ["channels_last", "two_inputs"])
def test_each_set_of_inputs_in_a_file_gives_its_outputs(
    name: str, runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    program = programs[name]
    given, made = tmp_path / "given", tmp_path / "made"
    given.write_bytes(program.inputs + bytes(len(program.inputs)) + program.inputs)
    run(runner, plan(item(program.file, input=str(given), output=str(made))))
    first, nothing, last = np.fromfile(made, program.outputs.dtype).reshape(3, -1)
    np.testing.assert_allclose(first, program.outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first, last)
    assert not np.array_equal(first, nothing)


def test_a_program_that_fails_on_a_later_set_writes_nothing(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    program = programs["countdown"]
    given, made = tmp_path / "given", tmp_path / "made"
    given.write_bytes(program.inputs * 50)
    wanted = item(program.file, input=str(given), output=str(made), loops=1)
    failures = only(Failure, run(runner, plan(wanted)))
    assert [failure.kind for failure in failures] == ["execute"]
    assert not made.exists()


def test_random_inputs_depend_on_the_item_alone(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    file = programs["contiguous"].file
    wanted = [item(file, number, output=str(tmp_path / str(number))) for number in (0, 1)]
    outputs = []
    for seed in (1, 2):
        run(runner, plan(*wanted, order_seed=seed))
        outputs.append([(tmp_path / name).read_bytes() for name in ("0", "1")])
    assert outputs[0] == outputs[1]
    assert outputs[0][0] != outputs[0][1]


def shuffled(seed: int, number: int, count: int) -> list[int]:
    """The order that the runner documents: splitmix64 and Fisher-Yates."""
    mask = (1 << 64) - 1

    def outputs(state: int) -> Any:
        while True:
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            yield z ^ (z >> 31)

    random = outputs((next(outputs(seed)) + number) & mask)
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = next(random) % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def test_each_round_visits_every_item_once_in_the_documented_order(
    runner: Path, programs: dict[str, Program]
) -> None:
    seed = (1 << 64) - 5
    items = [item(programs["two_inputs"].file, number) for number in range(6)]
    samples = only(Sample, run(runner, plan(*items, order_seed=seed, rounds=4)))
    orders = [[s.item for s in samples if s.round == number] for number in range(4)]
    assert orders == [shuffled(seed, number, 6) for number in range(4)]
    assert len(set(map(tuple, orders))) > 1
    assert [s.at_ns for s in samples] == sorted(s.at_ns for s in samples)


def test_loops_are_chosen_so_that_a_block_lasts_and_can_be_prescribed(
    runner: Path, programs: dict[str, Program]
) -> None:
    file = programs["two_inputs"].file
    items = [item(file, 0), item(file, 1, loops=7)]
    records = run(runner, plan(*items, min_block_ns=200_000, rounds=9))
    chosen, prescribed = (loaded.loops for loaded in only(Loaded, records))
    assert prescribed == 7
    assert {(s.item, s.loops) for s in only(Sample, records)} == {(0, chosen), (1, 7)}
    assert np.median([s.ns for s in only(Sample, records) if s.item == 0]) >= 160_000
    capped = run(runner, plan(*items, min_block_ns=10**12, max_loops=3))
    assert [loaded.loops for loaded in only(Loaded, capped)] == [3, 7]


def test_the_sentinel_comes_before_every_so_many_items_of_a_round(
    runner: Path, programs: dict[str, Program]
) -> None:
    items = [item(programs["two_inputs"].file, number) for number in range(5)]
    records = run(runner, plan(*items, sentinel=4, sentinel_every=2))
    measured = [r.type for r in records if isinstance(r, Sample | Sentinel)]
    one_round = ["sentinel", "sample", "sample"] * 2 + ["sentinel", "sample"]
    assert measured == one_round * 2
    assert sum(s.item == 4 for s in only(Sample, records)) == 2


def test_the_counts_of_bye_agree_with_what_came(runner: Path, programs: dict[str, Program]) -> None:
    items = [item(programs["two_inputs"].file, 0), item(Path("/nowhere.pte"), 1)]
    records = run(runner, plan(*items, sentinel=0))
    count = Counter(record.type for record in records)
    bye = records[-1]
    assert isinstance(bye, protocol.Bye)
    assert (bye.samples, bye.sentinels, bye.failures) == (2, 2, 1)
    assert (count["sample"], count["sentinel"], count["failure"]) == (2, 2, 1)
    assert 1_000 < (bye.max_rss_kb or 0) < 1_000_000


def test_hello_says_who_measures(runner: Path, programs: dict[str, Program]) -> None:
    nonce = 'ü "\\\n\U0001f600'
    one = plan(item(programs["two_inputs"].file), nonce=nonce, backend="b", rounds=0)
    hello = run(runner, one, KIT_RUNNER_SHA256="abc")[0]
    assert isinstance(hello, protocol.Hello)
    assert (hello.nonce, hello.backend, hello.runner_sha256) == (nonce, "b", "abc")
    assert (hello.runner, hello.runtime) == ("executorch-native", "executorch")
    assert hello.runtime_version == version("executorch")
    assert 0 < (hello.clock_resolution_ns or 0) < 1_000_000


def break_file(how: str, good: bytes, path: Path) -> None:
    contents = {
        "empty": b"",
        "short": good[:40],
        "half": good[: len(good) // 2],
        "one byte less": good[:-1],
        "garbage": bytes(range(256)) * 40,
        "header, then garbage": good[:64] + b"\xff" * len(good),
    }
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif how != "missing":
        path.write_bytes(contents[how])


@pytest.mark.parametrize(
    "how",
    [
        *("missing", "empty", "short", "half", "one byte less", "garbage"),
        *("header, then garbage", "folder", "pipe", "huge"),
    ],
)
def test_a_broken_program_is_one_failure_and_the_others_go_on(
    how: str, runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    good = programs["contiguous"].file
    bad = tmp_path / "bad.pte"
    break_file(how, good.read_bytes(), bad)
    records = run(runner, plan(item(bad, 0), item(good, 1), sentinel=0))
    assert [(f.item, f.kind) for f in only(Failure, records)] == [(0, "load")]
    assert [s.item for s in only(Sample, records)] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"method": "backward"}, "load", "InvalidArgument"),
        ({"input": "{folder}/short"}, "input", "the file has 3 bytes, the inputs 756"),
        ({"input": "{folder}/absent"}, "input", "No such file"),
        ({"output": "{folder}/absent/output"}, "output", "No such file"),
    ],
)
def test_what_an_item_asks_in_vain_is_its_failure(
    changes: dict[str, str],
    kind: str,
    message: str,
    runner: Path,
    programs: dict[str, Program],
    tmp_path: Path,
) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    asked = {name: value.format(folder=tmp_path) for name, value in changes.items()}
    good = programs["contiguous"].file
    records = run(runner, plan(item(good, 0, **asked), item(good, 1)))
    failure = only(Failure, records)[0]
    assert (failure.item, failure.kind) == (0, kind)
    assert message in failure.message
    assert [s.item for s in only(Sample, records)] == [1, 1]


def test_an_item_that_fails_midway_fails_once_and_is_visited_no_more(
    runner: Path, programs: dict[str, Program]
) -> None:
    items = [item(programs["countdown"].file, 0, loops=4), item(programs["two_inputs"].file, 1)]
    records = run(runner, plan(*items, rounds=12, max_attempts=1))
    assert [(f.item, f.kind) for f in only(Failure, records)] == [(0, "execute")]
    assert "0x12" in only(Failure, records)[0].message
    rounds = [s.round for s in only(Sample, records) if s.item == 0]
    assert rounds == list(range(6))  # one call, then two and four a round
    assert sum(s.item == 1 for s in only(Sample, records)) == 12


def test_a_truncated_or_flipped_header_does_not_kill_the_runner(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    good = programs["contiguous"].file.read_bytes()
    broken = [good[:at] for at in range(0, 64, 8)]
    # The magics, the sizes and the root offset; a flip further in may well
    # pass the runtime's checks and kill a delegate.
    for at in range(32):
        broken.append(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
    files = [tmp_path / str(number) for number in range(len(broken))]
    for file, content in zip(files, broken, strict=True):
        file.write_bytes(content)
    items = [item(file, number) for number, file in enumerate(files)]
    records = run(runner, plan(*items, rounds=1))
    ended = [r.item for r in records if isinstance(r, Loaded | Failure)]
    assert ended == list(range(len(files)))
    assert len(only(Failure, records)) > len(files) / 2


GOOD = '"nonce":"n","backend":"b","threads":1,"order_seed":1,"rounds":0,"items":[]'


def with_field(text: str) -> str:
    return f"{{{GOOD},{text}}}"


@pytest.mark.parametrize(
    "line",
    [
        *("", "{", "[]", "null", f"{{{GOOD}", f"{{{GOOD}}} x", "[" * 100_000),
        f"{{{GOOD}}}".replace('"rounds":0,', ""),
        f"{{{GOOD}}}".replace("[]", '[{"id":1}]'),
        *map(with_field, ('"colour":1', '"warmup":0', '"warmup":1.5', '"schema_version":2')),
        *map(with_field, ('"sentinel":3', '"max_loops":99999999999999999999')),
    ],
)
def test_a_bad_plan_is_one_line_on_stderr_and_exit_code_2(line: str, runner: Path) -> None:
    done = launch(runner, "--serve", text=f"{line}\n{{{GOOD}}}\n")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "bad plan" in done.stderr


def test_a_plan_can_come_from_a_file(runner: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(f"{{{GOOD}}}")
    done = launch(runner, str(file))
    assert done.returncode == 0
    assert '"type":"bye"' in done.stdout
    assert launch(runner, str(tmp_path / "absent")).returncode == 2
    assert launch(runner).returncode == 2


def test_one_thread_means_no_pool_and_the_count_may_change_between_plans(
    runner: Path, programs: dict[str, Program]
) -> None:
    seen = []
    with Served(runner) as served:
        for threads in (2, 1, 3, 1):
            hello = served.run(plan(item(programs["contiguous"].file), threads=threads))[0]
            assert isinstance(hello, protocol.Hello)
            seen.append((hello.threads, len(served.status("Name"))))
    assert seen == [(2, 2), (1, 1), (3, 3), (1, 1)]


def test_threads_inherit_the_affinity_and_an_impossible_one_is_told(
    runner: Path, programs: dict[str, Program]
) -> None:
    here = tuple(sorted(os.sched_getaffinity(0)))
    seen, inherited = [], []
    with Served(runner) as served:
        for asked in (None, here[-1:], (5000,), (1023,), None):
            hello = served.run(
                plan(item(programs["contiguous"].file), threads=2, affinity=asked, rounds=0)
            )[0]
            assert isinstance(hello, protocol.Hello)
            seen.append(hello.affinity)
            inherited.append(set(served.status("Cpus_allowed_list")))
    assert seen == [here, here[-1:], here, here, here]
    assert inherited[1] == {str(here[-1])}
    assert inherited[0] == inherited[2] == inherited[4]


def test_memory_does_not_grow_over_twenty_plans(runner: Path, programs: dict[str, Program]) -> None:
    items = [item(programs["contiguous"].file, number) for number in range(30)]
    sizes = []
    with Served(runner) as served:
        for _ in range(20):
            served.run(plan(*items, rounds=1))
            sizes.append(int(served.status("VmRSS")[0].split()[0]))
    assert sizes[-1] < sizes[4] + 500


def test_a_runner_that_nobody_reads_ends_quietly(
    runner: Path, programs: dict[str, Program]
) -> None:
    with Served(runner) as served:
        served.send(plan(item(programs["contiguous"].file), rounds=10**9))
        served.read()
        assert served.process.stdout
        served.process.stdout.close()
        assert served.process.wait(TIMEOUT_S) == 0
        served.process.stdout = None


def make_sysfs(root: Path, millidegrees: str) -> Path:
    for number, kind, value in [(0, "battery", "99000"), (2, "CPU-0", "0"), (10, "BIG", "")]:
        zone = root / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value or millidegrees}\n")
    for cpu in range(os.cpu_count() or 1):
        folder = root / f"devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text("1800000\n")
    return root / "class/thermal/thermal_zone10/temp"


def test_temperature_goes_into_the_samples_where_it_can_be_read(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    make_sysfs(tmp_path, "41500")
    one = plan(item(programs["contiguous"].file), sentinel=0, rounds=1)
    for root, expected in ((tmp_path, 41_500), (Path("/nowhere"), None)):
        records = run(runner, one, KIT_SYSFS=str(root))
        blocks = [r for r in records if isinstance(r, Sample | Sentinel)]
        assert [r.temperature_mc for r in blocks] == [expected] * 2


@pytest.mark.parametrize(("kind", "reading"), [("soc", "85"), ("cpu-0-0", "900000")])
def test_what_is_no_temperature_of_a_processor_is_unknown(
    kind: str, reading: str, runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text(f"{kind}\n")
    (zone / "temp").write_text(f"{reading}\n")
    records = run(runner, plan(item(programs["contiguous"].file)), KIT_SYSFS=str(tmp_path))
    assert {s.temperature_mc for s in only(Sample, records)} == {None}


def test_the_clock_is_measured_and_not_taken_from_what_the_system_says(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    make_sysfs(tmp_path, "41500")
    records = run(
        runner, plan(item(programs["contiguous"].file), rounds=20), KIT_SYSFS=str(tmp_path)
    )
    clocks = [r.freq_khz for r in records if isinstance(r, Sample)]
    # The false 1.8 GHz of the fake sysfs cannot appear twenty times in a row.
    assert len(set(clocks)) > 1
    assert all(clock and 300_000 < clock < 8_000_000 for clock in clocks)
    assert statistics.median(clocks) > 0.7 * max(clocks)


def test_too_hot_means_waiting_until_it_is_cool(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    reading = make_sysfs(tmp_path, "60000")
    with Served(runner, KIT_SYSFS=str(tmp_path)) as served:
        served.send(plan(item(programs["contiguous"].file), max_temperature_c=50.0, rounds=1))
        assert [served.read().type for _ in range(3)] == ["hello", "begin", "loaded"]
        time.sleep(0.8)
        cooled = time.monotonic_ns()
        reading.write_text("45000\n")
        sample = served.read()
    assert isinstance(sample, Sample)
    assert sample.at_ns > cooled
    assert sample.temperature_mc == 45_000
