"""The parts of `check_gpu.py` that train: each gets a device and returns what it found."""

import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from search.algorithms.recipes import make_search_recipe
from search.algorithms.registry import load_method
from search.data.open import open_data
from search.operators.counts import count
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.registry import make_space
from search.training.compute.distributed import ProcessGroup
from search.training.compute.precision import Compute
from search.training.protocol import Batch
from tests.search.targets import latency_target
from tests.search.training.standins import METHODS, Pictures, run
from tests.search.training.systems import NUMBER, SIDE, SYSTEMS
from tests.search.training.two_processes import gradients, run_pair

# Steps draw their noise on the CPU, so that both devices see the same networks.
_IMAGES, _SIDE, _CLASSES = 1024, 320, 8


def curves_apart(device: str) -> Mapping[str, Any]:
    """Largest relative difference of the losses of an epoch to the CPU's, by method."""
    apart = {name: _apart(name, device) for name in ("search", "fixed", *SYSTEMS)}
    return {**apart, "largest": max(apart.values())}


def _apart(name: str, device: str) -> float:
    make = METHODS[name] if name in METHODS else lambda: SYSTEMS[name](0)
    images = Pictures() if name in METHODS else Pictures(NUMBER, plain=True, side=SIDE)
    losses = []
    for place in ("cpu", device):
        compute = Compute(device=place, threads=1, deterministic=False)
        lines = run(make(), images=images, compute=compute)
        first = lines[0].epoch
        losses.append([line.loss for line in lines if line.epoch == first])
    return max(abs(b - a) / abs(a) for a, b in zip(*losses, strict=True))


def loader_images_per_s(device: str) -> Mapping[str, Any]:
    """Images a second that are decoded, cropped and augmented for 224 px."""
    number = _IMAGES if device == "cuda" else _IMAGES // 8
    with tempfile.TemporaryDirectory() as folder:
        _write_photos(Path(folder) / "photos", number)
        data = open_data(Path(folder) / "photos", resolution=224, cache=Path(folder) / "cache")
        train, draw = data.train, torch.Generator().manual_seed(0)
        order = torch.randperm(len(train), generator=draw)
        train.batch(order[:32], draw)
        start = time.perf_counter()
        for first in range(0, len(order), 128):
            train.batch(order[first : first + 128], draw)
        took_s = time.perf_counter() - start
    return {"images_s": round(len(order) / took_s, 1), "images": len(order), "pixels": _SIDE}


def _write_photos(folder: Path, number: int) -> None:
    draw = random.Random(0)
    for index in range(number):
        path = folder / f"class{index % _CLASSES}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.frombytes("RGB", (20, 20), draw.randbytes(1200))
        small.resize((_SIDE, _SIDE * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=90)


def sliced_supernet(device: str) -> Mapping[str, Any]:
    """Images a second of a step of FP-NAS's weights, in bfloat16, and its memory."""
    cuda = device == "cuda"
    space = make_space("fp-nas-f" if cuda else "fp-nas-mini")
    assert isinstance(space, SlicedSpace)
    costs = space.costs(lambda operator: count(operator).flops / 10, 50.0)
    method = load_method("fp-nas")(
        space,
        costs,
        recipe=make_search_recipe("fp-nas", "paper"),
        target=latency_target(2 * costs.cheapest()),
    )
    method.module.to(device=device)
    method.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side, images = space.before[0].height, 128 if cuda else 8
    phase = method.phases(0)[0].name
    batch = Batch(
        images=torch.randn(images, 3, side, side).to(device, memory_format=torch.channels_last),
        labels=torch.randint(0, space.after[-1].out_channels, (images,)).to(device),
        generator=torch.Generator().manual_seed(0),
        autocast=lambda: torch.autocast(device, dtype=torch.bfloat16),
    )
    method.start_epoch(0)
    took_s = [_step_s(method, phase, batch, cuda) for _ in range(6)]
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else None
    return {"images_s": round(images / min(took_s[2:]), 1), "pixels": side, "peak_mb": peak}


def _step_s(method: Any, phase: str, batch: Batch, cuda: bool) -> float:
    start = time.perf_counter()
    method.module.zero_grad(set_to_none=True)
    method.backward(phase, batch)
    method.optimizer(phase).step()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def gradients_apart(device: str) -> Mapping[str, Any]:
    """Largest difference of a gradient of two processes to that of one, as a share of its size."""
    with tempfile.TemporaryDirectory() as folder:
        pair = run_pair(Path(folder), device)
    apart = {
        name: max(
            _differs(steps, process[name])
            for process in pair
            for steps in [gradients(make(0), ProcessGroup(), device)]
        )
        for name, make in SYSTEMS.items()
    }
    return {**apart, "largest": max(apart.values())}


def _differs(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> float:
    return max(
        float((step[name] - gradient).abs().max() / gradient.abs().max().clamp_min(1e-9))
        for step, right in zip(other, one, strict=True)
        for name, gradient in right.items()
    )
