"""Where a program's time goes, its first call and its memory, as the native runner tells them."""

from pathlib import Path

import pytest

from device_agents.protocol import Event, Failure, Loaded, Plan, Profile, dump_plan, load_plan
from device_agents.runtime.build import build
from device_agents.runtime.downloads import Downloads
from device_agents.runtime.folder import find
from device_agents.runtime.targets import HOST_KERNELS, find_target
from search.errors import KitError
from tests.device_agents.native.launching import item, launch, only, plan, run
from tests.device_agents.native.programs import Program


@pytest.fixture(scope="session")
def tracing_runner() -> Path:
    """The runner of the wheels with kernels, in the user's own cache."""
    try:
        target = find_target(HOST_KERNELS)
        runtime = find(target) or build(target, Downloads(offline=None, say=lambda _: None))
    except KitError as error:
        pytest.skip(f"the runtime cannot be had: {error}")
    return runtime.path / "runner"


def test_the_first_call_and_the_planned_memory_are_told(
    runner: Path, programs: dict[str, Program]
) -> None:
    (loaded,) = only(Loaded, run(runner, plan(item(programs["contiguous"].file), rounds=0)))
    assert loaded.first_ns > 0
    # Input (3 x 9 x 7) and output (8 x 9 x 7), in 32-bit floats.
    assert loaded.planned_bytes >= 4 * (3 + 8) * 9 * 7


def test_a_runtime_without_an_event_tracer_tells_the_whole_alone(
    runner: Path, programs: dict[str, Program]
) -> None:
    records = run(runner, plan(item(programs["contiguous"].file, profile=7), rounds=0))
    (profile,) = only(Profile, records)
    assert profile.calls == 4  # the quieter half
    assert only(Event, records) == []


def test_delegated_operators_and_kernels_are_told_in_order(
    tracing_runner: Path, programs: dict[str, Program]
) -> None:
    given = plan(
        item(programs["contiguous"].file, profile=6),
        item(programs["integers"].file, number=1, profile=6),
        rounds=1,
    )
    records = run(tracing_runner, given)
    assert only(Failure, records) == []
    events = {n: [e for e in only(Event, records) if e.item == n] for n in (0, 1)}
    first = [(event.kind, event.depth) for event in events[0]]
    assert first[:2] == [("step", 0), ("step", 1)]
    assert set(first[2:]) == {("delegated", 2)}
    assert any("Convolution" in event.name for event in events[0])
    assert [event.name for event in events[0][:2]] == ["Method::execute", "DELEGATE_CALL"]
    kernels = [event.name for event in events[1] if event.depth == 2]
    assert kernels == ["native_call_add.out", "native_call_mul.out"]
    for profile in only(Profile, records):
        whole = events[profile.item][0]
        assert 0 < whole.ns <= profile.traced_ns
        inner = [event.ns for event in events[profile.item] if event.depth == 1]
        assert sum(inner) <= whole.ns


def test_a_profile_changes_no_output(
    tracing_runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    program = programs["integers"]
    (tmp_path / "in").write_bytes(program.inputs)
    answers = []
    for calls in (0, 5):
        out = tmp_path / f"out{calls}"
        one = item(program.file, input=str(tmp_path / "in"), output=str(out), profile=calls)
        run(tracing_runner, plan(one, rounds=0))
        answers.append(out.read_bytes())
    assert answers[0] == answers[1] == program.outputs.tobytes()


def test_a_plan_that_asks_for_no_profile_is_what_it_was_before() -> None:
    asked = plan(item(Path("a"), profile=3), item(Path("b"), number=1))
    text = dump_plan(asked)
    assert text.count("profile") == 1
    assert load_plan(text) == asked
    assert "profile" not in dump_plan(plan(item(Path("a"))))
    assert isinstance(asked, Plan)


def test_more_traced_calls_than_any_sense_are_refused(runner: Path) -> None:
    text = dump_plan(plan(item(Path("a"), profile=3))).replace('"profile":3', '"profile":1000000')
    done = launch(runner, "--serve", text=text + "\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad profile" in done.stderr
