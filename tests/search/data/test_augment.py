"""Augmentation: what may change, what may not, and where chance comes from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.augment import Crop, Shift, draw_crops

FILL = (7, 8, 9)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(number: int, side: int) -> torch.Tensor:
    return torch.randint(10, 256, (number, 3, side, side), generator=_generator(9)).byte()


def _by_hand(image: torch.Tensor, pad: int, down: int, right: int, flip: bool) -> torch.Tensor:
    channels = [
        np.pad(image[channel].numpy(), pad, constant_values=FILL[channel]) for channel in range(3)
    ]
    side = image.shape[-1]
    cut = np.stack(channels)[:, down : down + side, right : right + side]
    return torch.from_numpy((cut[:, :, ::-1] if flip else cut).copy())


@pytest.mark.parametrize("flip", [False, True])
def test_every_image_is_a_padded_crop_of_itself_and_all_places_occur(flip: bool) -> None:
    images = _images(200, 6)
    moved = Shift(pad=1, fill=FILL, flip=flip).apply(images, _generator())
    seen = set()
    for image, result in zip(images, moved, strict=True):
        places = [
            (down, right, turned)
            for down in range(3)
            for right in range(3)
            for turned in (False, True)
            if torch.equal(_by_hand(image, 1, down, right, turned), result)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == (18 if flip else 9)
    assert all(not turned for *_, turned in seen) or flip


def test_shifts_leave_the_originals_alone_and_follow_the_generator() -> None:
    images = _images(16, 8)
    before, shift = images.clone(), Shift(pad=2, fill=FILL, flip=True)
    first = shift.apply(images, _generator(1))
    assert torch.equal(first, shift.apply(images, _generator(1)))
    assert not torch.equal(first, shift.apply(images, _generator(2)))
    assert torch.equal(images, before)


def test_no_randomness_comes_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    Shift(pad=2, fill=FILL, flip=True).apply(_images(4, 8), _generator())
    draw_crops(4, _generator())
    assert torch.equal(before, torch.get_rng_state())


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.integers(0, 1000))
def test_a_crop_lies_in_the_image_and_has_an_allowed_shape(
    width: int, height: int, seed: int
) -> None:
    left, top, right, bottom = draw_crops(1, _generator(seed))[0].box((width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(width, height) >= 100:
        assert 0.73 < (right - left) / (bottom - top) < 1.37


def test_crops_take_areas_and_shapes_evenly_from_the_whole_range() -> None:
    crops = draw_crops(2000, _generator())
    boxes = np.array([crop.box((1000, 1000)) for crop in crops])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area = width * height / 1e6
    assert 0.08 <= area.min() < 0.1
    assert area.max() > 0.95
    assert abs(np.log(width / height).mean()) < 0.02
    assert abs(np.mean([crop.flip for crop in crops]) - 0.5) < 0.05
    assert abs((boxes[:, 0] + boxes[:, 2]).mean() / 2 - 500) < 15


def test_where_no_try_fits_the_largest_central_area_is_taken() -> None:
    hopeless = Crop(tries=((1.0, 1.0),) * 10, place=(0.5, 0.5), flip=False)
    assert hopeless.box((1000, 100)) == (433, 0, 566, 100)
    assert hopeless.box((90, 1000)) == (0, 440, 90, 560)


def test_drawing_crops_takes_the_same_numbers_from_the_generator_for_any_image() -> None:
    one, two = _generator(), _generator()
    draw_crops(3, one)[0].box((5, 500))
    draw_crops(3, two)
    assert torch.equal(one.get_state(), two.get_state())
