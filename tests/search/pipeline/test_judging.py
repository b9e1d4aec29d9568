"""Candidates are judged by all processes together, on images that a search can afford."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import search.pipeline.networks.judging as judging
from search.console.progress import Silent
from search.pipeline.candidates import Candidate
from search.pipeline.networks.judging import Judge, JudgingImages, Remembered, choose_images
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute
from tests.search.training.standins import Pictures

CANDIDATES = [Candidate(origin=str(number), choices=(number,)) for number in range(7)]


class Nothing:
    """Weights that nobody asks for."""

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        raise AssertionError(choices)


class Pair:
    """What two processes tell each other, as two threads."""

    def __init__(self) -> None:
        self._meet, self._sent = threading.Barrier(2), [torch.zeros(0), torch.zeros(0)]

    def mean(self, rank: int, numbers: Tensor) -> Tensor:
        self._sent[rank] = numbers
        self._meet.wait(30)
        total = (self._sent[0] + self._sent[1]) / 2
        self._meet.wait(30)
        return total


class Member(ProcessGroup):
    """One of two threads that stand in for processes."""

    pair: Pair

    def joined(self, pair: Pair) -> "Member":
        object.__setattr__(self, "pair", pair)
        return self

    def mean(self, numbers: Tensor, images: int) -> Tensor:
        del images
        pair: Pair = self.pair
        return pair.mean(self.rank, numbers)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[int, ...]]]:
    """Which thread judged which network; an accuracy is a number of the network's own."""
    judged: dict[str, list[tuple[int, ...]]] = {}

    def accuracy(_: object, choices: tuple[int, ...], *__: object, **___: object) -> float:
        judged.setdefault(threading.current_thread().name, []).append(choices)
        return (choices[0] * 3 % 7) / 10

    monkeypatch.setattr(judging, "inherited_accuracy", accuracy)
    return judged


def judge(folder: Path | None, processes: ProcessGroup) -> Judge:
    return Judge(
        weights=Nothing(),
        module=nn.Linear(2, 2),
        images=Pictures(20, 2, side=4),
        train=torch.arange(10),
        chosen=JudgingImages(calibration=5, validation=torch.arange(10, 20)),
        folder=folder,
        compute=Compute(),
        processes=processes,
        progress=Silent(),
    )


def together(folder: Path, module: nn.Module) -> list[list[Candidate]]:
    pair = Pair()
    members = [Member(rank=rank, world=2).joined(pair) for rank in (0, 1)]

    def one(member: Member) -> list[Candidate]:
        own = judge(folder, member)
        object.__setattr__(own, "module", module)
        return own.rank(CANDIDATES)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, members))


def ranked(found: Sequence[Candidate]) -> list[tuple[tuple[int, ...], float | None]]:
    return [(one.choices, one.accuracy) for one in found]


def everything(seen: dict[str, list[tuple[int, ...]]]) -> list[tuple[int, ...]]:
    return [choices for judged in seen.values() for choices in judged]


def test_each_process_judges_its_share_and_all_know_the_whole(
    tmp_path: Path, seen: dict[str, list[tuple[int, ...]]]
) -> None:
    first, second = together(tmp_path, nn.Linear(2, 2))
    assert ranked(first) == ranked(second)
    assert sorted(map(len, seen.values())) == [3, 4]
    assert sorted(everything(seen)) == [one.choices for one in CANDIDATES]
    alone = judge(None, ProcessGroup()).rank(CANDIDATES)
    assert ranked(alone) == ranked(first)
    assert {one.images for one in first} == {10}


def test_one_process_goes_on_where_two_were_interrupted(
    tmp_path: Path, seen: dict[str, list[tuple[int, ...]]]
) -> None:
    module = nn.Linear(2, 2)
    together(tmp_path, module)
    for path in tmp_path.iterdir():  # the last accuracy of each was not written whole
        path.write_bytes(path.read_bytes()[:-5])
    seen.clear()
    alone = judge(tmp_path, ProcessGroup())
    object.__setattr__(alone, "module", module)
    found = alone.rank(CANDIDATES)
    assert sorted(everything(seen)) == [(5,), (6,)]
    assert len(found) == 7
    seen.clear()
    assert ranked(alone.rank(CANDIDATES)) == ranked(found)
    assert not seen


def test_other_weights_are_judged_anew(
    tmp_path: Path, seen: dict[str, list[tuple[int, ...]]]
) -> None:
    judge(tmp_path, ProcessGroup()).rank(CANDIDATES)
    judge(tmp_path, ProcessGroup()).rank(CANDIDATES)
    assert len(everything(seen)) == 14


def test_judging_passes_a_tenth_of_the_images_that_the_search_passed() -> None:
    train, validation = torch.arange(40_000), torch.arange(40_000, 50_000)
    usual = choose_images(30, train, validation, search_passes=3 * 14 * 50_000 * 8)
    assert (usual.calibration, len(usual.validation)) == (2000, 10_000)
    short = choose_images(30, train, validation, search_passes=1_200_000)
    passes = 30 * (short.calibration + len(short.validation))
    assert passes == pytest.approx(0.1 * 1_200_000, rel=0.01)
    assert torch.isin(short.validation, validation).all()
    assert torch.equal(short.validation, choose_images(30, train, validation, 1_200_000).validation)
    least = choose_images(30, train, validation, search_passes=1)
    assert (least.calibration, len(least.validation)) == (500, 500)
    few = choose_images(30, torch.arange(48), torch.arange(48, 60), search_passes=1)
    assert (few.calibration, len(few.validation)) == (48, 12)


def test_images_are_decoded_once_as_far_as_memory_allows() -> None:
    class Counted(Pictures):
        times = 0

        def batch(
            self, indices: Tensor, generator: torch.Generator | None
        ) -> tuple[Tensor, Tensor]:
            self.times += 1
            return super().batch(indices, generator)

    images = Counted(20, 2, side=4)
    size = images.batch(torch.arange(5), None)[0].nbytes
    kept = Remembered(images, most_bytes=size)
    images.times = 0
    for _ in range(3):
        for part in (torch.arange(5), torch.arange(5, 10)):
            pixels, labels = kept.batch(part, None)
            wanted = images.batch(part, None)
            assert torch.equal(pixels, wanted[0])
            assert torch.equal(labels, wanted[1])
    assert images.times == 6 + 1 + 3


def test_entropies_are_kept_apart_from_accuracies(
    tmp_path: Path, seen: dict[str, list[tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def entropy(_: object, choices: tuple[int, ...], *__: object, **___: object) -> float:
        asked.append(choices)
        return 2.0 + choices[0]

    monkeypatch.setattr(judging, "inherited_entropy", entropy)
    one = judge(tmp_path, ProcessGroup())
    one.rank(CANDIDATES)
    networks = [candidate.choices for candidate in reversed(CANDIDATES)]
    assert one.entropies(networks) == [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]
    assert one.entropies(networks[:3]) == [8.0, 7.0, 6.0]
    assert asked == networks
    assert len(everything(seen)) == len(CANDIDATES)
