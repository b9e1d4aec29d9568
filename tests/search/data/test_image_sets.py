"""What every image set keeps: digits, images in memory, images decoded on demand."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from search.data.augment import draw_crops
from search.data.base import Data
from search.data.open import open_data

COUNTS = {"train": {"a": 12, "b": 9, "c": 10}, "val": {"a": 3, "b": 4, "c": 5}}


@pytest.fixture(params=["digits", "memory", "lazy"])
def data(request: pytest.FixtureRequest, make_folder: Any, tmp_path: Path) -> Data:
    if request.param == "digits":
        return open_data("digits", resolution=16, limit=50)
    size, resolution = ((20, 16), 16) if request.param == "memory" else ((120, 90), 72)
    folder = make_folder(COUNTS, size=size, suffix=".jpg")
    return open_data(folder, resolution=resolution, cache=tmp_path / "cache")


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [None, 0])
def test_a_batch_has_the_promised_shape_and_types(data: Data, seed: int | None) -> None:
    indices = torch.tensor([5, 2, 5, 0])
    images, labels = data.train.batch(indices, None if seed is None else _generator(seed))
    assert images.shape == (4, 3, data.resolution, data.resolution)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.is_contiguous()
    assert torch.isfinite(images).all()
    assert torch.equal(labels, data.train.labels[indices])


def test_equal_indices_and_generator_states_give_equal_bits(data: Data) -> None:
    indices = torch.randperm(len(data.train), generator=_generator(3))[:20]
    one, two = _generator(5), _generator(5)
    for _ in range(2):
        first, second = data.train.batch(indices, one), data.train.batch(indices, two)
        assert torch.equal(first[0], second[0])
        assert torch.equal(one.get_state(), two.get_state())
    assert not torch.equal(first[0], data.train.batch(indices, _generator(6))[0])


def test_evaluation_is_free_of_chance_and_of_the_batch(data: Data) -> None:
    every = torch.arange(len(data.test))
    together = data.test.batch(every, None)[0]
    apart = torch.cat([data.test.batch(every[row : row + 1], None)[0] for row in every])
    assert torch.equal(together, apart)


def test_batches_asked_for_by_several_threads_are_the_same(data: Data) -> None:
    indices = [torch.randperm(len(data.train), generator=_generator(n))[:16] for n in range(6)]
    alone = [data.train.batch(part, _generator(n))[0] for n, part in enumerate(indices)]
    with ThreadPoolExecutor(4) as pool:
        begun = [
            pool.submit(data.train.batch, part, _generator(n)) for n, part in enumerate(indices)
        ]
        assert all(torch.equal(a, b.result()[0]) for a, b in zip(alone, begun, strict=True))


def test_augmentation_changes_images_and_never_labels(data: Data) -> None:
    every = torch.arange(len(data.train))
    plain, labels = data.train.batch(every, None)
    changed, same = data.train.batch(every, _generator())
    assert torch.equal(labels, same)
    assert (plain != changed).flatten(1).any(1).float().mean() > 0.8


def test_every_training_index_is_an_image_of_its_own(data: Data) -> None:
    images, labels = data.train.batch(torch.arange(len(data.train)), None)
    assert len(images.flatten(1).unique(dim=0)) == len(data.train) == len(labels)
    assert set(labels.tolist()) == set(range(len(data.classes)))


def test_an_empty_batch_is_empty(data: Data) -> None:
    images, labels = data.train.batch(torch.empty(0, dtype=torch.int64), _generator())
    assert images.shape == (0, 3, data.resolution, data.resolution)
    assert labels.shape == (0,)


@pytest.mark.parametrize("index", [10_000, -10_000])
def test_an_index_beyond_the_set_is_an_error(data: Data, index: int) -> None:
    with pytest.raises(IndexError):
        data.train.batch(torch.tensor([index]), None)


def test_pixels_of_a_class_stay_with_their_label(make_folder: Any, tmp_path: Path) -> None:
    """The red of the test images is the class; nothing but flips and crops is done to it."""
    folder = make_folder({"a": 6, "b": 6, "c": 6}, size=(120, 90))
    for resolution in (24, 80):
        data = open_data(folder, resolution=resolution, cache=tmp_path / "cache")
        images, labels = data.train.batch(torch.arange(len(data.train)), _generator())
        mean, std = data.normalisation
        red = (images[:, 0] * std[0] + mean[0]) * 255
        middle = red[:, resolution // 2, resolution // 2]
        assert torch.allclose(middle, labels * 40.0, atol=1.5)


def test_chance_is_drawn_before_threads_start(
    make_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(make_folder(COUNTS), resolution=80, cache=tmp_path / "cache")
    drawers = []

    def watched(*arguments: Any) -> Any:
        drawers.append(threading.current_thread().name)
        return draw_crops(*arguments)

    monkeypatch.setattr("search.data.on_demand.draw_crops", watched)
    data.train.batch(torch.arange(8), _generator())
    assert drawers == [threading.current_thread().name]
