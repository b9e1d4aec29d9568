"""Compute resources: device, threads, memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from search.errors import UsageError
from search.training.precision import Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeOptions:
    """Where and how to compute."""

    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    recompute: bool = False
    threads: int | None = None

    @property
    def compute(self) -> Compute:
        """For the engine."""
        return Compute(
            device=self.device,
            dtype=self.precision,
            compile=self.compile,
            threads=self.threads,
        )


@contextmanager
def compute_resources(resources: ComputeOptions) -> Iterator[None]:
    """Threads for all that is computed; memory that runs out is told in a sentence."""
    before = torch.get_num_threads()
    try:
        threads = resources.compute.threads
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


def _too_little_memory() -> UsageError:
    return UsageError(
        "There is too little memory for this run.",
        "Give a smaller --batch (or a search --recompute), and go on with --resume if "
        "there is a checkpoint.",
    )
