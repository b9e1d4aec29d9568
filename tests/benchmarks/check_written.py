"""Programs that are written without lowering beside those that ExecuTorch lowers.

    python -m tests.benchmarks.check_written [--dtypes fp32 int8] [--networks 20]
        [--spaces fbnet] [--zoo] [--operators 0] [--resolution 224]

Compares whole random networks of each space, the published ones (`--zoo`) and so many
operators of each space, drawn at random. Everything that the runtime reads must be the
same, down to the bytes of XNNPACK's graph and constants. Reports the seconds that each
way took in this process. Exit code 1 where anything differs.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator

import torch

from search.operators.spec import OperatorSpec
from search.spaces.registry import make_space
from search.zoo import network_names, zoo_architecture
from tests.deploy.xnnpack.lowered import differences, lower, write

Program = tuple[str, tuple[OperatorSpec, ...]]


def main() -> int:
    """Compare and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--spaces", nargs="*", default=["fbnet"])
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--operators", type=int, default=0)
    parser.add_argument("--zoo", action="store_true")
    parser.add_argument("--resolution", type=int, default=224)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    wrong = 0
    for dtype in asked.dtypes:
        seconds = [0.0, 0.0]
        count = 0
        for name, operators in _programs(asked):
            operators = tuple(each.with_dtype(dtype) for each in operators)
            times, found = _compared(operators)
            seconds = [total + each for total, each in zip(seconds, times, strict=True)]
            count += 1
            wrong += bool(found)
            report = "same" if not found else "; ".join(found)[:2000]
            print(
                f"{dtype} {name}: {times[0]:.2f} s, lowered {times[1]:.2f} s: {report}", flush=True
            )
        print(f"{dtype}: {count} written in {seconds[0]:.1f} s, lowered in {seconds[1]:.1f} s")
    return int(wrong > 0)


def _compared(operators: tuple[OperatorSpec, ...]) -> tuple[list[float], list[str]]:
    start = time.perf_counter()
    written = write(operators)
    between = time.perf_counter()
    lowered = lower(operators)
    times = [between - start, time.perf_counter() - between]
    return times, differences(written, lowered)


def _programs(asked: argparse.Namespace) -> Iterator[Program]:
    generator = random.Random(0)
    for name in network_names() if asked.zoo else ():
        yield name, zoo_architecture(name).operators
    for name in asked.spaces:
        space = make_space(name, resolution=asked.resolution)
        for number in range(asked.networks):
            network = space.random_architecture(generator, f"{name} {number}")
            yield network.name, network.operators
        for operator in generator.sample(space.operators, asked.operators):
            yield operator.key, (operator,)


if __name__ == "__main__":
    sys.exit(main())
