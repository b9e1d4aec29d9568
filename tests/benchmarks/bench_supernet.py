"""Images a second and peak memory of the supernet's steps, against the naive way.

    python tests/benchmarks/bench_supernet.py [--device cpu|cuda] [--space NAME]
        [--batch 64] [--resolution 32] [--steps 5] [--threads N] [--compile]

Naive means equation 5 as it is printed: the outputs of all candidates are
stacked and summed, float32, NCHW, no tricks. The CPU default is the CPU
preset (fbnet-mini at 32x32); the CUDA default is the full space of 22 layers
at batch 192. Every variant runs in a process of its own. The best step
counts, since other work on the machine only ever slows it; "a CPU s" divides
by processor time instead, which neighbours disturb less.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor, nn

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import THETA, WEIGHTS, FBNetSearch
from search.costs.matrix import CostMatrix
from search.operators.modules import build_operator
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.training.compute.allocator import keep_freed_memory
from search.training.protocol import Batch
from tests.search.targets import latency_target

WARMUP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to take a step."""

    name: str
    naive: bool = False
    phase: str = WEIGHTS
    bf16: bool = False
    compiled: bool = False
    checkpoint: bool = False
    temperature: float = 5.0
    negligible: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every variant does."""

    device: str
    space: str
    resolution: int
    batch: int
    steps: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one variant achieved; None where memory did not suffice."""

    images_s: float | None
    images_cpu_s: float | None = None
    peak_mb: float | None = None


class Naive(nn.Module):
    """Equation 5, word by word."""

    def __init__(self, space: LayeredSpace) -> None:
        super().__init__()
        self.before = nn.Sequential(*map(build_operator, space.before))
        self.layers = nn.ModuleList(
            nn.ModuleList(build_operator(choice.operator) for choice in layer.choices)
            for layer in space.layers
        )
        self.after = nn.Sequential(*map(build_operator, space.after))

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """Images to logits."""
        x = self.before(images)
        for layer, row in zip(self.layers, weights, strict=True):
            assert isinstance(layer, nn.ModuleList)
            outputs = torch.stack([candidate(x) for candidate in layer])
            x = (outputs * row[: len(layer), None, None, None, None]).sum(0)
        return self.after(x)


def method_of(space: LayeredSpace, variant: Variant) -> FBNetSearch:
    """The search itself, with made-up costs."""
    widths = np.array([len(layer.choices) for layer in space.layers])
    legal = np.arange(widths.max()) < widths[:, None]
    costs = np.where(legal, np.random.default_rng(0).uniform(10, 500, legal.shape), np.inf)
    recipe = FBNetRecipe(temperature=variant.temperature, negligible=variant.negligible)
    return FBNetSearch(
        space,
        CostMatrix(costs=costs, fixed=50.0),
        recipe=recipe,
        target=latency_target(1e6),
        recompute=variant.checkpoint,
    )


def naive_step(method: FBNetSearch, network: Naive, batch: Batch) -> None:
    """A step of the weights without the supernet."""
    network.zero_grad()
    weights = method.draw(batch.generator).detach()
    nn.functional.cross_entropy(network(batch.images, weights), batch.labels).backward()


def own_step(method: FBNetSearch, phase: str, batch: Batch) -> None:
    """A step of the method, as the engine takes it."""
    method.module.zero_grad(set_to_none=True)
    method.backward(phase, batch)


def stepper(work: Work, variant: Variant) -> Callable[[], None]:
    """The step to time: forward, backward, optimiser."""
    torch.manual_seed(0)
    space, device = make_space(work.space, resolution=work.resolution), torch.device(work.device)
    method = method_of(space, variant)
    layout = torch.contiguous_format if variant.naive else torch.channels_last
    method.module.to(device=device)
    classes = space.after[-1].out_channels
    images = torch.randn(work.batch, 3, work.resolution, work.resolution)
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    if variant.bf16:
        autocast = partial(torch.autocast, work.device, dtype=torch.bfloat16)
    batch = Batch(
        images=images.to(device).contiguous(memory_format=layout),
        labels=torch.randint(0, classes, (work.batch,)).to(device),
        generator=torch.Generator().manual_seed(0),
        autocast=autocast,
    )
    if variant.naive:
        network = Naive(space).to(device)
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            network.parameters(), lr=1e-3, momentum=0.9
        )
        take: Callable[[], None] = partial(naive_step, method, network, batch)
    else:
        method.module.to(memory_format=layout)  # type: ignore[call-overload]
        if variant.compiled:
            method.module.compile()
        optimizer = method.optimizer(variant.phase)
        take = partial(own_step, method, variant.phase, batch)

    def step() -> None:
        take()
        optimizer.step()

    return step


