"""Splits, batches, seeds and loading ahead."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.errors import UsageError
from search.training.batches import cut_batches, identify_images, load_ahead
from search.training.compute.seeds import derive_seed, generator_for
from tests.search.training.standins import Pictures
from tests.waiting import PATIENCE_S


@given(st.integers(2, 60), st.integers(4, 20), st.sampled_from([(2, 1), (4, 1), (4, 2), (6, 3)]))
def test_batches_hold_every_image_once_but_for_a_rest_too_small(
    number: int, size: int, bounds: tuple[int, int]
) -> None:
    least, multiple = bounds
    split = torch.arange(100, 100 + number)
    batches = cut_batches(split, size, generator_for(0), least=least, multiple=multiple)
    seen = torch.cat(batches).tolist() if batches else []
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(split.tolist())
    assert all(len(batch) == size for batch in batches[: number // size])
    left_out = number - len(seen)
    assert left_out < max(least, multiple)
    assert all(
        len(batch) >= least and len(batch) % multiple == 0 for batch in batches[number // size :]
    )


def test_every_part_of_a_seed_counts_and_so_does_its_kind() -> None:
    places = [(1, 2), (2, 1), (12,), ("1", 2), (1, "2"), ("1/2",), (1, 2, 0)]
    assert len({derive_seed(*place) for place in places}) == len(places)
    assert derive_seed("a", 1) == 7682504595585153470


def test_answers_come_in_order_however_long_each_takes() -> None:
    def slow(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number * number

    for workers in (1, 4):
        assert list(load_ahead(slow, range(12), workers)) == [n * n for n in range(12)]


def test_the_next_batch_is_made_in_another_thread_while_one_is_used() -> None:
    started = [threading.Event() for _ in range(3)]
    threads = set()

    def load(number: int) -> int:
        threads.add(threading.current_thread())
        started[number].set()
        return number

    answers = load_ahead(load, range(3))
    assert next(answers) == 0
    assert started[1].wait(PATIENCE_S)
    assert threading.main_thread() not in threads
    answers.close()


def test_an_error_in_the_loader_is_raised_at_its_place() -> None:
    def load(number: int) -> int:
        if number == 2:
            raise UsageError("image 2 is broken")
        return number

    seen = []

    def use() -> None:
        for number in load_ahead(load, range(5)):
            seen.append(number)

    with pytest.raises(UsageError, match="image 2"):
        use()
    assert seen == [0, 1]


def test_closing_stops_the_loading() -> None:
    asked = []

    def requests() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    answers = load_ahead(lambda number: number, requests())
    next(answers)
    answers.close()
    assert len(asked) <= 3
    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_the_identity_of_images_sees_labels_pixels_and_number() -> None:
    base = Pictures(30)
    other_pixels, other_labels = Pictures(30), Pictures(30)
    other_pixels.pixels = base.pixels + 1
    other_labels.labels = base.labels.flip(0)
    found = [identify_images(x) for x in (base, other_pixels, other_labels, Pictures(31))]
    assert len(set(found)) == 4
    assert identify_images(Pictures(30)) == found[0]
    assert found[0].startswith("30 images, ")
