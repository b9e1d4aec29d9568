"""Any image becomes RGB of the asked size; anything else is Unreadable."""

import errno
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image, features

from search.data.decode import (
    ORIENTATION_TAG,
    Unreadable,
    central,
    check_header,
    read_image,
    unreadable,
    whole,
)
from search.data.layout.image_files import readable_suffixes

GREY = 100


def _saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def _palette() -> Image.Image:
    return Image.new("RGB", (9, 7), (GREY, GREY, GREY)).convert("P", palette=Image.Palette.ADAPTIVE)


@pytest.mark.parametrize(
    ("image", "suffix"),
    [
        (Image.new("L", (9, 7), GREY), ".png"),
        (Image.new("L", (9, 7), GREY), ".jpg"),
        (Image.new("RGB", (9, 7), (GREY,) * 3), ".webp"),
        (Image.new("RGBA", (9, 7), (GREY, GREY, GREY, 255)), ".png"),
        (Image.new("LA", (9, 7), (GREY, 255)), ".png"),
        (_palette(), ".png"),
        (_palette(), ".gif"),
        (Image.new("CMYK", (9, 7), (0, 0, 0, 255 - GREY)), ".jpg"),
        (Image.new("CMYK", (9, 7), (0, 0, 0, 255 - GREY)), ".tif"),
        (Image.fromarray(np.full((7, 9), GREY * 257, dtype=np.uint16)), ".png"),
        (Image.fromarray(np.full((7, 9), GREY * 257, dtype=np.uint16)), ".tiff"),
        (Image.fromarray(np.full((7, 9), GREY, dtype=np.int32)), ".tif"),
        (Image.new("RGB", (9, 7), (GREY,) * 3), ".BMP"),
        (Image.new("RGB", (9, 7), (GREY,) * 3), ".ppm"),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
def test_every_mode_becomes_rgb(tmp_path: Path, image: Image.Image, suffix: str) -> None:
    pixels = read_image(_saved(image, tmp_path / f"image{suffix}"), 5, whole)
    assert pixels.shape == (5, 5, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - GREY).max() <= 3


def test_one_bit_images_become_black_and_white(tmp_path: Path) -> None:
    image = Image.new("1", (8, 8), 1)
    image.paste(0, (0, 0, 8, 4))
    pixels = read_image(_saved(image, tmp_path / "bits.png"), 8, whole)
    assert (pixels[0, 0] == 0).all()
    assert (pixels[-1, 0] == 255).all()


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparent_parts_are_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 4, 8, 8))
    path = _saved(image.convert(mode), tmp_path / "transparent.png")
    pixels = read_image(path, 8, whole)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert abs(int(pixels[-1, 0, 0]) - 200) < 10


