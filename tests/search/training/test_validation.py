"""A look at the test images after epochs, and the best weights of all looks."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search.data.base import Data
from search.data.open import open_data
from search.errors import GateFailed, UsageError
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute
from search.training.evaluate import evaluate
from search.training.recipe import TrainingRecipe
from search.training.retrain import retrain
from search.training.run.best import BestWeights
from search.training.run.trace import read_trace
from search.training.settings import TrainingSettings
from search.training.validation import Validation, judge_together
from tests.search.training.standins import CPU, Pictures, small_network
from tests.search.training.test_retrain import NETWORK

SETTINGS = TrainingSettings(batch=20, compute=Compute(device="cpu", threads=1))
RECIPE = TrainingRecipe(batch=20, epochs=3, learning_rate=0.3, schedule="cosine", validate_every=1)


@pytest.fixture(scope="module")
def data() -> Data:
    return open_data("digits", resolution=16, limit=60)


def test_each_epoch_has_a_line_of_its_own_and_the_last_is_the_results(
    data: Data, tmp_path: Path
) -> None:
    trained = retrain(NETWORK, data, RECIPE, SETTINGS, folder=tmp_path)
    lines = read_trace(tmp_path / "trace.jsonl")
    assert [line.phase for line in lines] == ["weights", "validation"] * 3
    assert lines[-1].accuracy == trained.test.top1
    assert lines[-1].images == len(data.test)
    assert trained.best_epoch is None


def test_looking_changes_no_weight(data: Data) -> None:
    looked = retrain(NETWORK, data, RECIPE, SETTINGS)
    blind = retrain(NETWORK, data, replace(RECIPE, validate_every=0), SETTINGS)
    others = blind.network.state_dict()
    for name, tensor in looked.network.state_dict().items():
        assert torch.equal(tensor, others[name])


def test_the_best_epochs_weights_are_kept_and_named(data: Data, tmp_path: Path) -> None:
    kept = retrain(NETWORK, data, replace(RECIPE, keep="best"), SETTINGS, folder=tmp_path)
    looks = [line for line in read_trace(tmp_path / "trace.jsonl") if line.phase == "validation"]
    best = max(look.accuracy for look in looks)
    assert kept.test.top1 == best
    assert kept.best_epoch == 1 + [look.accuracy for look in looks].index(best)


def test_looks_are_every_few_epochs_at_some_images_and_at_the_end(data: Data) -> None:
    network = small_network()
    validation = Validation(network, Pictures(50), every=2, most=20)
    looks = [validation.look(epoch, 5, CPU, ProcessGroup()) for epoch in range(5)]
    assert [look is not None for look in looks] == [False, True, False, True, True]
    assert {look.images for look in looks if look} == {20}


def test_a_network_that_says_no_numbers_ends_the_run() -> None:
    network = small_network()
    first(network).data.fill_(math.nan)
    with pytest.raises(GateFailed, match="loss on the test images is nan after epoch 1"):
        Validation(network, Pictures(20)).look(0, 2, CPU, ProcessGroup())


def first(network: torch.nn.Module) -> torch.Tensor:
    return next(network.parameters())


def test_the_earliest_of_equal_looks_is_the_best(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, resume=False)
    networks = [small_network(seed) for seed in range(3)]
    for epoch, (network, accuracy) in enumerate(zip(networks, (0.4, 0.6, 0.6), strict=True), 1):
        best.offer(network, epoch, accuracy)
    taken = small_network(9)
    best.put_into(taken)
    assert torch.equal(first(taken), first(networks[1]))
    again = BestWeights(tmp_path, resume=True)
    assert (again.epoch, again.accuracy) == (2, 0.6)
    again.offer(networks[2], 3, 0.5)
    other = small_network(8)
    again.put_into(other)
    assert torch.equal(first(other), first(networks[1]))
    assert BestWeights(tmp_path, resume=False).epoch == 0


def test_a_damaged_file_of_best_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"no weights")
    with pytest.raises(UsageError, match="is damaged"):
        BestWeights(tmp_path, resume=True)
    torch.save({"kind": "other"}, tmp_path / "best.pt")
    with pytest.raises(UsageError, match="holds no best weights"):
        BestWeights(tmp_path, resume=True)


class Shares(ProcessGroup):
    """Two processes one after the other: the second adds up."""

    def mean(self, numbers: torch.Tensor, images: int) -> torch.Tensor:
        SEEN.append((numbers, images))
        total = torch.stack([part * count for part, count in SEEN]).sum(0)
        return total / sum(count for _, count in SEEN)


SEEN: list[tuple[torch.Tensor, int]] = []


def test_processes_judge_their_shares_and_agree_on_the_whole() -> None:
    SEEN.clear()
    network, images = small_network(), Pictures(21)
    every = torch.arange(21)
    for rank in range(2):
        found = judge_together(network, images, every, CPU, Shares(rank=rank, world=2))
    alone = evaluate(network, images)
    assert found.top1 == pytest.approx(alone.top1)
    assert found.images == 21
    assert found.loss == pytest.approx(alone.loss, rel=1e-5)
    assert [count for _, count in SEEN] == [11, 10]
