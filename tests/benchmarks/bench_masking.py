"""Memory of a channel search from 1 to 64 options: masks against a copy an option.

    python tests/benchmarks/bench_masking.py
    python tests/benchmarks/bench_masking.py --device cuda

Four 3x3 convolutions of 64 channels, batch 16, 32x32. On a CPU: bytes saved for
the backward pass, which repeat exactly; naive needs some 2 GB. On a GPU: the
most memory allocated in forward and backward. Exit code 1 if masked memory grows
by more than 0.1 MB for a space a hundred times as large, or the naive memory is
off a line by more than 5 %.
"""

import argparse
import sys
from pathlib import Path

import torch

if __name__ == "__main__":  # the measuring code lives with the tests
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.search.supernets.masked_bytes import (
    LAYERS,
    bend,
    forward,
    growth_per_two_orders,
    saved_bytes,
)

OPTIONS = (1, 2, 4, 8, 16, 32, 64)
MOST_GROWTH_MB, MOST_BEND = 0.1, 0.05


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    options = parser.parse_args()
    masked: dict[int, float] = {}
    naive: dict[int, float] = {}
    print("options  networks   masked MB    naive MB")
    for number in OPTIONS:
        for naively, values in ((False, masked), (True, naive)):
            values[number] = measure(number, naively, options) / 1e6
        row = f"{number:7} {number**LAYERS:9.1e} {masked[number]:11.3f} {naive[number]:11.1f}"
        print(row, flush=True)
    growth = growth_per_two_orders(masked[1], masked[OPTIONS[-1]], OPTIONS[-1])
    off = bend(naive)
    print(f"masked grows by {growth:.4f} MB for two orders of magnitude of networks")
    print(f"naive is at most {off:.2%} off a line")
    sys.exit(0 if growth <= MOST_GROWTH_MB and off <= MOST_BEND else 1)


def measure(number: int, naive: bool, options: argparse.Namespace) -> float:
    """Bytes with so many options."""
    shape = {"channels": options.channels, "batch": options.batch, "size": options.size}
    if options.device == "cpu":
        return saved_bytes(number, naive=naive, **shape)
    torch.cuda.reset_peak_memory_stats()
    forward(number, naive=naive, device="cuda", **shape).sum().backward()
    return torch.cuda.max_memory_allocated()


if __name__ == "__main__":
    main()
