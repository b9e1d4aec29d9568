"""What a failed search leaves behind, and what may go on with it."""

import errno
import os
from importlib.metadata import version

import pytest
import torch

import search.training.run.checkpoint
import search.training.settings
from search.algorithms.fbnet.search import FBNetSearch
from search.spaces.registry import make_space
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import TARGET_MS, Desk, is_refusal, write


@pytest.fixture
def begun(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A search whose weights became NaN in the second epoch."""
    start = FBNetSearch.start_epoch

    def poisoned(self: FBNetSearch, epoch: int) -> None:
        start(self, epoch)
        if epoch == 1:
            next(self.module.supernet.parameters()).data.fill_(float("nan"))

    with monkeypatch.context() as patch:
        patch.setattr(FBNetSearch, "start_epoch", poisoned)
        ended = desk.call(*desk.words())
    assert (ended.code, ended.out) == (1, ""), ended.err
    assert "The loss is nan at step 1 of weights in epoch 2" in ended.err
    assert "last.pt keeps the state after 1 finished epochs" in ended.err
    assert "Traceback" not in ended.err
    assert not desk.path("arch.json").exists()
    return desk


def test_a_loss_that_is_no_number_ends_with_1_and_the_last_good_checkpoint_goes_on(
    begun: Desk, searched: Searched
) -> None:
    ended = begun.call(*begun.words("--resume"))
    assert ended.code == 0, ended.err
    for name in ("arch.json", "arch.run/scores.json"):
        assert begun.path(name).read_bytes() == searched.desk.path(name).read_bytes()


def test_after_that_a_lower_rate_is_taken_when_the_change_is_accepted(begun: Desk) -> None:
    lower = begun.words("--resume", "--learning-rate", "0.01")
    refused = begun.call(*lower)
    assert refused.code == 2
    assert "weight_rate 0.1, now 0.01" in refused.err
    assert "--accept-changes" in refused.err
    ended = begun.call(*lower, "--accept-changes")
    assert ended.code == 0, ended.err
    assert begun.json("arch.result.json")["recipe"]["weight_rate"] == 0.01


@pytest.mark.parametrize("changed", [{"seed": 1}, {"space": make_space("fbnet-mini")}])
def test_a_checkpoint_of_another_table_or_space_is_refused(
    begun: Desk, changed: dict[str, object]
) -> None:
    before = begun.path("arch.run/last.pt").read_bytes()
    begun.table = write(begun.path("other"), **changed)  # type: ignore[arg-type]
    ended = begun.call(*begun.words("--resume", "--target-ms", str(2 * TARGET_MS), "--quiet"))
    assert is_refusal(ended)
    assert "of another run" in ended.err
    assert ("search space" if "space" in changed else "latency table") in ended.err
    assert "--accept-changes" not in ended.err
    assert begun.path("arch.run/last.pt").read_bytes() == before


def test_a_checkpoint_of_another_kit_version_is_refused_unless_accepted(
    begun: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.console.version.version", lambda _: "99.0")
    ended = begun.call(*begun.words("--resume", "--quiet"))
    assert is_refusal(ended)
    assert f"kit version {version('fbnet-kit')}, now 99.0" in ended.err
    assert begun.call(*begun.words("--resume", "--accept-changes")).code == 0


def test_a_disk_that_fills_up_on_the_way_ends_with_2_and_keeps_what_was_written(
    begun: Desk, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(search.training.run.checkpoint, "write_bytes", full)
        ended = begun.call(*begun.words("--resume", "--quiet"))
    assert is_refusal(ended)
    assert "No space left" in ended.err
    assert "--resume" in ended.err
    assert begun.call(*begun.words("--resume")).code == 0
    assert begun.path("arch.json").read_bytes() == searched.desk.path("arch.json").read_bytes()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_is_told_with_what_to_do(
    begun: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def hungry(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(FBNetSearch, "backward", hungry)
        ended = begun.call(*begun.words("--resume", "--quiet"))
    assert is_refusal(ended)
    assert "too little memory" in ended.err
    assert "--batch" in ended.err


def test_a_damaged_checkpoint_is_refused_and_the_good_one_named(begun: Desk) -> None:
    path = begun.path("arch.run/last.pt")
    path.write_bytes(path.read_bytes()[:1000])
    ended = begun.call(*begun.words("--resume", "--quiet"))
    assert is_refusal(ended)
    assert "good.pt" in ended.err
