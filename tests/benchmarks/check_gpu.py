"""What a GPU makes of the training: speed, memory, equal learning, and what feeds it.

    python -m tests.benchmarks.check_gpu [--device cuda] [--seconds 480] [--output gpu.json]
        [--only PART ...]

One script for a bare machine with PyTorch and CUDA, of which little time is to be had. Its parts
come in the order of what they tell; one for which no time is left is left out, and said:

1. supernet: FBNet's 22 layers at 224 px and batch 192 in bfloat16, also with --recompute and
   --compile, against nine branches as equation 5 prints them, in float32.
2. curves: every method small, in float32, learns step by step what it learns on the CPU.
3. loader: images a second that its threads decode, crop and augment for 224 px.
4. fp-nas: images a second of FP-NAS's sliced supernet.
5. two cards: two processes with NCCL have the gradients of one; left out with fewer cards.

`--device cpu` runs the same on small sizes, to try the script itself. It ends with exit code 1
where a curve or a gradient differs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.bench_supernet import Variant, Work, measure
from tests.benchmarks.gpu_parts import (
    curves_apart,
    gradients_apart,
    loader_images_per_s,
    sliced_supernet,
)

# Float32 on two devices adds up in other orders; the first epoch has not amplified that yet.
MOST_APART = 2e-3


@dataclass
class Check:
    """What was found so far."""

    device: str
    ends: float
    only: tuple[str, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def part(self, name: str, needs_s: float, work: Callable[[], Mapping[str, Any]]) -> None:
        """Do a part in a process of its own if there is time for it, and print what it found."""
        if self.only and not name.startswith(self.only):
            return
        if time.monotonic() + needs_s > self.ends:
            self.told(name, {"left out": f"less than {needs_s:.0f} s were left"})
            return
        start = time.monotonic()
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = dict(pool.submit(work).result())
        except Exception as error:
            self.failed.append(name)
            found = {"failed": f"{type(error).__name__}: {error}"[:500]}
        self.told(name, {**found, "seconds": round(time.monotonic() - start, 1)})

    def told(self, name: str, found: Mapping[str, Any]) -> None:
        """Keep and print what a part found."""
        self.found[name] = found
        print(json.dumps({name: found}), flush=True)

    def require(self, name: str, key: str, most: float) -> None:
        """Fail where a part found more than that."""
        value = self.found.get(name, {}).get(key)
        if value is not None and not value <= most:
            self.failed.append(f"{name}: {key} is {value:.3g}, at most {most:g} was expected")


@dataclass(frozen=True)
class Step:
    """Time one way to take a step of the supernet; an object, so that it can be sent."""

    work: Work
    variant: Variant

    def __call__(self) -> Mapping[str, Any]:
        """Images a second and memory."""
        return asdict(measure(self.work, self.variant))


@dataclass(frozen=True)
class Part:
    """A function of `gpu_parts` with its device."""

    function: Callable[..., Mapping[str, Any]]
    device: str

    def __call__(self) -> Mapping[str, Any]:
        """What it finds."""
        return self.function(self.device)


def supernet(check: Check) -> None:
    """The steps of part 1, and their ratios to the naive one."""
    cuda = check.device == "cuda"
    work = Work(
        device=check.device,
        space="fbnet" if cuda else "fbnet-mini",
        resolution=224 if cuda else 32,
        batch=192 if cuda else 4,
        steps=5 if cuda else 1,
        threads=torch.get_num_threads(),
    )
    own = Variant(name="bf16", bf16=True)
    for needs_s, variant in (
        (60, own),
        (60, Variant(name="naive fp32", naive=True)),
        (60, Variant(name="bf16, recompute", bf16=True, checkpoint=True)),
        (150 if cuda else 60, Variant(name="bf16, compile", bf16=True, compiled=True)),
    ):
        check.part(f"supernet, {variant.name}", needs_s, Step(work, variant))
    naive = check.found.get("supernet, naive fp32", {}).get("images_s")
    if naive:
        ratios = {
            name: round(found["images_s"] / naive, 2)
            for name, found in check.found.items()
            if found.get("images_s")
        }
        check.told("ratio to naive fp32", ratios)


def run(check: Check) -> None:
    """All parts."""
    supernet(check)
    check.part("curves", 60, Part(curves_apart, check.device))
    check.require("curves", "largest", MOST_APART)
    check.part("loader", 30, Part(loader_images_per_s, check.device))
    check.part("fp-nas", 60, Part(sliced_supernet, check.device))
    cards = torch.cuda.device_count()
    if check.device == "cuda" and cards < 2:
        check.told("two cards", {"left out": f"there is {cards} card"})
        return
    check.part("two cards", 60, Part(gradients_apart, check.device))
    check.require("two cards", "largest", MOST_APART)


def machine(device: str) -> Mapping[str, Any]:
    """Names and versions."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
    }


def main() -> int:
    """Print each part as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", nargs="*", default=(), help="how the names of parts begin")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU; --device cpu tries the script itself", file=sys.stderr)
        return 2
    ends = time.monotonic() + given.seconds
    check = Check(device=given.device, ends=ends, only=tuple(given.only))
    check.told("machine", machine(given.device))
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        run(check)
        tempfile.tempdir = None
    if given.output is not None:
        given.output.write_text(json.dumps(check.found, indent=1) + "\n", encoding="utf-8")
    for failure in check.failed:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
