"""Two processes that compute what one would, for every search method: `python -m ... FOLDER`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from search.training.compute.distributed import ProcessGroup, join
from search.training.compute.precision import Compute
from search.training.protocol import TrainingMethod
from tests.prepared import start_module
from tests.search.training.process import recorded
from tests.search.training.standins import Pictures, run
from tests.search.training.systems import NUMBER, SIDE, SYSTEMS
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]


def gradients(
    algorithm: TrainingMethod, processes: ProcessGroup, device: str = "cpu"
) -> list[dict[str, Tensor]]:
    """As the optimisers find them, in float64 so that rounding does not build up."""
    algorithm.module.double()
    phases = {p.name for epoch in range(algorithm.epochs) for p in algorithm.phases(epoch)}
    steps = recorded(algorithm, tuple(sorted(phases)))
    images = Pictures(NUMBER, plain=True, side=SIDE)
    images.pixels = images.pixels.double()
    compute = Compute(device=device, threads=1)
    run(algorithm, images=images, synchronous=True, processes=processes, compute=compute)
    return [{name: gradient.cpu() for name, gradient in step.items()} for step in steps]


def places_of_two() -> list[dict[str, str]]:
    """What tells each of two processes of one group its place, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [{**group, "RANK": str(rank)} for rank in (0, 1)]


def start_two(*words: str) -> list[subprocess.Popen[str]]:
    """`python -m words...` twice, as processes of one group, without torchrun."""
    return [
        start_module(*words, environment={**os.environ, **place}, cwd=ROOT)
        for place in places_of_two()
    ]


def run_pair(folder: Path, device: str = "cpu") -> list[dict[str, list[dict[str, Tensor]]]]:
    """What each of two processes recorded, by method."""
    for process in start_two(__name__, str(folder), device):
        _, errors = process.communicate(timeout=4 * PATIENCE_S)
        assert process.returncode == 0, errors
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def main(folder: Path, device: str) -> None:
    """Both processes: every method once."""
    torch.set_num_threads(1)
    with join(device, timeout_s=PATIENCE_S) as processes:
        found = {
            # Weights differ at first: the leader's must win.
            name: gradients(make(processes.rank), processes, device)
            for name, make in SYSTEMS.items()
        }
        torch.save(found, folder / f"{processes.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
