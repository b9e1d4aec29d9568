"""Batches of image indices, and the loading of their images ahead of time."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from search.data.base import ImageSet

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def identify_images(images: ImageSet) -> str:
    """A short hash of the labels and of a few images, wherever the files lie."""
    digest = hashlib.sha256(f"{len(images)}".encode())
    digest.update(images.labels.to(torch.int64).contiguous().numpy().tobytes())
    some = torch.linspace(0, len(images) - 1, min(8, len(images))).long()
    if len(some):
        pixels, _ = images.batch(some, None)
        # Rounded: another build of the decoder may differ in the last bit.
        digest.update((pixels * 16).round().to(torch.int16).contiguous().numpy().tobytes())
    return f"{len(images)} images, {digest.hexdigest()[:16]}"


def cut_batches(
    split: Tensor, size: int, generator: torch.Generator, *, least: int = 2, multiple: int = 1
) -> tuple[Tensor, ...]:
    """The split in random order, cut into batches of `size` image indices.

    The last batch may be smaller, a multiple of `multiple`; below `least`
    images it is left out, for batch norm needs two images a process.
    """
    order = split[torch.randperm(len(split), generator=generator)]
    last = last_batch(len(split), size, least=least, multiple=multiple)
    kept = len(split) // size * size + last
    return order[:kept].split(size) if kept else ()  # type: ignore[no-untyped-call]


def last_batch(images: int, size: int, *, least: int = 2, multiple: int = 1) -> int:
    """Images in the smaller batch at the end of a walk; 0 where there is none."""
    rest = images % size // multiple * multiple
    return rest if rest >= least else 0


def load_ahead(
    load: Callable[[Request], Answer], requests: Iterable[Request], workers: int = 1
) -> Generator[Answer, None, None]:
    """The answers in the order of the requests, as many as there are workers made ahead.

    An error in a worker is raised here, at its place in the order. Close the
    iterator to stop early.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="loader") as pool:
        waiting: deque[Future[Answer]] = deque()
        try:
            for request in requests:
                waiting.append(pool.submit(load, request))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
