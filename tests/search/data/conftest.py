"""Small image folders, each image telling its class and its number by its colours."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

MakeFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(label: int, number: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A smooth image that no other (label, number) has."""
    across = np.linspace(0, 120, size[0])[None, :]
    down = np.linspace(0, 60, size[1])[:, None]
    red = np.full((size[1], size[0]), 40.0 * label % 250)
    return np.stack([red, across + 0 * down + number, down + 0 * across], axis=2).astype(np.uint8)


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write `{class: count}` (or `{split: {class: count}}`) as folders of images."""

    def make(
        content: Mapping[str, int | Mapping[str, int]],
        *,
        size: tuple[int, int] = (10, 8),
        suffix: str = ".png",
        root: Path | None = None,
    ) -> Path:
        root = root or tmp_path / "images"
        for label, (name, count) in enumerate(content.items()):
            if isinstance(count, Mapping):
                make(count, size=size, suffix=suffix, root=root / name)
                continue
            (root / name).mkdir(parents=True)
            for number in range(count):
                path = root / name / f"{number:03d}{suffix}"
                Image.fromarray(picture(label, number, size)).save(path)
        return root

    return make