def cpu_seconds() -> float:
    """Processor time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mb(device: str) -> float:
    """Most memory so far: of torch on a GPU, of the process on the CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(work: Work, variant: Variant) -> Result:
    """Time one variant in this process."""
    torch.set_num_threads(work.threads)
    if not variant.naive:
        keep_freed_memory()
    cuda = work.device == "cuda"
    torch.backends.cudnn.benchmark = cuda
    before = 0.0 if cuda else peak_mb(work.device)
    step = stepper(work, variant)
    wall, processor = [], []
    try:
        for _ in range(WARMUP + work.steps):
            start, start_cpu = time.perf_counter(), cpu_seconds()
            step()
            if cuda:
                torch.cuda.synchronize()
            wall.append(time.perf_counter() - start)
            processor.append(cpu_seconds() - start_cpu)
    except torch.OutOfMemoryError:
        return Result(images_s=None)
    return Result(
        images_s=work.batch / min(wall[WARMUP:]),
        images_cpu_s=work.batch / min(processor[WARMUP:]),
        peak_mb=peak_mb(work.device) - before,
    )


def variants(device: str, compiled: bool) -> list[Variant]:
    """What is compared; the naive way first."""
    found = [Variant(name="naive, fp32", naive=True), Variant(name="weights, fp32")]
    if device == "cuda":
        found.append(Variant(name="weights, bf16", bf16=True))
    found.append(Variant(name="weights, checkpointed", checkpoint=True, bf16=device == "cuda"))
    if compiled:
        found.append(Variant(name="weights, compiled", compiled=True, bf16=device == "cuda"))
    return [
        *found,
        Variant(name="theta", phase=THETA, bf16=device == "cuda"),
        Variant(name="weights, tau 1, CPU preset", temperature=1.0, negligible=0.01),
        Variant(name="weights, tau 0.3, CPU preset", temperature=0.3, negligible=0.01),
    ]


def print_row(name: str, result: Result, naive: Result) -> None:
    """One line of the table."""
    if result.images_s is None or result.peak_mb is None:
        print(f"{name:30} out of memory", flush=True)
        return
    ratio = f"{result.images_s / naive.images_s:8.2f}" if naive.images_s else f"{'-':>8}"
    print(
        f"{name:30} {result.images_s:10.1f} {ratio} {result.images_cpu_s:10.1f}"
        f" {result.peak_mb:10.0f}",
        flush=True,
    )


def parse() -> tuple[Work, bool]:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--space")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="minutes on a CPU")
    given = parser.parse_args()
    cuda = given.device == "cuda"
    space = given.space or ("fbnet" if cuda else "fbnet-mini")
    work = Work(
        device=given.device,
        space=space,
        resolution=given.resolution or make_space(space).before[0].height,
        batch=given.batch or (192 if cuda else 64),
        steps=given.steps,
        threads=given.threads,
    )
    return work, given.compile


def main() -> int:
    """Print the table; 2 when there is no such device."""
    work, compiled = parse()
    if work.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU; use --device cpu", file=sys.stderr)
        return 2
    print(
        f"{work.space} at {work.resolution} px, batch {work.batch}, {work.device}, "
        f"{work.threads} threads, torch {torch.__version__}"
    )
    print(f"{'step':30} {'images/s':>10} {'ratio':>8} {'a CPU s':>10} {'peak MB':>10}")
    naive = Result(images_s=None)
    for variant in variants(work.device, compiled):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            result = pool.submit(measure, work, variant).result()
        naive = result if variant.naive else naive
        print_row(variant.name, result, naive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
