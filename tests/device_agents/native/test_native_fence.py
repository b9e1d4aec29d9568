"""A runner stops where its device belongs to another token, and an unfenced one never looks."""

import json
from pathlib import Path

import pytest

from device_agents.farm.fence import FenceFolder
from device_agents.protocol import EXIT_FENCED_OFF, Bye, Fence, Hello, Sample, dump_plan, load_plan
from tests.device_agents.native.launching import Served, item, launch, plan, run
from tests.device_agents.native.programs import Program


def fenced(folder: Path, token: int, file: Path, **changes: object):
    fence = Fence(folder=str(folder), token=token)
    return plan(item(file), fence=fence, **changes)


def test_a_runner_with_the_largest_token_measures(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    FenceFolder(tmp_path).raise_to(3)
    FenceFolder(tmp_path).raise_to(12)
    records = run(runner, fenced(tmp_path, 12, programs["contiguous"].file))
    assert sum(isinstance(one, Sample) for one in records) == 2
    assert isinstance(records[-1], Bye)


@pytest.mark.parametrize("token", [3, 11, 13])
def test_a_runner_with_another_token_does_not_start(
    runner: Path, programs: dict[str, Program], tmp_path: Path, token: int
) -> None:
    FenceFolder(tmp_path).raise_to(12)
    given = fenced(tmp_path, token, programs["contiguous"].file)
    done = launch(runner, "--serve", text=dump_plan(given) + "\n")
    assert (done.returncode, done.stdout) == (EXIT_FENCED_OFF, "")
    assert f"belongs to token 12, this run has {token}" in done.stderr


def test_a_runner_that_measures_writes_no_sample_after_a_larger_token(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    FenceFolder(tmp_path).raise_to(5)
    given = fenced(tmp_path, 5, programs["contiguous"].file, rounds=10**8, min_block_ns=1_000_000)
    with Served(runner) as served:
        served.send(given)
        assert isinstance(served.read(), Hello)
        while not isinstance(served.read(), Sample):
            pass
        FenceFolder(tmp_path).raise_to(6)
        # At most what was written before, then its end: no `bye`.
        rest = served.process.stdout.read()
        assert served.process.wait() == EXIT_FENCED_OFF
    assert "bye" not in rest


def test_a_fence_that_is_malformed_is_a_bad_plan(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    good = json.loads(dump_plan(fenced(tmp_path, 5, programs["contiguous"].file)))
    for fence in (
        {},
        {"folder": "x"},
        {"folder": "x", "token": 0},
        {"folder": "x", "token": "5"},
        5,
    ):
        text = json.dumps({**good, "fence": fence})
        assert launch(runner, "--serve", text=text + "\n").returncode == 2


def test_a_plan_without_a_fence_is_the_line_that_older_runners_know(
    programs: dict[str, Program], tmp_path: Path
) -> None:
    file = programs["contiguous"].file
    assert "fence" not in dump_plan(plan(item(file)))
    given = fenced(tmp_path, 5, file)
    assert load_plan(dump_plan(given)) == given
