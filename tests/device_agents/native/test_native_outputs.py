"""What the native runner computes: Python's outputs, from given or from random inputs."""

from pathlib import Path

import numpy as np
import pytest

from device_agents.protocol import Failure
from tests.device_agents.native.launching import item, only, plan, run
from tests.device_agents.native.programs import Program


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
