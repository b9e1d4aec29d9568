"""One process of a data-parallel run, for tests: `python -m ... MODE FOLDER`."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import Tensor

from search.console.progress import Lines
from search.errors import KitError
from search.training.compute.distributed import ProcessGroup, join
from search.training.progress import TrainingProgress
from search.training.protocol import TrainingMethod
from tests.search.training.standins import Pictures, TinySearch, run, small_fbnet, whole_state
from tests.waiting import PATIENCE_S

NUMBER = 66  # splits of 53 and 13, whose last batches of 8 are 3 + 2 images
KILLED_BEFORE = 10


def recorded(algorithm: TrainingMethod, phases: tuple[str, ...]) -> list[dict[str, Tensor]]:
    """Gradients as the optimiser finds them, step by step."""
    steps: list[dict[str, Tensor]] = []
    names = {parameter: name for name, parameter in algorithm.module.named_parameters()}

    def note(optimizer: torch.optim.Optimizer, *_: object) -> None:
        own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        steps.append({names[p]: p.grad.clone() for p in own if p.grad is not None})

    for phase in phases:
        algorithm.optimizer(phase).register_step_pre_hook(note)
    return steps


def like_one(processes: ProcessGroup) -> tuple[TinySearch, list[dict[str, Tensor]]]:
    """A run whose batch norm and noise span all processes."""
    algorithm = TinySearch(epochs=2, seed=processes.rank)
    steps = recorded(algorithm, ("weights", "theta"))
    run(algorithm, images=Pictures(NUMBER, plain=True), synchronous=True, processes=processes)
    return algorithm, steps


def fbnet_like_one(processes: ProcessGroup) -> list[dict[str, Tensor]]:
    """The same with FBNet's own search, in float64 so that rounding does not build up."""
    algorithm = small_fbnet(seed=processes.rank)
    algorithm.module.double()
    steps = recorded(algorithm, ("weights", "theta"))
    images = Pictures(26, plain=True, side=8)
    images.pixels = images.pixels.double()
    run(algorithm, images=images, synchronous=True, processes=processes)
    return steps


def apart(processes: ProcessGroup, folder: Path, *, kill: bool = False) -> TinySearch:
    """A run of processes with batch norm, noise and augmentation of their own."""
    algorithm = TinySearch(epochs=3, seed=processes.rank)
    steps = 0

    def die(*_: object) -> None:
        nonlocal steps
        steps += 1
        if kill and processes.rank == 1 and steps == KILLED_BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)

    for optimizer in algorithm.optimizers.values():
        optimizer.register_step_pre_hook(die)
    run(
        algorithm,
        folder,
        images=Pictures(NUMBER),
        processes=processes,
        progress=TrainingProgress(Lines()),
        resume=True,
        checkpoint_steps=2,
    )
    return algorithm


def main(mode: str, folder: Path) -> None:
    torch.set_num_threads(1)
    with join("cpu", timeout_s=PATIENCE_S) as processes:
        result: dict[str, object] = {}
        if mode == "whole":
            algorithm, steps = like_one(processes)
            result = {"one": whole_state(algorithm), "steps": steps}
            result["fbnet"] = fbnet_like_one(processes)
        found = apart(processes, folder / "run", kill=mode == "killed")
        torch.save({**result, "apart": whole_state(found)}, folder / f"{mode}{processes.rank}.pt")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except KitError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
