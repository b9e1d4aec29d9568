"""Batch norm over the images of all processes.

With it, N processes compute what one process computes on the whole batch.
torch's own SyncBatchNorm does this on GPUs and refuses the CPU.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search.training.compute.distributed import peers


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over the processes, differentiable.

    The engine weights the gradient of a process by its images. What a process
    owes to the losses of the others must carry their weights, not its own:
    the backward sum is weighted by images, and its own weight is taken out.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, tensor: Tensor, images: int) -> Tensor:
        ctx.images = images  # type: ignore[attr-defined]
        total = tensor.clone()
        with peers():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        images: int = ctx.images  # type: ignore[attr-defined]
        total = gradient * images
        with peers():
            dist.all_reduce(total)
        return total / images, None


def _sum(tensor: Tensor, images: int) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(tensor, images)  # type: ignore[no-untyped-call]
    return total


def _axes(x: Tensor) -> list[int]:
    """All but the channels."""
    return [axis for axis in range(x.dim()) if axis != 1]


class SharedBatchNorm(_BatchNorm):
    """Batch norm whose batch statistics are those of all processes together.

    Parameters, buffers and evaluation mode are those of `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to the same shape."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        shape = (1, -1, *[1] * (x.dim() - 2))
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, count = self._mean(precise)
        # A second sum about the mean: one of squares would lose digits.
        centred = precise - mean.view(shape)
        variance = _sum(centred.square().sum(_axes(x)), x.shape[0]) / count
        self._track(mean, variance, count)
        scale = torch.rsqrt(variance + self.eps)
        if not self.affine:
            return (centred * scale.view(shape)).to(x.dtype)
        y = centred * (scale * self.weight).view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def _mean(self, x: Tensor) -> tuple[Tensor, float]:
        """Mean and number of values a channel, over all processes."""
        own = x.new_tensor([x.numel() / x.shape[1]])
        total = _sum(torch.cat([x.sum(_axes(x)), own]), x.shape[0])
        count = float(total[-1].detach())
        return total[:-1] / count, count

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        unbiased = variance * (count / max(count - 1, 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)

    def _check_input_dim(self, _: Tensor) -> None:
        """Any number of dimensions will do."""


def convert_sync_batchnorm(module: nn.Module) -> nn.Module:
    """Make every batch norm inside a module span all processes.

    Children are replaced in place and keep their parameters, so optimisers
    stay valid; only a module that is itself a batch norm is returned as a new module.
    torch's fused version serves GPUs; it is right for equal shares of a batch
    only, which `BatchLoader` ensures.
    """
    if any(tensor.is_cuda for tensor in module.parameters()):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return converted
    if isinstance(module, _BatchNorm) and not isinstance(module, SharedBatchNorm):
        return _shared(module)
    for name, child in module.named_children():
        setattr(module, name, convert_sync_batchnorm(child))
    return module


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    shared = SharedBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    shared.weight, shared.bias = norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    shared.training = norm.training
    return shared
