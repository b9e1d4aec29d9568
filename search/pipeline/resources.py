"""Compute resources of a command: device, threads, memory, processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from search.console.progress import Progress, make_progress
from search.errors import UsageError
from search.training.compute.distributed import ProcessGroup, join
from search.training.compute.precision import Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeOptions:
    """Device, precision and threads, as typed.

    `recompute` keeps no activations of searched layers.
    """

    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    recompute: bool = False
    threads: int | None = None

    def to_compute(self) -> Compute:
        """The part that the training engine needs, checked.

        Raises:
            UsageError: An unknown device or precision, or no threads.
        """
        return Compute(
            device=self.device,
            dtype=self.precision,
            compile=self.compile,
            threads=self.threads,
        )


@contextmanager
def compute_resources(options: ComputeOptions) -> Iterator[None]:
    """Set torch's threads for the context; memory that runs out becomes a sentence."""
    before = torch.get_num_threads()
    try:
        threads = options.to_compute().threads
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_little_memory() from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise _too_little_memory() from error
    finally:
        torch.set_num_threads(before)


@contextmanager
def joined_processes(
    options: ComputeOptions, *, quiet: bool
) -> Iterator[tuple[ProcessGroup, Progress]]:
    """Join the processes of a run; the first of them reports progress.

    Raises:
        UsageError: The device is not there, or as `search.training.compute.distributed.join`.
    """
    with compute_resources(options), join(options.device) as processes:
        options.to_compute().torch_device(processes.local_rank)  # refuses what is not there
        with make_progress(quiet or not processes.leads) as progress:
            yield processes, progress


def _too_little_memory() -> UsageError:
    return UsageError(
        "There is too little memory for this run.",
        "Give a smaller --batch (or a search --recompute), and go on with --resume if "
        "there is a checkpoint.",
    )