def test_an_image_of_the_asked_size_keeps_every_pixel(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = _saved(Image.fromarray(noise), tmp_path / "noise.png")
    assert np.array_equal(read_image(path, 16, whole), noise)


def _gradient(width: int, height: int) -> Image.Image:
    red = np.tile(np.linspace(0, 255, width), (height, 1))
    green = np.tile(np.linspace(0, 255, height)[:, None], (1, width))
    return Image.fromarray(np.stack([red, green, 0 * red], axis=2).astype(np.uint8))


@pytest.mark.parametrize("size", [(500, 375), (300, 600), (1800, 1400), (40, 30)])
def test_evaluation_resizes_the_shorter_side_and_cuts_out_the_centre(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = _saved(_gradient(*size), tmp_path / "photo.jpg", quality=95)
    shorter, middle = 64 * 256 // 224 + 1, 64
    with Image.open(path) as image:
        factor = shorter / min(size)
        resized = image.resize(
            (round(size[0] * factor), round(size[1] * factor)), Image.Resampling.BILINEAR
        )
    left, top = (resized.width - middle) // 2, (resized.height - middle) // 2
    expected = np.asarray(resized.crop((left, top, left + middle, top + middle)))
    difference = read_image(path, 64, central).astype(int) - expected
    assert np.abs(difference).mean() < 2
    assert np.abs(difference).max() < 12


def test_the_cameras_orientation_is_undone(tmp_path: Path) -> None:
    upright = _gradient(60, 60)
    exif = Image.Exif()
    exif[0x0112] = 6  # was turned a quarter to the left
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    path = _saved(turned, tmp_path / "phone.jpg", quality=95, exif=exif)
    difference = read_image(path, 60, whole).astype(int) - np.asarray(upright)
    assert np.abs(difference).max() < 12


def test_a_large_jpeg_is_decoded_with_less_detail_but_the_same_look(tmp_path: Path) -> None:
    image = _gradient(1600, 1200)
    jpeg = _saved(image, tmp_path / "large.jpg", quality=95)
    png = _saved(image, tmp_path / "large.png")
    difference = read_image(jpeg, 32, central).astype(int) - read_image(png, 32, central)
    assert np.abs(difference).max() < 6


def _broken(tmp_path: Path) -> dict[str, Path]:
    good = _saved(_gradient(200, 200), tmp_path / "good.jpg", quality=95).read_bytes()
    png = _saved(_gradient(200, 200), tmp_path / "good.png").read_bytes()
    files = {
        "empty.jpg": b"",
        "text.jpg": b"<html>404</html>",
        "cut.jpg": good[:-200],
        "cut.png": png[: len(png) // 2],
        "head.jpg": good[:20],
        "flipped.png": png[:60] + bytes(255 - value for value in png[60:]),
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    return {name: tmp_path / name for name in (*files, "folder.jpg", "absent.jpg")}


def test_what_is_no_whole_image_is_unreadable(tmp_path: Path) -> None:
    for name, path in _broken(tmp_path).items():
        with pytest.raises(Unreadable):
            read_image(path, 8, whole)
        if not name.startswith("cut.j"):
            with pytest.raises(Unreadable):
                check_header(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [11_500, 20_000])
def test_a_decompression_bomb_is_not_unpacked(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.pbm.ppm"
    path.write_bytes(b"P4\n%d %d\n" % (side, side) + b"\0" * 64)
    with pytest.raises(Unreadable, match=r"pixels"):
        read_image(path, 8, whole)


@pytest.mark.parametrize(("width", "height"), [(12_000, 9_000), (16_320, 12_240)])
def test_a_photograph_of_108_or_200_megapixels_is_an_image(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "photo.jpg"
    small = _saved(Image.new("L", (16, 16), GREY), tmp_path / "small.jpg").read_bytes()
    # The size stands in the header alone: only the test of it is of interest here.
    place = small.index(b"\xff\xc0") + 5
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    path.write_bytes(small[:place] + size + small[place + 4 :])
    check_header(path)


def test_a_photograph_of_108_megapixels_is_decoded(tmp_path: Path) -> None:
    path = _saved(Image.new("L", (12_000, 9_000), GREY), tmp_path / "photo.jpg")
    assert np.abs(read_image(path, 8, central).astype(int) - GREY).max() <= 3


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point_images_are_scaled_by_the_range_that_they_use(
    tmp_path: Path, top: float
) -> None:
    values = np.linspace(0, top, 64, dtype=np.float32).reshape(8, 8)
    path = _saved(Image.fromarray(values), tmp_path / "float.tif")
    pixels = read_image(path, 8, whole)[:, :, 0]
    assert np.array_equal(pixels, np.round(values / top * 255))


@pytest.mark.parametrize("value", [-1.0, 1e9, np.nan, np.inf])
def test_floating_point_values_that_are_no_brightness_are_refused(
    tmp_path: Path, value: float
) -> None:
    values = np.full((8, 8), 0.5, dtype=np.float32)
    values[3, 4] = value
    path = _saved(Image.fromarray(values), tmp_path / "float.tif")
    with pytest.raises(Unreadable, match="no brightness"):
        read_image(path, 8, whole)


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_heic_images_are_read_and_turned_as_a_camera_says(tmp_path: Path) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    image, exif = Image.new("RGB", (64, 48), (0, 0, 255)), Image.Exif()
    image.paste((255, 0, 0), (0, 0, 32, 48))  # the left half, which is the upper one turned
    exif[ORIENTATION_TAG] = 6
    image.info["exif"] = exif.tobytes()  # as a camera has it: HEIC says it twice
    for name in ("image.jpg", "image.heic"):
        image.save(tmp_path / name, exif=image.info["exif"])
        upper, lower = read_image(tmp_path / name, 32, whole)[[4, -4], 16].astype(int)
        assert upper[0] - upper[2] > 200, name
        assert lower[2] - lower[0] > 200, name
    assert ".heic" in readable_suffixes()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_images_are_read(tmp_path: Path) -> None:
    path = _saved(Image.new("RGB", (9, 7), (GREY,) * 3), tmp_path / "image.avif")
    assert np.abs(read_image(path, 5, whole).astype(int) - GREY).max() <= 3
    assert ".avif" in readable_suffixes()


def test_want_of_file_handles_is_not_taken_for_a_broken_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _saved(_gradient(9, 9), tmp_path / "good.png")

    def none_left(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", none_left)
    with pytest.raises(OSError, match="Too many"):
        read_image(path, 8, whole)


def test_looking_through_many_files_names_the_bad_ones_in_order() -> None:
    def look(index: int) -> None:
        if index % 77 == 3:
            raise Unreadable

    assert unreadable(1000, look) == list(range(3, 1000, 77))


def test_looking_through_many_files_ends_at_the_first_other_error() -> None:
    seen = []

    def look(index: int) -> None:
        seen.append(index)
        time.sleep(1e-3)
        if index == 10:
            raise OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(OSError, match="Too many"):
        unreadable(100_000, look)
    assert len(seen) < 50_000
