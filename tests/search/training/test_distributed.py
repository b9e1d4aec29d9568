"""Two real processes: as one, alike, killed and resumed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from search.errors import UsageError
from search.training.compute.distributed import ProcessGroup, join
from search.training.compute.sync_batch_norm import SharedBatchNorm, convert_sync_batchnorm
from search.training.run.trace import read_trace
from tests.search.training.process import NUMBER, fbnet_like_one, like_one
from tests.search.training.standins import Pictures, TinySearch, run, same_bits, small_network
from tests.search.training.two_processes import start_two
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[3]
WORKER = "tests.search.training.process"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start_pair(mode: str, folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes without torchrun, which would end one when it sees the other die."""
    return start_two(WORKER, mode, str(folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """Both processes' results of unbroken runs, and where they wrote."""
    folder = tmp_path_factory.mktemp("whole")
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [sys.executable, *words, "-m", WORKER, "whole", str(folder)],
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        timeout=2 * PATIENCE_S,
    )
    paths = (folder / f"whole{rank}.pt" for rank in (0, 1))
    return [torch.load(path, weights_only=True) for path in paths], folder


def test_two_processes_have_the_gradients_of_one(
    whole: tuple[list[dict[str, Any]], Path],
) -> None:
    algorithm, expected = like_one(ProcessGroup())
    for result in whole[0]:
        assert len(result["steps"]) == len(expected) == 7 + 7 + 2
        for found, right in zip(result["steps"], expected, strict=True):
            assert found.keys() == right.keys()
            for name, gradient in right.items():
                torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=0)
        for name, tensor in algorithm.module.state_dict().items():
            torch.testing.assert_close(result["one"][f"module {name}"], tensor, atol=1e-4, rtol=0)


def test_two_processes_have_the_gradients_of_one_in_fbnets_search(
    whole: tuple[list[dict[str, Any]], Path],
) -> None:
    expected = fbnet_like_one(ProcessGroup())
    assert len(expected) == 2 * 3 + 1
    for result in whole[0]:
        for found, right in zip(result["fbnet"], expected, strict=True):
            assert found.keys() == right.keys()
            for name, gradient in right.items():
                torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=0)


def test_a_parameter_that_nobody_used_is_stepped_by_nobody(
    whole: tuple[list[dict[str, Any]], Path],
) -> None:
    for result in whole[0]:
        assert torch.equal(result["apart"]["module unused"], torch.ones(2))


@pytest.mark.parametrize("kind", ["one", "apart"])
def test_both_processes_end_with_the_same_bits(
    kind: str, whole: tuple[list[dict[str, Any]], Path]
) -> None:
    first, second = (result[kind] for result in whole[0])
    assert same_bits(first, second)


def test_processes_apart_differ_from_one_process(
    whole: tuple[list[dict[str, Any]], Path],
) -> None:
    alone = TinySearch(epochs=3)
    run(alone, images=Pictures(NUMBER))
    assert not torch.equal(alone.module.theta, whole[0][0]["apart"]["module theta"])


def test_a_killed_process_ends_the_other_and_the_run_resumes_bit_by_bit(
    whole: tuple[list[dict[str, Any]], Path], tmp_path: Path
) -> None:
    survivor, killed = start_pair("killed", tmp_path)
    try:
        _, told = survivor.communicate(timeout=2 * PATIENCE_S)
        _, silence = killed.communicate(timeout=PATIENCE_S)
    finally:
        for process in (survivor, killed):
            process.kill()
    assert killed.returncode == -9
    assert survivor.returncode == 3
    assert "Transient: Another process of this run went away" in told
    assert "--resume" in told
    assert "epoch 1/3" in told
    assert "epoch" not in silence

    for process in start_pair("resumed", tmp_path):
        process.communicate(timeout=2 * PATIENCE_S)
        assert process.returncode == 0
    for rank, right in enumerate(whole[0]):
        resumed = torch.load(tmp_path / f"resumed{rank}.pt", weights_only=True)
        assert same_bits(resumed["apart"], right["apart"])
    lines = [read_trace(folder / "run/trace.jsonl") for folder in (tmp_path, whole[1])]
    assert [x.loss for x in lines[0]] == [x.loss for x in lines[1]]
    assert len(lines[0]) == 5


def test_a_checkpoint_of_two_processes_can_go_on_in_one(
    whole: tuple[list[dict[str, Any]], Path], tmp_path: Path
) -> None:
    class Notices:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def notice(self, text: str) -> None:
            self.texts.append(text)

        def __getattr__(self, _: str) -> Any:
            return lambda *_: None

    watcher = Notices()
    shutil.copytree(whole[1] / "run", tmp_path / "run")
    algorithm = TinySearch(epochs=4)
    run(
        algorithm,
        tmp_path / "run",
        images=Pictures(NUMBER),
        progress=watcher,  # type: ignore[arg-type]
        resume=True,
    )
    assert "is of 2 processes, this run of 1" in watcher.texts[0]


# --- without a second process ---------------------------------------------------


def test_shares_of_a_batch_are_disjoint_and_differ_by_one_at_most() -> None:
    indices = torch.arange(11)
    shares = [ProcessGroup(rank=rank, world=3).share(indices) for rank in range(3)]
    assert torch.equal(torch.cat(shares), indices)
    assert [len(share) for share in shares] == [4, 4, 3]


def test_one_process_exchanges_nothing() -> None:
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 2.0)
    assert ProcessGroup().exchange([parameter], [1.5, 2.5], images=7) == [1.5, 2.5]
    assert torch.equal(parameter.grad, torch.full((3,), 2.0))
    assert ProcessGroup().gather_statistics(small_network()) is None


def test_a_batch_too_small_for_the_processes_is_refused() -> None:
    with pytest.raises(UsageError, match="batch of 8 is too small for 5 processes"):
        run(TinySearch(), processes=ProcessGroup(world=5))


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="torchrun"), join("cpu"):
        pass


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE='many' is no whole number"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE=0"),
        ({"WORLD_SIZE": "-2", "RANK": "0"}, "WORLD_SIZE=-2"),
        ({"WORLD_SIZE": "2", "RANK": "first"}, "RANK='first' is no whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK=2"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK=-1"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "x"}, "LOCAL_RANK='x'"),
    ],
)
def test_an_environment_without_sense_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str], problem: str
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"no place among.*{problem}.*torchrun"), join("cpu"):
        pass


def test_without_torchrun_a_process_is_alone_and_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join("cpu") as processes:
        assert processes == ProcessGroup()
        assert processes.leads


def test_converting_keeps_parameters_names_and_results() -> None:
    network = small_network()
    parameters, names = list(network.parameters()), list(network.state_dict())
    images = Pictures(8).pixels
    expected = network.eval()(images)
    converted = convert_sync_batchnorm(network)
    assert converted is network
    assert isinstance(network[1], SharedBatchNorm)
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    assert list(network.state_dict()) == names
    assert torch.equal(network(images), expected)
    assert not network[1].training


def test_a_process_alone_normalises_as_torch_does() -> None:
    one, other = nn.BatchNorm2d(5), convert_sync_batchnorm(nn.BatchNorm2d(5))
    x = torch.randn(4, 5, 3, 3)
    assert torch.equal(one(x), other(x))
    assert torch.equal(one.get_buffer("running_var"), other.get_buffer("running_var"))
