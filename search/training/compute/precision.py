"""Device, precision, memory layout and threads of torch."""

import functools
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils import deterministic

from search.errors import UsageError

Autocast = Callable[[], AbstractContextManager[object]]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_MEBI = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Device, precision, layout and threads.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`, or `auto` (a GPU where there is one).
        dtype: `float32`, or `bfloat16` or `float16` for autocast; weights stay float32.
        channels_last: Memory layout; faster on a GPU, and on the CPU for the
            depthwise convolutions of these spaces.
        compile: Compile the forward of the method's module with torch.compile.
        threads: CPU threads of torch; None leaves torch's own choice.
        deterministic: Refuse what is not repeatable; None means on the CPU
            only, because it slows a GPU down.

    Raises:
        UsageError: An unknown device or dtype, or less than one thread.
    """

    device: str = "auto"
    dtype: str = "float32"
    channels_last: bool = True
    compile: bool = False
    threads: int | None = None
    deterministic: bool | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"Unknown precision {self.dtype!r}.", f"Known: {', '.join(DTYPES)}.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads cannot compute.", "Give at least 1.")
        _parse_device(self.device)

    def torch_device(self, local_rank: int = 0) -> torch.device:
        """The device of one process; `cuda` without a number means one GPU a process.

        Raises:
            UsageError: A GPU was asked for and there is none, or not that many.
        """
        device = _parse_device(self.device)
        if device.type == "cpu":
            return device
        index = local_rank if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise UsageError(
                f"GPU {index} was asked for; torch sees {torch.cuda.device_count()}.",
                "Use --compute cpu, or start no more processes than there are GPUs.",
            )
        return torch.device("cuda", index)

    def autocast(self, device: torch.device) -> Autocast:
        """Opens the mixed-precision context; does nothing in float32."""
        if self.dtype == "float32":
            return nullcontext
        return functools.partial(torch.autocast, device.type, dtype=DTYPES[self.dtype])

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of images and convolution weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, module: nn.Module, device: torch.device) -> None:
        """Move a module, in place; its parameters stay the objects that they were."""
        # torch's stubs know the layout only together with a device.
        module.to(device=device, memory_format=self.memory_format)  # type: ignore[call-overload]


def _parse_device(word: str) -> torch.device:
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(word)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"Unknown device {word!r}.", "Known: auto, cpu, cuda, cuda:<number>.")
    return device


@contextmanager
def configured(compute: Compute, device: torch.device) -> Iterator[None]:
    """Torch's global switches and generators as a run needs them; restored on leaving."""
    strict = device.type == "cpu" if compute.deterministic is None else compute.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
        torch.get_num_threads(),
    )
    gpus = [device.index] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus):
            torch.use_deterministic_algorithms(strict, warn_only=True)
            # Filling fresh memory finds bugs in torch, not in a run, and costs time.
            deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = device.type == "cuda" and not strict
            if compute.threads is not None:
                torch.set_num_threads(compute.threads)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = before[3]
        torch.set_num_threads(before[4])


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far in MiB: of torch on a GPU, of the process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MEBI
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MEBI if sys.platform == "darwin" else peak / 1024
