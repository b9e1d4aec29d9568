"""Data parallelism: one process a GPU (NCCL), or several on the CPU (Gloo).

Started by `torchrun --nproc-per-node N`. Each process takes its share of
every batch, so the batch does not grow with the number of processes. One
flat all-reduce after the backward pass makes no assumption on how often a
method ran its modules or which parameters it used; DistributedDataParallel
assumes both.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.errors import Transient, UsageError

TIMEOUT_S = 600.0
_WITH_TORCHRUN = "Start with torchrun, or unset WORLD_SIZE and RANK."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """The processes of one run, seen from one of them. Alone by default."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """True for the one process that writes files and prints."""
        return self.rank == 0

    def share(self, indices: Tensor) -> Tensor:
        """This process's part of a batch; the parts differ by one image at most."""
        return indices.tensor_split(self.world)[self.rank]

    def exchange(
        self, parameters: Sequence[nn.Parameter], numbers: Sequence[float], images: int
    ) -> list[float]:
        """Average gradients over all images of the batch, in place; sum the numbers.

        A gradient that no process has stays absent, so that an optimiser
        skips the parameter as it would in a single process.

        Args:
            parameters: The same in every process, in the same order.
            numbers: Summed over the processes and returned.
            images: How many images this process's gradient is the mean of.

        Raises:
            Transient: Another process went away.
        """
        if self.world == 1:
            return list(numbers)
        flat, head = _flatten(parameters, numbers, images)
        with peers():
            dist.all_reduce(flat)
        sums: list[float] = flat[:head].tolist()
        _unflatten(flat[head:] / sums[0], parameters, sums[1 : 1 + len(parameters)])
        return sums[1 + len(parameters) :]

    def agree_on(self, module: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.world > 1:
            with peers(), torch.no_grad():
                for tensor in module.state_dict().values():
                    dense = tensor.contiguous()
                    dist.broadcast(dense, src=0)
                    tensor.copy_(dense)

    def gather_statistics(self, module: nn.Module) -> Tensor | None:
        """(world, values) batch norm statistics of every process; None when alone."""
        statistics = _statistics(module)
        if self.world == 1 or not statistics:
            return None
        own = torch.cat([tensor.reshape(-1) for tensor in statistics])
        rows = [torch.empty_like(own) for _ in range(self.world)]
        with peers():
            dist.all_gather(rows, own)
        return torch.stack(rows)

    def set_statistics(self, module: nn.Module, rows: Tensor) -> None:
        """Put back gathered statistics: this process's row, or the mean of another number."""
        own = rows[self.rank] if len(rows) == self.world else rows.mean(0)
        offset = 0
        for tensor in _statistics(module):
            tensor.copy_(own[offset : offset + tensor.numel()].view_as(tensor))
            offset += tensor.numel()

    def average_statistics(self, module: nn.Module) -> None:
        """Give every process the mean of all batch norm statistics."""
        rows = self.gather_statistics(module)
        if rows is not None:
            self.set_statistics(module, rows.mean(0, keepdim=True).expand(self.world, -1))

    def mean(self, numbers: Tensor, images: int) -> Tensor:
        """Numbers averaged over the processes, each weighted by its images; no gradient."""
        head = numbers.detach().new_tensor([float(images)])
        total = torch.cat([numbers.detach().reshape(-1) * images, head])
        with peers():
            dist.all_reduce(total)
        return (total[:-1] / total[-1]).reshape(numbers.shape)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.world > 1:
            with peers():
                dist.barrier()


def _flatten(
    parameters: Sequence[nn.Parameter], numbers: Sequence[float], images: int
) -> tuple[Tensor, int]:
    """Images, which gradients are there, numbers; then the gradients times images."""
    dtype = functools.reduce(torch.promote_types, (p.dtype for p in parameters), torch.float32)
    device = parameters[0].device
    present = [float(parameter.grad is not None) for parameter in parameters]
    head = torch.tensor([float(images), *present, *numbers], dtype=dtype, device=device)
    gradients = [
        parameter.grad.reshape(-1).to(dtype) * images
        if parameter.grad is not None
        else torch.zeros(parameter.numel(), dtype=dtype, device=device)
        for parameter in parameters
    ]
    return torch.cat([head, *gradients]), len(head)


def _unflatten(flat: Tensor, parameters: Sequence[nn.Parameter], present: Sequence[float]) -> None:
    offset = 0
    for parameter, holders in zip(parameters, present, strict=True):
        if holders:
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            mean = flat[offset : offset + parameter.numel()].view_as(parameter)
            parameter.grad.copy_(mean)
        offset += parameter.numel()


def _statistics(module: nn.Module) -> list[Tensor]:
    """Running means and variances, in the order of the modules."""
    statistics: list[Tensor] = []
    for child in module.modules():
        if isinstance(child, _BatchNorm) and child.running_mean is not None:
            assert child.running_var is not None
            statistics += [child.running_mean, child.running_var]
    return statistics


@contextmanager
def peers() -> Iterator[None]:
    """Report a lost process as `Transient`; wraps nothing but exchanges.

    Raises:
        Transient: Another process went away or did not answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        raise Transient(
            f"Another process of this run went away: {error}",
            "Start the same command with --resume; it goes on from the last checkpoint.",
        ) from error


def _place() -> ProcessGroup:
    """This process's place, by torchrun's environment variables; alone without them."""
    world = _number("WORLD_SIZE", default=1)
    if world == 1:
        return ProcessGroup()
    rank = _number("RANK")
    group = ProcessGroup(rank=rank, world=world, local_rank=_number("LOCAL_RANK", default=rank))
    if not 0 <= rank < world or group.local_rank < 0:
        raise UsageError(
            f"The environment names no place among the processes: RANK={rank}, "
            f"LOCAL_RANK={group.local_rank}, WORLD_SIZE={world}.",
            _WITH_TORCHRUN,
        )
    return group


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    try:
        return int(text)
    except ValueError as error:
        what = f"{name}={text!r} is no whole number" if text else f"{name} is not set"
        raise UsageError(
            f"The environment names no place among the processes: {what}.", _WITH_TORCHRUN
        ) from error


@contextmanager
def join(device: str, timeout_s: float = TIMEOUT_S) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started; alone without torchrun.

    Args:
        device: As in `Compute`; decides between Gloo and NCCL.
        timeout_s: How long to wait for the others in one exchange.

    Raises:
        UsageError: torchrun's environment is not whole, or makes no sense.
        Transient: The others did not come.
    """
    group = _place()
    if group.world == 1:
        yield group
        return
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if gpu:
        torch.cuda.set_device(group.local_rank)
    with peers():
        dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(seconds=timeout_s))
    try:
        yield group
    finally:
        dist.destroy_process_group()
